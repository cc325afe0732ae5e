/** Reads replies off a stream: those per access by their template, all others by the codec. */
import { decodeHeader, frameSizes, requirePayload } from "../wire/frame.ts";
import type { Header } from "../wire/frame.ts";
import { PREFIX_SIZE } from "../wire/messages.ts";
import { isPlainReply, REPLY_SIZE, templateEpoch, templateId, templateIncarnation } from "../wire/templates.ts";
import type { Stream } from "./stream.ts";

/** What one read takes at most. */
const READ_SIZE = 256 * 1024;

/** Whom replies are told to. */
export interface ReplySink {
  /** A reply without fields came whole: `bytes[start … end]` is its payload, and stays so only until this returns. */
  plain(
    id: number,
    incarnation: number,
    epoch: number,
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void;
  /** Any other reply came; the payload is the sink's. */
  reply(header: Header, payload: Uint8Array<ArrayBuffer>): void;
}

/** What is left of a payload too large for the buffer, behind its `start`. */
async function receiveRest(stream: Stream, start: Uint8Array, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const payload = new Uint8Array(size);
  payload.set(start);
  for (let have = start.length; have < size;) {
    const count = await stream.read(payload.subarray(have));
    if (count === null) throw new Error("it closed the connection in the middle of a reply");
    have += count;
  }
  return payload;
}

/**
 * Reads until the stream ends.
 *
 * @throws ProtocolError for what is not the protocol; an Error of the network's.
 */
export async function readReplies(stream: Stream, sink: ReplySink): Promise<void> {
  const buffer = new Uint8Array(READ_SIZE);
  const view = new DataView(buffer.buffer);
  let have = 0;
  for (;;) {
    const count = await stream.read(have === 0 ? buffer : buffer.subarray(have));
    if (count === null) return;
    have += count;
    let at = 0;
    for (;;) {
      const plainEnd = endOfPlainReply(view, at, have);
      if (plainEnd > 0) {
        const start = at + REPLY_SIZE;
        sink.plain(
          templateId(view, at),
          templateIncarnation(view, at),
          templateEpoch(view, at),
          buffer,
          start,
          plainEnd,
        );
        at = plainEnd;
        continue;
      }
      if (have - at < PREFIX_SIZE) break;
      const { headerSize, payloadSize } = frameSizes(view, at);
      const dataAt = at + PREFIX_SIZE + headerSize;
      const end = dataAt + payloadSize;
      if (dataAt > have || (end > have && end - at <= READ_SIZE)) break;
      const header = decodeHeader(buffer.subarray(at + PREFIX_SIZE, dataAt));
      requirePayload(header.name, payloadSize);
      const payload = end <= have
        ? buffer.slice(dataAt, end)
        : await receiveRest(stream, buffer.subarray(dataAt, have), payloadSize);
      sink.reply(header, payload);
      at = Math.min(end, have);
    }
    if (at > 0 && at < have) buffer.copyWithin(0, at, have);
    have -= at;
  }
}

/** Where the plain reply at `at` ends, or 0 when there is none, or not all of one. */
function endOfPlainReply(view: DataView, at: number, have: number): number {
  if (have - at < REPLY_SIZE || !isPlainReply(view, at)) return 0;
  const end = at + REPLY_SIZE + frameSizes(view, at).payloadSize;
  return end <= have ? end : 0;
}
