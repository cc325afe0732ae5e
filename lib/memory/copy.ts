/**
 * Copying few bytes: eight at a time through DataViews, which costs a third of what `set(subarray(…))` does, whose view
 * object alone takes longer than the copy. Many bytes are the business of `set`.
 */

/** Up to this size the loop wins (measured: equal at about 256 bytes). */
export const SMALL_SIZE_MAX = 192;

/** Copies `size` bytes from `from[fromAt…]` to `into[intoAt…]`; the two must not overlap. */
export function copySmall(from: DataView, fromAt: number, into: DataView, intoAt: number, size: number): void {
  const whole = size & ~7;
  let at = 0;
  for (; at < whole; at += 8) into.setBigInt64(intoAt + at, from.getBigInt64(fromAt + at));
  for (; at < size; at++) into.setUint8(intoAt + at, from.getUint8(fromAt + at));
}

/** The view of one buffer after the other, made anew only when another one comes. */
export class LastView {
  #bytes: Uint8Array | undefined;
  #view: DataView = new DataView(new ArrayBuffer(0));

  /** The DataView over the same bytes. */
  of(bytes: Uint8Array): DataView {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.#view;
  }
}
