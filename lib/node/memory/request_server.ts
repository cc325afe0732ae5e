/**
 * Carries out requests on a region whose guards are held, and answers them.
 *
 *   - A reply's epoch is loaded under the guards, so no byte of a later epoch can be in it.
 *   - Whether somebody may do what he asks is looked at when his request comes, and again when he had to wait for it; who
 *     waits for a change is told when he may not see it any more.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Region } from "../../memory/region.ts";
import type { WordWidth } from "../../memory/region.ts";
import type { Link } from "../../net/transport.ts";
import { OPERATION_SIZE_MAX } from "../../wire/messages.ts";
import type { Fields } from "../../wire/messages.ts";
import { putReadReply, putWriteReply, REPLY_SIZE } from "../../wire/templates.ts";
import { makeRoom, putReply, refusalOfEpoch } from "../common/native_reply.ts";
import type { Session } from "../common/sessions.ts";
import { ChangeWatch, isEqual, WATCHERS_MAX } from "./change_watch.ts";
import type { Conversation } from "./conversation.ts";
import { Operation } from "./memory_requests.ts";
import type { MemoryRequest } from "./memory_requests.ts";
import { SegmentOwners } from "./segment_owners.ts";

/** Reads up to this size are copied into the output; larger ones go from the region to the socket. */
export const INLINE_SIZE_MAX = 16 * 1024;

/** See the head of this file. */
export class RequestServer {
  /** Requests carried out. */
  operationCount = 0;
  /** Bytes of the region they touched. */
  byteCount = 0;
  /** Who waits for a change. */
  readonly watch: ChangeWatch;
  /** Who may touch what. */
  readonly owners: SegmentOwners;
  readonly #region: Region;

  /** @param region mapped by this process. @param isStandalone see {@linkcode SegmentOwners}. */
  constructor(region: Region, isStandalone: boolean) {
    this.#region = region;
    this.owners = new SegmentOwners(region, isStandalone);
    this.watch = new ChangeWatch(region, (link, id, bytes) => {
      putReply(link, region, id, "readReply", {}, bytes);
      link.flush();
    });
  }

