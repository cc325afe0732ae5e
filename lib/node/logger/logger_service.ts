/**
 * What a logger does with the bytes that reach its port, in two dialects.
 *
 *   - Nobody is served before the door has let him in: see common/door.ts.
 *   - `DSM1` begins the native one.
 *   - The memory has everybody's segments in it, so it is for who governs (see common/door.ts): others who were let in on
 *     this host may ask how things are, and have a checkpoint taken.
 *   - Anything else is the first ancestor's: each 32-bit integer, an index that means nothing here, is answered with the
 *     whole memory of the server, raw.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Link, Service } from "../../net/transport.ts";
import { encodeFrame } from "../../wire/frame.ts";
import type { Envelope, Header } from "../../wire/frame.ts";
import { MAGIC, TOKEN_SIZE } from "../../wire/messages.ts";
import type { MessageName } from "../../wire/messages.ts";
import { ClassicGather } from "./classic_gather.ts";
import type { LoggedServer } from "./logged_server.ts";
import type { LoggerRequests } from "./logger_requests.ts";
import { Door, mayGovern } from "../common/door.ts";
import type { Dialect, DoorSettings, Visit } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { putBytes } from "../common/native_reply.ts";
import { takePlainRequests } from "../common/plain_requests.ts";

/** Bytes of the index that a classic global logger sends. */
const INDEX_SIZE = 4;
/** Requests that give nobody any bytes, and hold nobody up. */
const FOR_ALL: readonly MessageName[] = ["ping", "loggerInfo", "take", "progress"];

class Conversation {
  dialect: Dialect = "native";
  gather: ClassicGather | undefined;
  /** Whether it may have the memory. */
  isTrusted = false;
  visit: Visit | undefined;

  /** @param visit with which it begins. */
  constructor(visit: Visit) {
    this.visit = visit;
  }
}

/** See the head of this file. */
export class LoggerService implements Service {
  readonly #server: LoggedServer;
  readonly #requests: LoggerRequests;
  readonly #links = new Set<Link>();
  readonly #door: Door;
  readonly #ownUid: number;

  /** @param server whose memory is sent raw; @param requests answers the native ones. */
  constructor(server: LoggedServer, requests: LoggerRequests, door: DoorSettings, log: LogSink) {
    this.#door = new Door(door, "logger", log);
    this.#ownUid = door.ownUid;
    this.#server = server;
    this.#requests = requests;
  }

  /** See {@linkcode Service}. */
  opened(link: Link): void {
    link.state = new Conversation(this.#door.opened(link));
    this.#links.add(link);
    this.#requests.opened(link);
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    const { gather, visit } = link.state as Conversation;
    gather?.end();
    if (visit) this.#door.closed(visit);
    this.#links.delete(link);
    this.#requests.closed(link);
  }

  /** The region is lost: ends every raw answer, and with it the connection, since its reader counts bytes. */
  lost(): void {
    for (const link of [...this.#links]) {
      const { gather } = link.state as Conversation;
      gather?.end();
      if (gather) link.close();
    }
  }

  /** See {@linkcode Service}. */
  received(link: Link, bytes: Uint8Array<ArrayBuffer>, view: DataView, end: number, start: number = 0): number {
    const talk = link.state as Conversation;
    let at = start;
    if (talk.visit) {
      at = this.#enter(link, talk, talk.visit, bytes, view, start, end);
      if (talk.visit) return at;
    }
    return talk.dialect === "native"
      ? takePlainRequests(link, bytes, view, at, end, (header) => this.#serveNative(link, talk, header))
      : this.#receiveClassic(link, talk, at, end);
  }

  #enter(
    link: Link,
    talk: Conversation,
    visit: Visit,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView,
    start: number,
    end: number,
  ): number {
    const at = this.#door.enter(visit, bytes, view, start, end, dialectOf);
    if (!visit.guest || !visit.dialect) return at;
    talk.visit = undefined;
    talk.dialect = visit.dialect;
    // beyond this host who has not proved the secret is let in by --allow-unauthenticated only, for this very purpose
    talk.isTrusted = mayGovern(visit.guest, this.#ownUid) || !visit.caller.isLocal;
    if (visit.hello) this.#welcome(link, visit.hello.id, visit.version);
    return at;
  }

  #serveNative(link: Link, talk: Conversation, header: Header): boolean {
    if (header.name === "hello") throw new ProtocolError("a second hello");
    if (!talk.isTrusted && !FOR_ALL.includes(header.name)) {
      const message = `${header.name} is for root and uid ${this.#ownUid}, whom this logger runs as`;
      putBytes(link, encodeFrame("error", this.#envelope(header.id), { code: "EPERM", message }));
      return true;
    }
    link.pause();
    this.#requests.serve(link, header).finally(() => link.resume());
    return false;
  }

  #welcome(link: Link, id: number, version: number): void {
    const token = new Uint8Array(TOKEN_SIZE);
    const fields = { version, role: "logger", token, resumed: false, cookie: "" };
    putBytes(link, encodeFrame("welcome", this.#envelope(id), fields));
  }

  #envelope(id: number): Envelope {
    const { region } = this.#server;
    return { id, incarnation: region?.incarnationHeld ?? 0, epoch: region?.epochHeld ?? 0 };
  }

  /** The index stays unconsumed until its answer is sent: so the transport comes back here whenever there is room. */
  #receiveClassic(link: Link, talk: Conversation, start: number, end: number): number {
    let at = start;
    if (!talk.isTrusted) {
      throw new ProtocolError(`the memory is for root and uid ${this.#ownUid}, whom this logger runs as`);
    }
    while (end - at >= INDEX_SIZE && !link.isBlocked) {
      const { region, reason } = this.#server;
      if (!region) throw new ProtocolError(`there is no memory to send: ${reason}`);
      talk.gather ??= new ClassicGather(region);
      const sent = talk.gather.sendOn(link);
      if (sent === "lost") throw new ProtocolError("the memory was lost while it was sent");
      if (!sent) break;
      talk.gather = undefined;
      at += INDEX_SIZE;
    }
    return at;
  }

  /** See {@linkcode Service}. */
  nextTickMs(): number {
    return Math.min(this.#requests.nextTickMs(), this.#door.nextTickMs());
  }

  /** See {@linkcode Service}. */
  tick(): void {
    this.#requests.tick();
    this.#door.tick();
  }
}

/** What the first bytes begin; undefined while it may become the native dialect. */
function dialectOf(bytes: Uint8Array): Dialect | undefined {
  for (let i = 0; i < Math.min(bytes.length, MAGIC.length); i++) if (bytes[i] !== MAGIC[i]) return "classic";
  return bytes.length < MAGIC.length ? undefined : "native";
}
