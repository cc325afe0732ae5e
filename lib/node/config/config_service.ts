/**
 * What a config server does with the bytes that reach its port.
 *
 *   - Nobody is served before the door has let him in: see common/door.ts.
 *   - Who is let in without a proof, so from this host, is greeted at once in the classic way. A native client has sent its hello by then or
 *     does so within HELLO_MS_MAX; whoever stays silent has read the list and is let go, as the original did.
 *   - From beyond this host nothing is said first.
 *   - A call on segments may have to wait: until it is answered its connection is not read, and nobody else waits.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Space } from "../../config/space.ts";
import type { Link, Service } from "../../net/transport.ts";
import { encodeGreeting } from "../../wire/classic.ts";
import type { GreetedServer } from "../../wire/classic.ts";
import { judgeEpoch } from "../../wire/epoch.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { encodeFrame } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import { MAGIC } from "../../wire/messages.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { Door, ENTRY_MS_MAX } from "../common/door.ts";
import type { DoorSettings, Guest, Visit } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { startsNative } from "../common/native_hello.ts";
import { putBytes } from "../common/native_reply.ts";
import { takePlainRequests } from "../common/plain_requests.ts";
import { Sessions } from "../common/sessions.ts";
import type { Session } from "../common/sessions.ts";
import type { SegmentKeeper } from "./segment_keeper.ts";
import { isSegmentCall } from "./segment_service.ts";
import type { Answer, SegmentCall, SegmentService } from "./segment_service.ts";

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
  readonly #sessions = new Sessions<Promise<Answer | undefined>>();
  readonly #door: Door;

  /** @param source asked anew for every answer. @param keeper told of sessions. @param segments answers the calls. */
  constructor(
    source: ConfigSource,
    keeper: SegmentKeeper,
    segments: SegmentService,
    door: DoorSettings,
    log: LogSink,
  ) {
    this.#door = new Door(door, "config", log);
    this.#source = source;
    this.#keeper = keeper;
    this.#segments = segments;
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
    return takePlainRequests(link, bytes, view, at, size, (header) => this.#serve(link, talk, header));
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
    let at = start;
    if (!visit.dialect) {
      if (!startsNative(bytes.subarray(start, size))) return start;
      visit.dialect = "native";
      this.#door.begun(visit);
      at += MAGIC.length;
    }
    at = this.#door.enterNative(visit, bytes, view, at, size);
    if (!visit.guest || !visit.hello) return at;
    talk.visit = undefined;
    talk.guest = visit.guest;
    this.#meet(visit.hello);
    this.#welcome(link, talk, visit.hello, visit.version);
    return at;
  }

  #meet(header: Header): void {
    const { epoch } = this.#source;
    if (judgeEpoch(epoch, header.incarnation, header.epoch) === "next") epoch.epoch = header.epoch;
  }

  /** Returns whether the next request may be served at once. */
  #serve(link: Link, talk: Conversation, header: Header): boolean {
    const { session, guest } = talk;
    if (header.name === "hello" || !session || !guest) throw new ProtocolError("a second hello");
    this.#meet(header);
    if (isSegmentCall(header)) {
      link.pause();
      this.#call(link, guest, session, header).finally(() => link.resume());
      return false;
    }
    this.#answer(link, header);
    return true;
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
      resumed: resumed !== undefined,
    });
    if (!resumed) return;
    link.flush();
    resumed.left.close();
  }

  async #call(link: Link, guest: Guest, session: ConfigSession, call: SegmentCall): Promise<void> {
    const answer = await this.#segments.answer(guest, session, call);
    if (!answer || session.isOver) return;
    this.#reply(link, call.id, answer.name, answer.fields);
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