  /**
   * Why a request of `talk` cannot be served whatever the guards; undefined when it can. An epoch that is next has been
   * moved to by then: before the request is served, as the cut demands.
   */
  refusalOf(talk: Conversation, request: MemoryRequest): Fields<"error"> | undefined {
    const { operation, offset, size, incarnation, epoch } = request;
    if (incarnation !== 0 && (incarnation !== this.#region.incarnationHeld || epoch > this.#region.epochHeld)) {
      const stale = refusalOfEpoch(this.#region, incarnation, epoch);
      if (stale) return stale;
    }
    if (!this.#region.contains(offset, size) || size > OPERATION_SIZE_MAX) {
      const message = `${size} bytes at ${offset}: this region has ${this.#region.layout.size} bytes`;
      return { code: "EINVAL", message };
    }
    const isAtomic = operation === Operation.fetchAdd || operation === Operation.compareExchange;
    if (isAtomic && ((size !== 4 && size !== 8) || offset % size !== 0)) {
      return { code: "EINVAL", message: `a word of ${size} bytes at ${offset}: 4 or 8, at a multiple of it` };
    }
    if (!talk.isPrivileged) {
      const forbidden = this.owners.refusalOf(talk, operation, offset, size);
      if (forbidden) return forbidden;
    }
    if (operation !== Operation.wait) return undefined;
    if (size === 0) return { code: "EINVAL", message: "nothing to compare" };
    return this.watch.size >= WATCHERS_MAX ? { code: "EAGAIN", message: "too many wait already" } : undefined;
  }

  /** Takes note of what the config server tells of owners. @returns why it does not. */
  tellOwners(told: Fields<"owners">): Fields<"error"> | undefined {
    const refusal = this.owners.tell(told);
    this.watch.dismiss((link, id, offset, size) => {
      const forbidden = this.owners.refusalOf(link.state as Conversation, Operation.wait, offset, size);
      return forbidden && ((): void => {
        putReply(link, this.#region, id, "error", forbidden);
        link.flush();
      });
    });
    return refusal;
  }

  /** Answers a request that is refused. @throws ProtocolError in the classic dialect, which has no errors. */
  refuse(link: Link, request: MemoryRequest, refusal: Fields<"error">): void {
    const isClassic = request.operation === Operation.classicRead || request.operation === Operation.classicWrite;
    if (isClassic) throw new ProtocolError(`classic request for ${refusal.message}`);
    putReply(link, this.#region, request.id, "error", refusal);
  }

  /**
   * Carries out one request and puts its answer.
   *
   * @param session of the connection; undefined in the classic dialect. @param bytes what the request was parsed from.
   */
  serve(
    link: Link,
    session: Session<bigint> | undefined,
    request: MemoryRequest,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
  ): void {
    const region = this.#region;
    const { offset, size } = request;
    this.operationCount++;
    this.byteCount += size;
    switch (request.operation) {
      case Operation.read:
        return this.#serveRead(link, request);
      case Operation.write:
        region.writeHeld(offset, bytes, request.dataAt, size, view);
        return this.#serveWritten(link, request);
      case Operation.fill:
        region.fillHeld(offset, size, request.small);
        return this.#serveWritten(link, request);
      case Operation.fetchAdd:
      case Operation.compareExchange:
        return this.#serveAtomic(link, session as Session<bigint>, request);
      case Operation.wait:
        return this.#serveWait(link, request, bytes);
      case Operation.classicRead:
        region.checkHeld(offset, size);
        if (size > INLINE_SIZE_MAX) return link.sendMemory(offset, size);
        makeRoom(link, size);
        region.readHeld(offset, size, link.output.bytes, link.output.size, link.output.view);
        link.output.size += size;
        return;
      case Operation.classicWrite:
        return region.writeHeld(offset, bytes, request.dataAt, size, view);
    }
  }

  #serveRead(link: Link, request: MemoryRequest): void {
    const region = this.#region;
    const { offset, size } = request;
    makeRoom(link, REPLY_SIZE + INLINE_SIZE_MAX);
    const output = link.output;
    const at = output.size;
    output.size += REPLY_SIZE;
    if (size <= INLINE_SIZE_MAX) {
      region.readHeld(offset, size, output.bytes, at + REPLY_SIZE, output.view);
      output.size += size;
      putReadReply(
        output.view,
        at,
        request.id,
        region.incarnationHeld,
        region.epochHeld,
        size,
      );
      return;
    }
    region.checkHeld(offset, size);
    putReadReply(output.view, at, request.id, region.incarnationHeld, region.epochHeld, size);
    link.sendMemory(offset, size);
  }

  #serveWritten(link: Link, request: MemoryRequest): void {
    makeRoom(link, REPLY_SIZE);
    const output = link.output;
    const region = this.#region;
    putWriteReply(
      output.view,
      output.size,
      request.id,
      region.incarnationHeld,
      region.epochHeld,
    );
    output.size += REPLY_SIZE;
  }

  #serveAtomic(link: Link, session: Session<bigint>, request: MemoryRequest): void {
    let value = session.answered(request.id);
    if (value === undefined) {
      const width = request.small as WordWidth;
      value = this.#region.wordHeld(request.offset, width);
      if (request.operation === Operation.fetchAdd) {
        this.#region.setWordHeld(request.offset, width, value + request.operand);
      } else if (value === request.expected) {
        this.#region.setWordHeld(request.offset, width, request.operand);
      }
      session.remember(request.id, value);
    }
    putReply(link, this.#region, request.id, "valueReply", { value });
  }

  #serveWait(link: Link, request: MemoryRequest, bytes: Uint8Array<ArrayBuffer>): void {
    const { offset, size, dataAt } = request;
    const known = bytes.slice(dataAt, dataAt + size);
    const present = new Uint8Array(size);
    this.#region.readHeld(offset, size, present, 0, new DataView(present.buffer));
    if (isEqual(present, known)) this.watch.add(link, request.id, offset, known, request.timeoutMs);
    else putReply(link, this.#region, request.id, "readReply", {}, present);
  }
}
