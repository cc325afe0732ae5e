/** Writes requests: those that wait together leave together, headers from templates where there are any. */
import { putReadRequest, putWriteRequest, READ_REQUEST_SIZE, WRITE_REQUEST_SIZE } from "../wire/templates.ts";
import type { EpochWord } from "../wire/epoch.ts";
import type { Pending } from "./request.ts";
import { writeAll } from "./stream.ts";
import type { Stream } from "./stream.ts";

/** Bytes collected for one write. */
const WRITE_SIZE = 128 * 1024;
/** Payloads up to this size are copied beside their header; larger ones are written by themselves. */
const COPY_SIZE_MAX = 16 * 1024;

function headSizeOf(pending: Pending): number {
  switch (pending.kind) {
    case "read":
      return READ_REQUEST_SIZE;
    case "write":
      return WRITE_REQUEST_SIZE;
    case "other":
      return (pending.frame as Uint8Array).length;
  }
}

/** See the head of this file. */
export class RequestWriter {
  /** Requests sent so far that may not be repeated. */
  turns = 0;
  readonly #bytes = new Uint8Array(WRITE_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Takes as many requests from the front of `queue` as make one write, and writes them. */
  async writeSome(stream: Stream, queue: Pending[], epoch: EpochWord): Promise<void> {
    let size = 0;
    let count = 0;
    let large: Uint8Array | undefined;
    while (count < queue.length && large === undefined) {
      const pending = queue[count] as Pending;
      const isLarge = pending.payload.length > COPY_SIZE_MAX;
      const headSize = headSizeOf(pending);
      if (size + headSize + (isLarge ? 0 : pending.payload.length) > WRITE_SIZE) break;
      count++;
      if (pending.isDone) continue;
      if (!pending.wasSent && !pending.isRepeatable) pending.turn = ++this.turns;
      pending.wasSent = true;
      this.#putHead(pending, size, epoch);
      size += headSize;
      if (isLarge) large = pending.payload;
      else if (pending.payload.length > 0) {
        this.#bytes.set(pending.payload, size);
        size += pending.payload.length;
      }
    }
    if (count === queue.length) queue.length = 0;
    else queue.splice(0, count);
    if (size > 0) await writeAll(stream, this.#bytes.subarray(0, size));
    if (large) await writeAll(stream, large);
  }

  #putHead(pending: Pending, at: number, { incarnation, epoch }: EpochWord): void {
    const { id, offset, size } = pending;
    if (pending.kind === "read") putReadRequest(this.#view, at, id, incarnation, epoch, offset, size);
    else if (pending.kind === "write") putWriteRequest(this.#view, at, id, incarnation, epoch, offset, size);
    else this.#bytes.set(pending.frame as Uint8Array, at);
  }
}
