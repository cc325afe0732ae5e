/**
 * What a config server does with the bytes that reach its port.
 *
 *   - Who connects from this host is greeted at once in the classic way. A native client has sent its hello by then or
 *     does so within HELLO_MS_MAX; whoever stays silent has read the list and is let go, as the original did.
 *   - From beyond this host nothing is said first.
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
import { MAGIC, TOKEN_SIZE } from "../../wire/messages.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { isLoopback } from "../common/loopback.ts";
import { acceptHello, startsNative } from "../common/native_hello.ts";
import { takePlainRequests } from "../common/plain_requests.ts";

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

class Conversation {
  dialect: "unknown" | "native" = "unknown";
  isWelcome = false;
  readonly dueMs = nowMs() + HELLO_MS_MAX;
}

/** A config server's side of every connection. */
export class ConfigService implements Service {
  readonly #source: ConfigSource;
  readonly #silent = new Set<Link>();

  /** @param source asked anew for every answer. */
  constructor(source: ConfigSource) {
    this.#source = source;
  }

  /** See {@linkcode Service}. */
  opened(link: Link): void {
    link.state = new Conversation();
    this.#silent.add(link);
    if (isLoopback(link.peer.host)) this.#put(link, encodeGreeting(this.#source.greeted));
  }

  /** See {@linkcode Service}. */
  closed(link: Link): void {
    this.#silent.delete(link);
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
    return takePlainRequests(link, bytes, view, at, size, (header) => {
      this.#answer(link, talk, header);
      return true;
    });
  }

  #answer(link: Link, talk: Conversation, header: Header): void {
    const { epoch } = this.#source;
    if (judgeEpoch(epoch, header.incarnation, header.epoch) === "next") epoch.epoch = header.epoch;
    if (!talk.isWelcome && header.name !== "hello") throw new ProtocolError(`${header.name} before hello`);
    switch (header.name) {
      case "hello": {
        if (talk.isWelcome) throw new ProtocolError("a second hello");
        const version = acceptHello(header.fields);
        talk.isWelcome = true;
        this.#put(link, MAGIC);
        return this.#reply(link, header.id, "welcome", {
          version,
          role: "config",
          token: new Uint8Array(TOKEN_SIZE),
          resumed: false,
        });
      }
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
    this.#put(link, encodeFrame(name, { id, ...this.#source.epoch }, fields));
  }

  #put(link: Link, bytes: Uint8Array): void {
    if (!link.output.hasRoom(bytes.length)) link.flush();
    link.output.bytes.set(bytes, link.output.size);
    link.output.size += bytes.length;
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
