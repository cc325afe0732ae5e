/**
 * Frames of the native dialect: a prefix of two lengths, a msgpack header, the raw payload.
 *
 *   - Lengths are checked before anything is buffered for them.
 *   - A header is accepted in any valid msgpack encoding, and only with exactly the fields of the table.
 *   - Payloads never pass through the msgpack codec.
 */
import { decode, encode } from "@std/msgpack";
import { ProtocolError } from "../base/errors.ts";
import { decodeFlat, encodeFlat } from "./flat_codec.ts";
import { HEADER_SIZE_MAX, messageName, MESSAGES, OPERATION_SIZE_MAX, PREFIX_SIZE } from "./messages.ts";
import type { Fields, FieldType, MessageName } from "./messages.ts";

/** What every frame carries besides its fields. */
export interface Envelope {
  /** Pairs a reply with its request; unique among the requests of a session. */
  readonly id: number;
  /** Which life of the cluster the sender is in; 0 when it knows none. */
  readonly incarnation: number;
  /** The highest epoch the sender has seen; 0 when it knows none. */
  readonly epoch: number;
}

/** A decoded header. */
export type Header = {
  [N in MessageName]: Envelope & { readonly name: N; readonly fields: Fields<N> };
}[MessageName];

/** Sizes of a frame whose prefix has arrived. */
export interface FrameSizes {
  /** Bytes of the header. */
  readonly headerSize: number;
  /** Bytes of the payload. */
  readonly payloadSize: number;
}

/**
 * Reads a prefix.
 *
 * @throws ProtocolError for a header that is empty or longer than HEADER_SIZE_MAX, or a payload longer than any may be.
 */
export function frameSizes(view: DataView, at: number): FrameSizes {
  const headerSize = view.getUint32(at);
  const payloadSize = view.getUint32(at + 4);
  if (headerSize === 0 || headerSize > HEADER_SIZE_MAX) {
    throw new ProtocolError(`a header of ${headerSize} bytes; 1 to ${HEADER_SIZE_MAX} are allowed`);
  }
  if (payloadSize > OPERATION_SIZE_MAX) {
    throw new ProtocolError(`a payload of ${payloadSize} bytes; at most ${OPERATION_SIZE_MAX} are allowed`);
  }
  return { headerSize, payloadSize };
}

const INTEGER_MAX: Partial<Record<FieldType, number>> = { u8: 0xff, u32: 0xffff_ffff, u64: Number.MAX_SAFE_INTEGER };

function isCell(value: unknown): boolean {
  return typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value);
}

function decodeField(name: string, type: FieldType, value: unknown): unknown {
  const fail = (): never => {
    throw new ProtocolError(`field ${name} is not ${type === "rows" ? "rows" : `a ${type}`}`);
  };
  switch (type) {
    case "word":
      if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
      return typeof value === "bigint" && value >= 0n ? value : fail();
    case "bool":
      return typeof value === "boolean" ? value : fail();
    case "text":
      return typeof value === "string" ? value : fail();
    case "bytes":
      // a copy: what was decoded lies in a buffer that the next frame may be received into
      return value instanceof Uint8Array ? value.slice() : fail();
    case "rows": {
      if (!Array.isArray(value)) return fail();
      return value.map((row) => {
        if (!Array.isArray(row)) return fail();
        const cells = row.map((cell) => typeof cell === "bigint" ? Number(cell) : cell);
        return cells.every(isCell) ? cells : fail();
      });
    }
    default: {
      const number = typeof value === "bigint" ? Number(value) : value;
      const most = INTEGER_MAX[type] as number;
      return Number.isSafeInteger(number) && (number as number) >= 0 && (number as number) <= most ? number : fail();
    }
  }
}

/** Every message's fields in their order, taken out of the table once. */
const FIELDS = Object.fromEntries(
  Object.entries(MESSAGES).map(([name, { fields }]) => [name, Object.entries(fields)]),
) as unknown as Readonly<Record<MessageName, readonly (readonly [string, FieldType])[]>>;

function decodeArray(bytes: Uint8Array): unknown[] {
  const flat = decodeFlat(bytes);
  if (flat) return flat;
  let value: unknown;
  try {
    value = decode(bytes);
  } catch (error) {
    throw new ProtocolError("a header that is not msgpack", error);
  }
  if (!Array.isArray(value)) throw new ProtocolError("a header that is not an array");
  return value;
}

/**
 * Decodes and checks one header.
 *
 * @throws ProtocolError for anything that the table does not allow, an unknown kind included.
 */
export function decodeHeader(bytes: Uint8Array): Header {
  const [id, kind, incarnation, epoch, ...values] = decodeArray(bytes);
  const name = typeof kind === "number" || typeof kind === "bigint" ? messageName(Number(kind)) : undefined;
  if (name === undefined) throw new ProtocolError(`a message of unknown kind ${String(kind)}`);
  const types = FIELDS[name];
  if (values.length !== types.length) {
    throw new ProtocolError(`${name} with ${values.length} fields; it has ${types.length}`);
  }
  const fields: Record<string, unknown> = {};
  for (let i = 0; i < types.length; i++) {
    const [field, type] = types[i] as readonly [string, FieldType];
    fields[field] = decodeField(field, type, values[i]);
  }
  return {
    name,
    id: decodeField("id", "u32", id),
    incarnation: decodeField("incarnation", "u32", incarnation),
    epoch: decodeField("epoch", "u32", epoch),
    fields,
  } as unknown as Header;
}

/** Throws ProtocolError when a message of that name may not carry `payloadSize` bytes. */
export function requirePayload(name: MessageName, payloadSize: number): void {
  const most = MESSAGES[name].payloadMax;
  if (payloadSize > most) {
    throw new ProtocolError(`${name} with a payload of ${payloadSize} bytes; at most ${most} are allowed`);
  }
}

/** One frame without its payload: prefix (which announces `payloadSize` bytes) and header. */
export function encodeFrame<N extends MessageName>(
  name: N,
  envelope: Envelope,
  fields: Fields<N>,
  payloadSize = 0,
): Uint8Array<ArrayBuffer> {
  const values: unknown[] = [envelope.id, MESSAGES[name].kind, envelope.incarnation, envelope.epoch];
  for (const [field] of FIELDS[name]) values.push(fields[field as keyof Fields<N>]);
  const frame = encodeFlat(values, PREFIX_SIZE) ?? encodeAny(values);
  const view = new DataView(frame.buffer);
  view.setUint32(0, frame.length - PREFIX_SIZE);
  view.setUint32(4, payloadSize);
  return frame;
}

/** The same for values of any kind. */
function encodeAny(values: readonly unknown[]): Uint8Array<ArrayBuffer> {
  const header = encode(values as never);
  const frame = new Uint8Array(PREFIX_SIZE + header.length);
  frame.set(header, PREFIX_SIZE);
  return frame;
}
