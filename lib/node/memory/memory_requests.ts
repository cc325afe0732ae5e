/**
 * From bytes to requests: what a client of a memory server asks of its region, in whichever dialect it came.
 *
 * A request object is filled in place and reused; it is valid only while the bytes it was parsed from are.
 */
import { ProtocolError } from "../../base/errors.ts";
import { CLASSIC_QUIT, CLASSIC_READ, CLASSIC_REQUEST_SIZE, CLASSIC_WRITE } from "../../wire/classic.ts";
import { decodeHeader, frameSizes, requirePayload } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import { OPERATION_SIZE_MAX, PREFIX_SIZE } from "../../wire/messages.ts";
import {
  isReadRequest,
  isWriteRequest,
  READ_REQUEST_SIZE,
  templateEpoch,
  templateId,
  templateIncarnation,
  templateOffset,
  templateSize,
  WRITE_REQUEST_SIZE,
} from "../../wire/templates.ts";

/** What is asked of the region. */
export const Operation = {
  read: 0,
  write: 1,
  fill: 2,
  fetchAdd: 3,
  compareExchange: 4,
  wait: 5,
  classicRead: 6,
  classicWrite: 7,
} as const;
/** One of the above. */
export type Operation = (typeof Operation)[keyof typeof Operation];

/** One request on the region. */
export class MemoryRequest {
  /** What is asked. */
  operation: Operation = Operation.read;
  /** The request's id; 0 in the classic dialect. */
  id = 0;
  /** The life its frame carried; 0 where there is none. */
  incarnation = 0;
  /** The epoch its frame carried; 0 where there is none. */
  epoch = 0;
  /** Where in the region. */
  offset = 0;
  /** How many bytes of the region are touched. */
  size = 0;
  /** Where its data begins in the bytes it was parsed from. */
  dataAt = 0;
  /** Where the next request begins. */
  end = 0;
  /** Which of several links served together it came from. */
  from = 0;
  /** The byte to fill with, or the bytes of an atomic word. */
  small = 0;
  /** The operand of an atomic operation: what to add, or the replacement. */
  operand = 0n;
  /** What the word must be for it to be replaced. */
  expected = 0n;
  /** How long to wait, in ms. */
  timeoutMs = 0;
}

/** What `parse` made of the bytes. */
export const Parsed = {
  /** A request on the region. */
  request: 0,
  /** Not all of it is here; `needed` says how many bytes it takes. */
  incomplete: 1,
  /** Another message: `header` has it, `end` says where it ends. */
  control: 2,
  /** The classic goodbye. */
  quit: 3,
} as const;
/** One of the above. */
export type Parsed = (typeof Parsed)[keyof typeof Parsed];

/** Turns bytes into requests. */
export class RequestParser {
  /** Bytes the incomplete request takes, as far as is known. */
  needed = 0;
  /** The message that is not a request on the region. */
  header: Header | undefined;
  /** Where that message ends. */
  end = 0;

