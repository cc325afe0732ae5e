/** Answers what is not about the region's bytes: hello, and questions about the server itself. */
import { nowMs } from "../../base/clock.ts";
import type { Endpoint } from "../../base/units.ts";
import { isLoopback } from "../../base/loopback.ts";
import { guardStates } from "../../memory/inspect.ts";
import { FooterWord } from "../../memory/layout.ts";
import { ownedExtent } from "../../memory/owned_extent.ts";
import type { Region } from "../../memory/region.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import type { Header } from "../../wire/frame.ts";
import type { Fields } from "../../wire/messages.ts";
import { mayGovern } from "../common/door.ts";
import type { DoorSettings } from "../common/door.ts";
import { putReply } from "../common/native_reply.ts";
import { Sessions } from "../common/sessions.ts";
import type { Session } from "../common/sessions.ts";
import type { Conversation } from "./conversation.ts";
import type { MemoryHost } from "./memory_host.ts";

/** What a server tells of itself. */
export interface ServerAbout {
  /** Which transport serves. */
  readonly transport: string;
  /** Who is let in. */
  readonly door: DoorSettings;
  /** Whether it has a table of segments of its own, and belongs to no cluster. */
  readonly isStandalone: boolean;
  /** How long each operation keeps its guards, in ms. */
  readonly holdMs: number;
}

/** What a server does with what it is told of owners; says why it does not. */
export type TellOwners = (told: Fields<"owners">) => Fields<"error"> | undefined;

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
  readonly #tellOwners: TellOwners;
  readonly #sessions = new Sessions<bigint>();
  readonly #startedMs = nowMs();

  /** @param host told who governs this server. @param traffic asked anew for every answer. */
  constructor(
    region: Region,
    host: Pick<MemoryHost, "adopted" | "log">,
    about: ServerAbout,
    traffic: () => Traffic,
    tellOwners: TellOwners,
  ) {
    this.#region = region;
    this.#host = host;
    this.#about = about;
    this.#traffic = traffic;
    this.#tellOwners = tellOwners;
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
      cookie: this.#region.cookie,
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

  /** Answers a question of `talk`. */
  serve(link: Link, talk: Conversation, header: Header): void {
    switch (header.name) {
      case "ping":
        return putReply(link, this.#region, header.id, "pong", {});
      case "regionInfo":
        return putReply(link, this.#region, header.id, "regionInfoReply", this.#info(talk));
      case "join":
        return this.#join(link, header);
      case "owners":
        return this.#owners(link, talk, header);
      case "adopt":
        return this.#adopt(link, talk, header);
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

  #mayGovern({ uid, uidBy: by }: Conversation): boolean {
    return mayGovern({ uid, by }, this.#about.door.ownUid);
  }

  #join(link: Link, { id, fields: { incarnation, epoch } }: Header & { readonly name: "join" }): void {
    if (this.#about.isStandalone) return this.#refuseCluster(link, id);
    if (this.#region.join(incarnation, epoch)) return putReply(link, this.#region, id, "done", {});
    putReply(link, this.#region, id, "error", {
      code: "ESTALE",
      message: "this server is in a later life of the cluster",
    });
  }

  #adopt(link: Link, talk: Conversation, { id, fields }: Header & { readonly name: "adopt" }): void {
    if (this.#about.isStandalone) return this.#refuseCluster(link, id);
    if (!this.#mayGovern(talk)) {
      return putReply(link, this.#region, id, "error", {
        code: "EPERM",
        message: `only root and the user this server runs as may take it over, not user ${talk.uid}`,
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

  #owners(link: Link, talk: Conversation, { id, fields }: Header & { readonly name: "owners" }): void {
    if (this.#about.isStandalone) return this.#refuseCluster(link, id);
    const refusal = this.#mayGovern(talk) ? this.#tellOwners(fields) : {
      code: "EPERM",
      message:
        `whose segments are whose is told by root, by uid ${this.#about.door.ownUid}, whom this server runs as, and by who proves ` +
        `the secret; this is uid ${talk.uid}: run the config server as one of them`,
    };
    // who may say whose the bytes are may touch them; from another host even root comes as nobody
    if (!refusal) talk.isPrivileged = true;
    if (refusal) putReply(link, this.#region, id, "error", refusal);
    else putReply(link, this.#region, id, "done", {});
  }

  /** Why a program may not attach the region; "" when it may. */
  #whyNotAttachable(talk: Conversation): string {
    // whoever attaches would pass by the hold of the lecture hall
    if (this.#about.holdMs > 0) return "the server holds its blocks for show (--hold)";
    if (talk.isPrivileged || !ownedExtent(this.#region)) return "";
    return `segments lie on it, and whoever attached it would pass by their owners: only root and uid ${this.#about.door.ownUid} may`;
  }

  #info(talk: Conversation): Fields<"regionInfoReply"> {
    const region = this.#region;
    const reason = this.#whyNotAttachable(talk);
    return {
      size: region.layout.size,
      blockSize: region.layout.blockSize,
      guardCount: region.layout.guardCount,
      startCount: region.word(FooterWord.startCount),
      pid: region.word(FooterWord.serverPid),
      transport: this.#about.transport,
      attachable: reason === "",
      reason,
      shmid: region.memory.id,
      semid: region.guards.id,
      cookie: region.cookie,
      suspectCount: region.suspects().count,
      ...this.#traffic(),
      uptimeMs: Math.round(nowMs() - this.#startedMs),
    };
  }
}
