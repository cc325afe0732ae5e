/** What a running registry's service is given of its process: clocks, the kernel's word on who is there, a log. */
import { nowMs } from "../../base/clock.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import type { LogSink } from "../common/log_sink.ts";
import { NOBODY_UID, uidOfPeer } from "../common/peer_uid.ts";
import type { End } from "../common/peer_uid.ts";
import { groupsOf } from "../common/user_groups.ts";
import type { User } from "./clients.ts";
import type { RegistryHost } from "./registry_service.ts";

/** See the head of this file. @param server where the registry listens. */
export function registryHost(server: End, log: LogSink): RegistryHost {
  return {
    identify: ({ peer }: Link): User => {
      const uid = uidOfPeer(peer, server);
      if (uid !== undefined) return { uid, ...groupsOf(uid) };
      log("warn", `${peerName(peer)} is nobody (uid ${NOBODY_UID}): the kernel does not say who is there`);
      return { uid: NOBODY_UID, gid: NOBODY_UID, groups: [] };
    },
    nowMs,
    time: () => Math.floor(Date.now() / 1000),
    log,
  };
}
