/**
 * What a config server does with the bytes that reach its port.
 *
 *   - Who connects from this host is greeted at once in the classic way. A native client has sent its hello by then or
 *     does so within HELLO_MS_MAX; whoever stays silent has read the list and is let go, as the original did.
 *   - From beyond this host nothing is said first.
 *   - A call on segments may have to wait: until it is answered its connection is not read, and nobody else waits.
 */
import { nowMs } from "../../base/clock.ts";
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
import { isLoopback } from "../common/loopback.ts";
import { acceptHello, startsNative } from "../common/native_hello.ts";
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

type ConfigSession = Session<Promise<Answer | undefined>>;

class Conversation {
  dialect: "unknown" | "native" = "unknown";
  session: ConfigSession | undefined;
  readonly dueMs = nowMs() + HELLO_MS_MAX;
}

/** A config server's side of every connection. */
export class ConfigService implements Service {
  readonly #source: ConfigSource;
  readonly #keeper: SegmentKeeper;
  readonly #segments: SegmentService;
  readonly #sessions = new Sessions<Promise<Answer | undefined>>();
  readonly #silent = new Set<Link>();

  /** @param source asked anew for every answer. @param keeper told of sessions. @param segments answers the calls. */
  constructor(source: ConfigSource, keeper: SegmentKeeper, segments: SegmentService) {
    this.#source = source;
    this.#keeper = keeper;
    this.#segments = segments;
  }

  /** See {@linkcode Service}. */
  opened(link: Link): void {
    link.state = new Conversation();
    this.#silent.add(link);
    if (isLoopback(link.peer.host)) putBytes(link, encodeGreeting(this.#source.greeted));
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    this.#silent.delete(link);
    const { session } = link.state as Conversation;
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
    if (talk.dialect === "unknown") {
      if (!startsNative(bytes.subarray(start, size))) return start;
      talk.dialect = "native";
      this.#silent.delete(link);
      at += MAGIC.length;
    }
    return takePlainRequests(link, bytes, view, at, size, (header) => this.#serve(link, talk, header));
  }

  /** Returns whether the next request may be served at once. */
  #serve(link: Link, talk: Conversation, header: Header): boolean {
    const { epoch } = this.#source;
    if (judgeEpoch(epoch, header.incarnation, header.epoch) === "next") epoch.epoch = header.epoch;
    if (header.name === "hello") this.#welcome(link, talk, header);
    else if (!talk.session) throw new ProtocolError(`${header.name} before hello`);
    else if (isSegmentCall(header)) {
      talk.session.isRemembered = true;
      link.pause();
      this.#call(link, talk.session, header).finally(() => link.resume());
      return false;
    } else this.#answer(link, header);
    return true;
  }

  #welcome(link: Link, talk: Conversation, { id, fields }: Header & { readonly name: "hello" }): void {
    if (talk.session) throw new ProtocolError("a second hello");
    const version = acceptHello(fields);
    const token = fields.token.toHex();
    const resumed = this.#sessions.resume(token, link);
    talk.session = resumed?.session ?? this.#sessions.begin(link, this.#keeper.takeUp(token) ? token : undefined);
    putBytes(link, MAGIC);
    this.#reply(link, id, "welcome", {
      version,
      role: "config",
      token: Uint8Array.fromHex(talk.session.token),
      // one taken up from an earlier process keeps what it attached, but its answers are not known
      resumed: resumed !== undefined && talk.session.isRemembered,
    });
    if (!resumed) return;
    link.flush();
    resumed.left.close();
  }

  async #call(link: Link, session: ConfigSession, call: SegmentCall): Promise<void> {
    const answer = await this.#segments.answer(link, session, call);
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
    let next = Infinity;
    const now = nowMs();
    for (const link of this.#silent) next = Math.min(next, Math.max(0, (link.state as Conversation).dueMs - now));
    return next;
  }

  /** See {@linkcode Service}. */
  tick(): void {
    const now = nowMs();
    for (const link of [...this.#silent]) if ((link.state as Conversation).dueMs <= now) link.close();
  }
}