  #incomplete(needed: number): Parsed {
    this.needed = needed;
    return Parsed.incomplete;
  }

  /** Parses native bytes from `at`. @throws ProtocolError for what is not the protocol. */
  parseNative(bytes: Uint8Array, view: DataView, at: number, size: number, into: MemoryRequest): Parsed {
    const have = size - at;
    if (have >= READ_REQUEST_SIZE && isReadRequest(view, at)) {
      into.operation = Operation.read;
      into.id = templateId(view, at);
      into.incarnation = templateIncarnation(view, at);
      into.epoch = templateEpoch(view, at);
      into.offset = templateOffset(view, at);
      into.size = templateSize(view, at);
      into.end = at + READ_REQUEST_SIZE;
      return Parsed.request;
    }
    if (have >= WRITE_REQUEST_SIZE && isWriteRequest(view, at)) {
      const payloadSize = frameSizes(view, at).payloadSize;
      if (have < WRITE_REQUEST_SIZE + payloadSize) return this.#incomplete(WRITE_REQUEST_SIZE + payloadSize);
      into.operation = Operation.write;
      into.id = templateId(view, at);
      into.incarnation = templateIncarnation(view, at);
      into.epoch = templateEpoch(view, at);
      into.offset = templateOffset(view, at);
      into.size = payloadSize;
      into.dataAt = at + WRITE_REQUEST_SIZE;
      into.end = into.dataAt + payloadSize;
      return Parsed.request;
    }
    return this.#parseAny(bytes, view, at, have, into);
  }

  #parseAny(bytes: Uint8Array, view: DataView, at: number, have: number, into: MemoryRequest): Parsed {
    if (have < PREFIX_SIZE) return this.#incomplete(PREFIX_SIZE);
    const { headerSize, payloadSize } = frameSizes(view, at);
    const dataAt = at + PREFIX_SIZE + headerSize;
    if (have < PREFIX_SIZE + headerSize) return this.#incomplete(PREFIX_SIZE + headerSize);
    const header = decodeHeader(bytes.subarray(at + PREFIX_SIZE, dataAt));
    requirePayload(header.name, payloadSize);
    if (have < PREFIX_SIZE + headerSize + payloadSize) {
      return this.#incomplete(PREFIX_SIZE + headerSize + payloadSize);
    }
    into.id = header.id;
    into.incarnation = header.incarnation;
    into.epoch = header.epoch;
    into.dataAt = dataAt;
    into.end = dataAt + payloadSize;
    return this.#take(header, payloadSize, into);
  }

  #take(header: Header, payloadSize: number, into: MemoryRequest): Parsed {
    switch (header.name) {
      case "read":
        into.operation = Operation.read;
        into.size = header.fields.size;
        break;
      case "write":
        into.operation = Operation.write;
        into.size = payloadSize;
        break;
      case "fill":
        into.operation = Operation.fill;
        into.size = header.fields.size;
        into.small = header.fields.byte;
        break;
      case "fetchAdd":
        into.operation = Operation.fetchAdd;
        into.size = into.small = header.fields.width;
        into.operand = header.fields.operand;
        break;
      case "compareExchange":
        into.operation = Operation.compareExchange;
        into.size = into.small = header.fields.width;
        into.expected = header.fields.expected;
        into.operand = header.fields.replacement;
        break;
      case "wait":
        into.operation = Operation.wait;
        into.size = payloadSize;
        into.timeoutMs = header.fields.timeoutMs;
        break;
      default:
        this.header = header;
        this.end = into.end;
        return Parsed.control;
    }
    into.offset = header.fields.offset;
    return Parsed.request;
  }

  /** Parses classic bytes from `at`. @throws ProtocolError for another first byte, or a range that is none. */
  parseClassic(view: DataView, at: number, size: number, into: MemoryRequest): Parsed {
    const have = size - at;
    const first = view.getUint8(at);
    if (first === CLASSIC_QUIT) return Parsed.quit;
    if (first !== CLASSIC_READ && first !== CLASSIC_WRITE) {
      throw new ProtocolError(`classic request ${first}; r, w and q are known`);
    }
    if (have < CLASSIC_REQUEST_SIZE) return this.#incomplete(CLASSIC_REQUEST_SIZE);
    const start = view.getInt32(at + 1);
    const end = view.getInt32(at + 5);
    if (start < 0 || end < start || end - start > OPERATION_SIZE_MAX) {
      throw new ProtocolError(`classic range ${start} to ${end}; start must not be after end`);
    }
    into.id = 0;
    into.incarnation = 0;
    into.epoch = 0;
    into.offset = start;
    into.size = end - start;
    into.dataAt = at + CLASSIC_REQUEST_SIZE;
    const dataSize = first === CLASSIC_WRITE ? into.size : 0;
    if (have < CLASSIC_REQUEST_SIZE + dataSize) return this.#incomplete(CLASSIC_REQUEST_SIZE + dataSize);
    into.operation = first === CLASSIC_READ ? Operation.classicRead : Operation.classicWrite;
    into.end = into.dataAt + dataSize;
    return Parsed.request;
  }
}
