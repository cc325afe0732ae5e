/** Small things every client does with a stream of bytes. */

/** A connection as a client sees it: TCP, TLS, or sealed records over TCP. One reader and one writer at a time. */
export interface Stream {
  /** Reads some bytes to the front of `into`; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of `bytes`, at least one; returns how many. */
  write(bytes: Uint8Array): Promise<number>;
  /** Closes it; what is waited for fails. */
  close(): void;
}

/** Closes a stream that may be closed already. */
export function tryClose(stream: Pick<Stream, "close">): void {
  try {
    stream.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // closed already, by a deadline or an abort
  }
}

/** Writes all of `bytes`. */
export async function writeAll(stream: Stream, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await stream.write(at === 0 ? bytes : bytes.subarray(at));
}

/** Reads exactly `size` bytes. @throws an Error when the stream ends before. */
export async function readExactly(stream: Stream, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const count = await stream.read(bytes.subarray(at));
    if (count === null) throw new Error("it closed the connection");
    at += count;
  }
  return bytes;
}

/** Waits for `promise` at most `ms`; what comes later is given to `late`. @throws an Error that says `message`. */
export async function withTimeout<T>(
  promise: Promise<T>,
  ms: number,
  message: string,
  late: (value: T) => void,
): Promise<T> {
  let isLate = false;
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    isLate = true;
    reject(new Error(message));
  }, ms);
  promise.then((value) => isLate && late(value), () => {});
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
