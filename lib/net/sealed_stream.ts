/** A client's stream of bytes in sealed records: it reads and writes like any other. */
import { Opener, Sealer } from "../wire/seal.ts";
import type { Exchange } from "../wire/proof.ts";
import { writeAll } from "./stream.ts";
import type { Stream } from "./stream.ts";

/** What one read takes at most. */
const READ_SIZE = 256 * 1024;

/** See the head of this file. */
export class SealedStream implements Stream {
  readonly #stream: Stream;
  readonly #sealer: Sealer;
  readonly #opener: Opener;
  readonly #buffer = new Uint8Array(READ_SIZE);
  /** Bytes of records that were opened and not read yet. */
  #opened: Uint8Array = new Uint8Array(0);

  /** @param stream at the first record; @param exchange whose keys they are sealed with. */
  constructor(stream: Stream, { toServerKey, toClientKey }: Pick<Exchange, "toServerKey" | "toClientKey">) {
    this.#stream = stream;
    this.#sealer = new Sealer(toServerKey);
    this.#opener = new Opener(toClientKey);
  }

  /** Takes bytes that came already. @throws ProtocolError for a record that is not the server's next. */
  take(bytes: Uint8Array): void {
    this.#opened = this.#opener.open(bytes);
  }

  /** See {@linkcode Stream}. @throws ProtocolError for a record that is not the server's next one. */
  async read(into: Uint8Array): Promise<number | null> {
    while (this.#opened.length === 0) {
      const count = await this.#stream.read(this.#buffer);
      if (count === null) return null;
      this.take(this.#buffer.subarray(0, count));
    }
    const size = Math.min(into.length, this.#opened.length);
    into.set(this.#opened.subarray(0, size));
    this.#opened = this.#opened.subarray(size);
    return size;
  }

  /** See {@linkcode Stream}: always all of `bytes`. */
  async write(bytes: Uint8Array): Promise<number> {
    await writeAll(this.#stream, this.#sealer.seal(bytes));
    return bytes.length;
  }

  /** See {@linkcode Stream}. */
  close(): void {
    this.#stream.close();
  }
}
