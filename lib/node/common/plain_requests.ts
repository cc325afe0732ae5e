/** Native requests without a payload, which is all that config servers and loggers are asked. */
import { ProtocolError } from "../../base/errors.ts";
import type { Link } from "../../net/transport.ts";
import { decodeHeader, frameSizes } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import { PREFIX_SIZE } from "../../wire/messages.ts";

/**
 * Takes requests from `bytes[start … end]` one by one, as long as the peer takes its replies.
 *
 * @param serve returns whether the next one may be served at once.
 * @returns up to where they were taken.
 * @throws ProtocolError for what is not the protocol, a payload included; what `serve` throws.
 */
export function takePlainRequests(
  link: Link,
  bytes: Uint8Array<ArrayBuffer>,
  view: DataView,
  start: number,
  end: number,
  serve: (header: Header) => boolean,
): number {
  let at = start;
  while (end - at >= PREFIX_SIZE && !link.isBlocked) {
    const { headerSize, payloadSize } = frameSizes(view, at);
    if (payloadSize > 0) throw new ProtocolError("a payload that no request to this role has");
    const headerAt = at + PREFIX_SIZE;
    const frameEnd = headerAt + headerSize;
    if (frameEnd > end) {
      link.want(frameEnd - at);
      break;
    }
    at = frameEnd;
    if (!serve(decodeHeader(bytes.subarray(headerAt, frameEnd)))) break;
  }
  return at;
}
