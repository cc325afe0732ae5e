/**
 * What a config server does with the bytes that reach its port.
 *
 *   - Nobody is served before the door has let him in: see common/door.ts.
 *   - Who is let in without a proof, so from this host, is greeted at once in the classic way. A native client has sent its
 *     hello by then or does so within HELLO_MS_MAX; whoever stays silent has read the list and is let go, as the original
 *     did.
 *   - From beyond this host nothing is said first.
 *   - A call on segments or on their table may have to wait: until it is answered its connection is not read, and nobody
 *     else waits.
 *   - The next epoch is moved to before anything is served. Of one beyond it only the servers are believed, which are asked
 *     at once; meanwhile nothing that reads or changes the table is served to who has met it.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Space } from "../../config/space.ts";
import type { Link, Service } from "../../net/transport.ts";
import { encodeGreeting } from "../../wire/classic.ts";
import type { GreetedServer } from "../../wire/classic.ts";
import { judgeEpoch, meetEpoch } from "../../wire/epoch.ts";
import type { EpochVerdict, EpochWord } from "../../wire/epoch.ts";
import { encodeFrame } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { Door, ENTRY_MS_MAX } from "../common/door.ts";
import type { DoorSettings, Guest, Visit } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { putBytes, putPayload } from "../common/native_reply.ts";
import { takePlainRequests } from "../common/plain_requests.ts";
import { Sessions } from "../common/sessions.ts";
import type { Session } from "../common/sessions.ts";
import type { SegmentKeeper } from "./segment_keeper.ts";
import { isSegmentCall } from "./segment_service.ts";
import type { Answer, SegmentCall, SegmentService } from "./segment_service.ts";
import { isTableRequest } from "./table_service.ts";
import type { TableAnswer, TableRequest, TableService } from "./table_service.ts";

/** How long after the greeting a native client has for its hello. */
const HELLO_MS_MAX = 500;

/** What a config service tells. */
export interface ConfigSource {
  /** The space as it is now. */
  readonly space: Space;
  /** The highest epoch this process has seen. */
  readonly epoch: EpochWord;
  /** The servers as the greeting names them: with addresses where their names could be resolved. */
  readonly greeted: readonly GreetedServer[];
  /** Asks the servers which epoch they are in, soon. */
  askServers(): void;
}

type Hello = Header & { readonly name: "hello" };
type ConfigSession = Session<Promise<Answer | undefined>>;

class Conversation {
  session: ConfigSession | undefined;
  guest: Guest | undefined;
  visit: Visit | undefined;

  /** @param visit with which it begins. */
  constructor(visit: Visit) {
    this.visit = visit;
  }
}

/** A config server's side of every connection. */
export class ConfigService implements Service {
  readonly #source: ConfigSource;
  readonly #keeper: SegmentKeeper;
  readonly #segments: SegmentService;
  readonly #table: TableService;
  readonly #sessions = new Sessions<Promise<Answer | undefined>>();
  readonly #door: Door;

  /**
   * @param source asked anew for every answer. @param keeper told of sessions. @param segments answers the calls.
   * @param table answers what concerns all segments at once. @param door who comes in.
   */
  constructor(
    source: ConfigSource,
    keeper: SegmentKeeper,
    segments: SegmentService,
    table: TableService,
    door: DoorSettings,
    log: LogSink,
  ) {
    this.#door = new Door(door, "config", log);
    this.#source = source;
    this.#keeper = keeper;
    this.#segments = segments;
    this.#table = table;
  }

