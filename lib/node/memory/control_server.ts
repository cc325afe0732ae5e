/** Answers what is not about the region's bytes: hello, and questions about the server itself. */
import { nowMs } from "../../base/clock.ts";
import type { Endpoint } from "../../base/units.ts";
import { isLoopback } from "../../base/loopback.ts";
import { guardStates } from "../../memory/inspect.ts";
import { FooterWord } from "../../memory/layout.ts";
import type { Region } from "../../memory/region.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import type { Header } from "../../wire/frame.ts";
import type { Fields } from "../../wire/messages.ts";
import { mayGovern } from "../common/door.ts";
import type { DoorSettings, Guest } from "../common/door.ts";
import { putReply } from "../common/native_reply.ts";
import { Sessions } from "../common/sessions.ts";
import type { Session } from "../common/sessions.ts";
import type { MemoryHost } from "./memory_host.ts";

/** What a server tells of itself. */
export interface ServerAbout {
  /** Which transport serves. */
  readonly transport: string;
  /** Who is let in. */
  readonly door: DoorSettings;
  /** Whether programs on this host may attach the region. */
  readonly isAttachable: boolean;
  /** Whether it has a table of segments of its own, and belongs to no cluster. */
  readonly isStandalone: boolean;
}

/** What has passed through a server. */
export type Traffic = Pick<
  Fields<"regionInfoReply">,
  "connectionCount" | "operationCount" | "byteCount" | "waitCount"
>;

/** See the head of this file. */
export class ControlServer {
  readonly #region: Region;
  readonly #host: Pick<MemoryHost, "adopted" | "log">;
  readonly #about: ServerAbout;
  readonly #traffic: () => Traffic;
  readonly #sessions = new Sessions<bigint>();
  readonly #startedMs = nowMs();

  /** @param host told who governs this server. @param traffic asked anew for every answer. */
  constructor(
    region: Region,
    host: Pick<MemoryHost, "adopted" | "log">,
    about: ServerAbout,
    traffic: () => Traffic,
  ) {
    this.#region = region;
    this.#host = host;
    this.#about = about;
    this.#traffic = traffic;
  }

  /** Answers the hello of one that was let in: begins a session, or resumes the one whose token it carries. */
  serveHello(link: Link, header: Header & { readonly name: "hello" }, version: number): Session<bigint> {
    const resumed = header.fields.token.length > 0
      ? this.#sessions.resume(header.fields.token.toHex(), link)
      : undefined;
    const session = resumed?.session ?? this.#sessions.begin(link);
    putReply(link, this.#region, header.id, "welcome", {
      version,
      role: "server",
      token: Uint8Array.fromHex(session.token),
      resumed: resumed !== undefined,
    });
    if (resumed) {
      link.flush();
      resumed.left.close();
    }
    return session;
  }

  /** Ends the session of a connection that went, unless it has moved to another. */
  end(session: Session<bigint>, link: Link): void {
    this.#sessions.end(session, link);
  }

  /** Answers a question of `guest`. */
  serve(link: Link, header: Header, guest: Guest): void {
    switch (header.name) {
      case "ping":
        return putReply(link, this.#region, header.id, "pong", {});
      case "regionInfo":
        return putReply(link, this.#region, header.id, "regionInfoReply", this.#info());
      case "join":
        return this.#join(link, header);
      case "adopt":
        return this.#adopt(link, header, guest);
      case "blockStates":
        return putReply(link, this.#region, header.id, "blockStatesReply", {
          blockCount: this.#region.layout.blockCount,
          guards: guardStates(this.#region).map((
            guard,
          ) => [guard.index, guard.value, guard.lastPid, guard.waiterCount]),
          suspects: this.#region.suspects().latest.map((block) => [block]),
        });
      default:
        putReply(link, this.#region, header.id, "error", {
          code: "ENOSYS",
          message: `a memory server does not answer ${header.name}`,
        });
    }
  }

  #join(link: Link, { id, fields: { incarnation, epoch } }: Header & { readonly name: "join" }): void {
    if (this.#about.isStandalone) return this.#refuseCluster(link, id);
    if (this.#region.join(incarnation, epoch)) return putReply(link, this.#region, id, "done", {});
    putReply(link, this.#region, id, "error", {
      code: "ESTALE",
      message: "this server is in a later life of the cluster",
    });
  }

  #adopt(link: Link, { id, fields }: Header & { readonly name: "adopt" }, guest: Guest): void {
    if (this.#about.isStandalone) return this.#refuseCluster(link, id);
    if (!mayGovern(guest, this.#about.door.ownUid)) {
      return putReply(link, this.#region, id, "error", {
        code: "EPERM",
        message: `only root and the user this server runs as may take it over, not user ${guest.uid}`,
      });
    }
    const { host } = link.peer;
    const config: Endpoint = { host: fields.host === "" ? host : fields.host, port: fields.port };
    if (isLoopback(config.host) && !isLoopback(host)) {
      this.#host.log(
        "warn",
        `the config server at ${peerName(link.peer)} cannot be called back: it listens on loopback`,
      );
    } else this.#host.adopted(config);
    putReply(link, this.#region, id, "done", {});
  }

  #refuseCluster(link: Link, id: number): void {
    putReply(link, this.#region, id, "error", {
      code: "ENOTSUP",
      message: "this is a standalone server: it has a table of segments of its own and joins no cluster; " +
        "start it without --standalone, or take it out of config.txt",
    });
  }

  #info(): Fields<"regionInfoReply"> {
    const region = this.#region;
    return {
      size: region.layout.size,
      blockSize: region.layout.blockSize,
      guardCount: region.layout.guardCount,
      startCount: region.word(FooterWord.startCount),
      pid: region.word(FooterWord.serverPid),
      transport: this.#about.transport,
      attachable: this.#about.isAttachable,
      shmid: region.memory.id,
      semid: region.guards.id,
      cookie: region.cookie,
      suspectCount: region.suspects().count,
      ...this.#traffic(),
      uptimeMs: Math.round(nowMs() - this.#startedMs),
    };
  }
}
