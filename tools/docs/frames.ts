/** Frames as people read them: every byte, where it is, and what it says. */
import { invariant } from "../../lib/base/assert.ts";
import { MESSAGES, PREFIX_SIZE } from "../../lib/wire/messages.ts";
import type { MessageName } from "../../lib/wire/messages.ts";

const FIX_INTEGER_MAX = 0x7f;

/** Bytes of the msgpack value at `at`, for the kinds of value that our headers have; of an array, its first byte. */
function valueSize(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  const next = bytes[at + 1] as number;
  if (first <= FIX_INTEGER_MAX || (first >= 0x90 && first <= 0x9f)) return 1;
  if (first >= 0xa0 && first <= 0xbf) return 1 + (first & 0x1f);
  const sizes: Record<number, number> = {
    0xc2: 1,
    0xc3: 1,
    0xc4: 2 + next,
    0xcc: 2,
    0xcd: 3,
    0xce: 5,
    0xcf: 9,
    0xd9: 2 + next,
  };
  const size = sizes[first];
  invariant(size !== undefined, `the first byte ${first} of a value is one that tools/docs/frames.ts knows`);
  return size;
}

/** One line of a dump. */
function line(bytes: Uint8Array, at: number, size: number, meaning: string): string {
  const hex = [...bytes.subarray(at, at + size)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${String(at).padStart(4)}  ${hex.padEnd(49)}  ${meaning}`.trimEnd();
}

function lines(bytes: Uint8Array, at: number, size: number, meaning: string): string[] {
  const parts: string[] = [];
  for (let done = 0; done < size; done += 16) {
    parts.push(line(bytes, at + done, Math.min(16, size - done), done === 0 ? meaning : ""));
  }
  return parts;
}

/** A frame of message `name`, byte by byte, with the offset of each line. */
export function dumpFrame(name: MessageName, frame: Uint8Array<ArrayBuffer>): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const headerSize = view.getUint32(0);
  const payloadSize = view.getUint32(4);
  const names = ["id", `kind: ${name}`, "incarnation", "epoch", ...Object.keys(MESSAGES[name].fields)];
  const dump = [
    line(frame, 0, 4, `the header has ${headerSize} bytes`),
    line(frame, 4, 4, `the payload has ${payloadSize} bytes`),
    line(frame, PREFIX_SIZE, 1, `an array of ${names.length} values`),
  ];
  let at = PREFIX_SIZE + 1;
  for (const meaning of names) {
    const size = valueSize(frame, at);
    dump.push(...lines(frame, at, size, meaning));
    at += size;
  }
  invariant(at === PREFIX_SIZE + headerSize, `the header of ${name} ends where its length says`);
  invariant(frame.length === at + payloadSize, `the frame of ${name} ends with its payload`);
  if (payloadSize > 0) dump.push(...lines(frame, at, payloadSize, "the payload"));
  return dump.join("\n");
}

/** Bytes that are no frame, in parts of `sizes` with a meaning each. */
export function dumpParts(bytes: Uint8Array, parts: readonly (readonly [size: number, meaning: string])[]): string {
  let at = 0;
  return parts.flatMap(([size, meaning]) => {
    at += size;
    return lines(bytes, at - size, size, meaning);
  }).join("\n");
}