  /** See {@linkcode Service}. */
  opened(link: Link): void {
    const visit = this.#door.opened(link, ENTRY_MS_MAX);
    link.state = new Conversation(visit);
    if (!this.#door.admits(visit, "classic")) return;
    putBytes(link, encodeGreeting(this.#source.greeted));
    this.#door.expect(visit, HELLO_MS_MAX);
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    const { session, visit } = link.state as Conversation;
    if (visit) this.#door.closed(visit);
    this.#keeper.letGo(link);
    if (session && this.#sessions.end(session, link)) this.#keeper.endSession(session.token);
  }

  /** See {@linkcode Service}. */
  received(
    link: Link,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    size: number,
    start: number = 0,
  ): number {
    const talk = link.state as Conversation;
    let at = start;
    if (talk.visit) {
      at = this.#enter(link, talk, talk.visit, bytes, view, start, size);
      if (talk.visit) return at;
    }
    const serve = (header: Header, payload: Uint8Array<ArrayBuffer>): boolean => {
      return this.#serve(link, talk, header, payload);
    };
    return takePlainRequests(link, bytes, view, at, size, serve, "restoreTable");
  }

  #enter(
    link: Link,
    talk: Conversation,
    visit: Visit,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    start: number,
    size: number,
  ): number {
    const at = this.#door.enter(visit, bytes, view, start, size);
    if (!visit.guest || !visit.hello) return at;
    talk.visit = undefined;
    talk.guest = visit.guest;
    this.#meet(visit.hello);
    this.#welcome(link, talk, visit.hello, visit.version);
    return at;
  }

  /** Returns whether the next request may be served at once. */
  #serve(link: Link, talk: Conversation, header: Header, payload: Uint8Array<ArrayBuffer>): boolean {
    const { session, guest } = talk;
    if (header.name === "hello" || !session || !guest) throw new ProtocolError("a second hello");
    session.isRemembered = true;
    const isAhead = this.#meet(header) === "ahead";
    if (header.name === "actFor") this.#put(link, header.id, this.#segments.actFor(link, guest, header.fields.uid));
    else if (!isSegmentCall(header) && !isTableRequest(header)) this.#answer(link, header);
    else if (isAhead) this.#refuseAhead(link, header);
    else {
      link.pause();
      const served = isSegmentCall(header)
        ? this.#call(link, guest, session, header)
        : this.#serveTable(link, guest, session, header, payload);
      served.finally(() => link.resume());
      return false;
    }
    return true;
  }

  #meet({ incarnation, epoch }: Header): EpochVerdict {
    const verdict = judgeEpoch(this.#source.epoch, incarnation, epoch);
    if (verdict === "next") meetEpoch(this.#source.epoch, incarnation, epoch);
    if (verdict === "ahead") this.#source.askServers();
    return verdict;
  }

  #refuseAhead(link: Link, { id, epoch }: Header): void {
    const message = `this config server is at epoch ${this.#source.epoch.epoch} and has not heard of ${epoch} yet; ` +
      `try again in a moment`;
    this.#reply(link, id, "error", { code: "ESTALE", message });
  }

  #welcome(link: Link, talk: Conversation, { id, fields }: Hello, version: number): void {
    const token = fields.token.toHex();
    const resumed = this.#sessions.resume(token, link);
    talk.session = resumed?.session ?? this.#sessions.begin(link, this.#keeper.takeUp(token) ? token : undefined);
    this.#reply(link, id, "welcome", {
      version,
      role: "config",
      token: Uint8Array.fromHex(talk.session.token),
      // one taken up from an earlier process keeps what it attached, but its answers are not known
      resumed: resumed !== undefined && talk.session.isRemembered,
      cookie: "",
    });
    if (!resumed) return;
    link.flush();
    resumed.left.close();
  }

  async #call(link: Link, guest: Guest, session: ConfigSession, call: SegmentCall): Promise<void> {
    const answer = await this.#segments.answer(guest, session, call);
    if (!answer || session.isOver) return;
    this.#put(link, call.id, answer);
    link.flush();
  }

  #put(link: Link, id: number, { name, fields }: Answer): void {
    this.#reply(link, id, name, fields);
  }

  async #serveTable(
    link: Link,
    guest: Guest,
    session: ConfigSession,
    request: TableRequest,
    payload: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const answer = await this.#table.answer(link, guest, request, payload);
    if (session.isOver) return this.#keeper.letGo(link);
    this.#replyTable(link, request.id, answer);
    // who had something attached learns by the end of his session that it is no more
    for (const token of answer.ended ?? []) this.#sessions.get(token)?.link.close();
  }

  #replyTable(link: Link, id: number, { name, fields, payload }: TableAnswer): void {
    const size = payload?.length ?? 0;
    putBytes(link, encodeFrame(name, { id, ...this.#source.epoch }, fields as Fields<typeof name>, size));
    if (payload) putPayload(link, payload);
    link.flush();
  }

  #answer(link: Link, header: Header): void {
    switch (header.name) {
      case "ping":
        return this.#reply(link, header.id, "pong", {});
      case "layout": {
        const { space } = this.#source;
        return this.#reply(link, header.id, "layoutReply", { revision: space.revision, servers: space.toRows() });
      }
      default:
        return this.#reply(link, header.id, "error", {
          code: "ENOSYS",
          message: `this is a config server; it does not answer ${header.name}`,
        });
    }
  }

  #reply<N extends MessageName>(link: Link, id: number, name: N, fields: Fields<N>): void {
    putBytes(link, encodeFrame(name, { id, ...this.#source.epoch }, fields));
  }

  /** See {@linkcode Service}. */
  nextTickMs(): number {
    return this.#door.nextTickMs();
  }

  /** See {@linkcode Service}. */
  tick(): void {
    this.#door.tick();
  }
}
