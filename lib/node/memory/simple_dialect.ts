/**
 * The simple dialect on the thread that serves the connections: it takes one whole request at a time, has the main thread
 * carry it out, and does not read the connection meanwhile.
 *
 *   - A size is checked against its command before anything is kept. Data that its command cannot have is passed over as
 *     it comes, kept nowhere, and then refused: the connection goes on. Only what may be no request at all closes it.
 *   - A request and its reply are in an exchange (exchange_pool.ts); a large request that finds none waits, and so does one
 *     whose reply would have no room while peers leave too much untaken.
 */
import { ERRNO } from "../../base/errno.ts";
import { ProtocolError } from "../../base/errors.ts";
import { OUTPUT_SIZE } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import {
  fitsCommand,
  givenSizeMax,
  putSimpleReply,
  sentSize,
  SIMPLE_DATA_SIZE_MAX,
  SIMPLE_REPLY_SIZE,
  SIMPLE_REQUEST_SIZE,
  simpleReplySize,
  simpleRequest,
} from "../../wire/simple.ts";
import type { SimpleRequest } from "../../wire/simple.ts";
import { makeRoom, putBytes } from "../common/native_reply.ts";
import type { Conversation } from "./conversation.ts";
import { ExchangePool } from "./exchange_pool.ts";
import type { Exchange } from "./exchange_pool.ts";
import type { MemoryHost } from "./memory_host.ts";
import type { WaitingRoom } from "./waiting_room.ts";

/** What this dialect knows of one connection. */
export interface SimpleTalk {
  /** What the main thread knows it by. */
  readonly caller: number;
  /** Bytes of data still to be passed over. */
  restSize: number;
  /** The errno of the request whose data they are. */
  errno: number;
}

/** See the head of this file. */
export class SimpleDialect {
  readonly #host: MemoryHost;
  readonly #waiting: WaitingRoom;
  readonly #pool = new ExchangePool();
  #callerCount = 0;

  /** @param waiting for connections that find no room. */
  constructor(host: MemoryHost, waiting: WaitingRoom) {
    this.#host = host;
    this.#waiting = waiting;
  }

  /** A connection that has begun this dialect. */
  begin(): SimpleTalk {
    return { caller: ++this.#callerCount, restSize: 0, errno: 0 };
  }

  /** As {@linkcode Service.received}, of a connection in this dialect. */
  received(
    link: Link,
    talk: Conversation,
    simple: SimpleTalk,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView,
    start: number,
    end: number,
  ): number {
    let at = start;
    while (at < end && talk.standing === "ready" && !link.isBlocked) {
      const next = simple.restSize > 0
        ? this.#passOver(link, simple, at, end)
        : this.#take(link, talk, simple, bytes, view, at, end);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  #passOver(link: Link, simple: SimpleTalk, at: number, end: number): number {
    const size = Math.min(simple.restSize, end - at);
    simple.restSize -= size;
    if (simple.restSize === 0) refuse(link, simple.errno);
    return at + size;
  }

  #take(
    link: Link,
    talk: Conversation,
    simple: SimpleTalk,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView,
    at: number,
    end: number,
  ): number {
    const have = end - at;
    if (have < SIMPLE_REQUEST_SIZE) {
      link.want(SIMPLE_REQUEST_SIZE);
      return at;
    }
    const request = simpleRequest(view, at);
    const errno = errnoOf(request);
    if (errno !== 0) {
      simple.restSize = sentSize(request);
      simple.errno = errno;
      if (simple.restSize === 0) refuse(link, errno);
      return at + SIMPLE_REQUEST_SIZE;
    }
    const whole = SIMPLE_REQUEST_SIZE + sentSize(request);
    if (have < whole) {
      link.want(whole);
      return at;
    }
    const size = Math.max(whole, SIMPLE_REPLY_SIZE + givenSizeMax(request));
    const mayBegin = ExchangePool.isSmall(size) || link.hasRoomFor(size);
    const exchange = mayBegin ? this.#pool.take(size) : undefined;
    if (!exchange) {
      this.#waiting.awaitRoom(link, talk);
      return at;
    }
    exchange.bytes.set(bytes.subarray(at, at + whole));
    this.#call(link, talk, simple.caller, exchange);
    return at + whole;
  }

  #call(link: Link, talk: Conversation, caller: number, exchange: Exchange): void {
    talk.standing = "waiting";
    link.pause();
    this.#host.callSimple(caller, talk.uid, exchange, () => {
      if (!talk.isOver) {
        talk.standing = "ready";
        putReply(link, exchange.bytes);
        link.resume();
      }
      this.#pool.give(exchange);
    });
  }

  /** A connection in this dialect went. */
  closed(simple: SimpleTalk): void {
    this.#host.endSimple(simple.caller);
  }
}

/** Why a request is refused by its words alone; 0 when it is not. @throws ProtocolError when it may be no request at all. */
function errnoOf(request: SimpleRequest): number {
  if (request.name === undefined) {
    if (request.size <= SIMPLE_DATA_SIZE_MAX) return ERRNO.ENOSYS;
    throw new ProtocolError(`a simple request of no known command with ${request.size} bytes`);
  }
  return fitsCommand(request) ? 0 : ERRNO.EINVAL;
}

function refuse(link: Link, errno: number): void {
  makeRoom(link, SIMPLE_REPLY_SIZE);
  const { output } = link;
  putSimpleReply(output.view, output.size, -1, errno, 0);
  output.size += SIMPLE_REPLY_SIZE;
}

/** Sends a reply, which may be larger than the output. */
function putReply(link: Link, bytes: Uint8Array<SharedArrayBuffer>): void {
  const end = simpleReplySize(new DataView(bytes.buffer), 0);
  for (let at = 0; at < end; at += OUTPUT_SIZE) {
    putBytes(link, bytes.subarray(at, Math.min(end, at + OUTPUT_SIZE)));
    link.flush();
  }
}
