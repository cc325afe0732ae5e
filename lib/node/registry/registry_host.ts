/** What a running registry's service is given of its process: clocks, the groups of users, a log. */
import { nowMs } from "../../base/clock.ts";
import type { Guest } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { groupsOf } from "../common/user_groups.ts";
import type { User } from "./clients.ts";
import type { RegistryHost } from "./registry_service.ts";

/** See the head of this file. */
export function registryHost(log: LogSink): RegistryHost {
  return {
    userOf: ({ uid }: Guest): User => ({ uid, ...groupsOf(uid) }),
    nowMs,
    time: () => Math.floor(Date.now() / 1000),
    log,
  };
}
