/**
 * msgpack for what nearly all headers are: one array of integers, truth values, texts and bytes. Several times faster than
 * the general codec; what is anything else is left to that.
 *
 * The bytes are the general codec's but for integers beyond 32 bits, which it makes floating-point numbers of.
 */

const FIX_ARRAY_COUNT_MAX = 15;
const FIX_TEXT_SIZE_MAX = 31;
const SAFE_HIGH_WORD_MAX = 0x1f_ffff;
/** Headers beyond this size are left to the general codec. */
const SIZE_MAX = 4096;

const bytes = new Uint8Array(SIZE_MAX);
const view = new DataView(bytes.buffer);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One value. */
export type FlatValue = number | bigint | boolean | string | Uint8Array;

/** The array of `values`, `start` bytes after the beginning of a new buffer; undefined where they are not flat. */
export function encodeFlat(values: readonly unknown[], start: number): Uint8Array<ArrayBuffer> | undefined {
  if (values.length > FIX_ARRAY_COUNT_MAX) return undefined;
  let at = start;
  bytes[at++] = 0x90 | values.length;
  for (const value of values) {
    const end = putValue(value, at);
    if (end === undefined) return undefined;
    at = end;
  }
  return bytes.slice(0, at);
}

/** Where the value put at `at` ends; undefined for one that is not flat, or not short enough. */
function putValue(value: unknown, at: number): number | undefined {
  if (at > SIZE_MAX - 9) return undefined;
  switch (typeof value) {
    case "number":
      return Number.isSafeInteger(value) && value >= 0 ? putInteger(value, at) : undefined;
    case "bigint":
      if (BigInt.asUintN(64, value) !== value) return undefined;
      bytes[at] = 0xcf;
      view.setBigUint64(at + 1, value);
      return at + 9;
    case "boolean":
      bytes[at] = value ? 0xc3 : 0xc2;
      return at + 1;
    case "string":
      return putText(value, at);
    default:
      return value instanceof Uint8Array ? putBytes(value, at) : undefined;
  }
}

function putInteger(value: number, at: number): number {
  if (value <= 0x7f) {
    bytes[at] = value;
    return at + 1;
  }
  if (value <= 0xff) {
    bytes[at] = 0xcc;
    bytes[at + 1] = value;
    return at + 2;
  }
  if (value <= 0xffff) {
    bytes[at] = 0xcd;
    view.setUint16(at + 1, value);
    return at + 3;
  }
  if (value <= 0xffff_ffff) {
    bytes[at] = 0xce;
    view.setUint32(at + 1, value);
    return at + 5;
  }
  bytes[at] = 0xcf;
  view.setUint32(at + 1, value / 0x1_0000_0000);
  view.setUint32(at + 5, value >>> 0);
  return at + 9;
}

function putText(value: string, at: number): number | undefined {
  if (value.length * 3 > SIZE_MAX - at - 3) return undefined;
  const room = value.length * 3 <= FIX_TEXT_SIZE_MAX ? 1 : 0;
  // where it may be longer than a fixed one, its size is not known before it is there
  const textAt = at + (room === 1 ? 1 : 3);
  const { written } = encoder.encodeInto(value, bytes.subarray(textAt));
  const headSize = written <= FIX_TEXT_SIZE_MAX ? 1 : written <= 0xff ? 2 : 3;
  if (at + headSize !== textAt) bytes.copyWithin(at + headSize, textAt, textAt + written);
  if (headSize === 1) bytes[at] = 0xa0 | written;
  else if (headSize === 2) {
    bytes[at] = 0xd9;
    bytes[at + 1] = written;
  } else {
    bytes[at] = 0xda;
    view.setUint16(at + 1, written);
  }
  return at + headSize + written;
}

function putBytes(value: Uint8Array, at: number): number | undefined {
  const size = value.length;
  if (size > 0xff || at + 2 + size > SIZE_MAX) return undefined;
  bytes[at] = 0xc4;
  bytes[at + 1] = size;
  bytes.set(value, at + 2);
  return at + 2 + size;
}

/** The values of the array that `from` is, views of it where they are bytes; undefined where it is something else. */
export function decodeFlat(from: Uint8Array): FlatValue[] | undefined {
  const head = from[0] ?? 0;
  if ((head & 0xf0) !== 0x90) return undefined;
  const words = new DataView(from.buffer, from.byteOffset, from.byteLength);
  const values: FlatValue[] = [];
  const size = from.length;
  let at = 1;
  for (let left = head & 0x0f; left > 0; left--) {
    const tag = from[at++];
    if (tag === undefined) return undefined;
    if (tag <= 0x7f) values.push(tag);
    else if (tag >= 0xa0 && tag <= 0xbf) {
      const end = at + (tag & 0x1f);
      if (end > size) return undefined;
      values.push(decoder.decode(from.subarray(at, end)));
      at = end;
    } else {
      const width = widthOf(tag);
      if (width < 0 || at + width > size) return undefined;
      const value = valueAt(tag, words, at);
      at += width;
      if (tag === 0xc4 || tag === 0xd9 || tag === 0xda) {
        const end = at + Number(value);
        if (end > size) return undefined;
        const part = from.subarray(at, end);
        values.push(tag === 0xc4 ? part : decoder.decode(part));
        at = end;
      } else values.push(value);
    }
  }
  return at === size ? values : undefined;
}

/** How many bytes follow a tag before its value, or as it; -1 for one that is not flat. */
function widthOf(tag: number): number {
  switch (tag) {
    case 0xc2:
    case 0xc3:
      return 0;
    case 0xcc:
    case 0xc4:
    case 0xd9:
      return 1;
    case 0xcd:
    case 0xda:
      return 2;
    case 0xce:
      return 4;
    case 0xcf:
      return 8;
    default:
      return -1;
  }
}

function valueAt(tag: number, words: DataView, at: number): number | bigint | boolean {
  switch (tag) {
    case 0xc2:
    case 0xc3:
      return tag === 0xc3;
    case 0xcc:
    case 0xc4:
    case 0xd9:
      return words.getUint8(at);
    case 0xcd:
    case 0xda:
      return words.getUint16(at);
    case 0xce:
      return words.getUint32(at);
    default: {
      const high = words.getUint32(at);
      return high <= SAFE_HIGH_WORD_MAX ? high * 0x1_0000_0000 + words.getUint32(at + 4) : words.getBigUint64(at);
    }
  }
}
