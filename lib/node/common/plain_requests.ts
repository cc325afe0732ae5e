/** Native requests as config servers and loggers are asked them: without a payload, but for one kind at most. */
import { ProtocolError } from "../../base/errors.ts";
import type { Link } from "../../net/transport.ts";
import { decodeHeader, frameSizes } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import { MESSAGES, PREFIX_SIZE } from "../../wire/messages.ts";
import type { MessageName } from "../../wire/messages.ts";

const NOTHING = new Uint8Array(0);

/**
 * Takes requests from `bytes[start … end]` one by one, as long as the peer takes its replies.
 *
 * @param serve returns whether the next one may be served at once; the payload is its own.
 * @param loaded the one kind of request that may have a payload.
 * @returns up to where they were taken.
 * @throws ProtocolError for what is not the protocol, another request's payload included; what `serve` throws.
 */
export function takePlainRequests(
  link: Link,
  bytes: Uint8Array<ArrayBuffer>,
  view: DataView,
  start: number,
  end: number,
  serve: (header: Header, payload: Uint8Array<ArrayBuffer>) => boolean,
  loaded?: MessageName,
): number {
  const payloadMax = loaded === undefined ? 0 : MESSAGES[loaded].payloadMax;
  let at = start;
  while (end - at >= PREFIX_SIZE && !link.isBlocked) {
    const { headerSize, payloadSize } = frameSizes(view, at);
    if (payloadSize > payloadMax) throw new ProtocolError("a payload that no request to this role has");
    const headerAt = at + PREFIX_SIZE;
    const payloadAt = headerAt + headerSize;
    const frameEnd = payloadAt + payloadSize;
    // whose payload it is is known before anything is kept for it
    const header = payloadAt <= end ? decodeHeader(bytes.subarray(headerAt, payloadAt)) : undefined;
    if (header && payloadSize > 0 && header.name !== loaded) {
      throw new ProtocolError(`${header.name} with a payload, which it never has here`);
    }
    if (!header || frameEnd > end) {
      link.want((header ? frameEnd : payloadAt) - at);
      break;
    }
    at = frameEnd;
    if (!serve(header, payloadSize > 0 ? bytes.slice(payloadAt, frameEnd) : NOTHING)) break;
  }
  return at;
}
