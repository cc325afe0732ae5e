/** How a native conversation begins: the magic, a hello that names versions, a welcome that chooses one. */
import { ProtocolError } from "../../base/errors.ts";
import { MAGIC, PROTOCOL_VERSION } from "../../wire/messages.ts";
import type { Fields } from "../../wire/messages.ts";

/**
 * Whether the first bytes are the native dialect's magic.
 *
 * @returns false while they may still become it.
 * @throws ProtocolError once they cannot.
 */
export function startsNative(bytes: Uint8Array): boolean {
  for (let i = 0; i < Math.min(bytes.length, MAGIC.length); i++) {
    if (bytes[i] !== MAGIC[i]) throw new ProtocolError("the first bytes are of no dialect spoken here");
  }
  return bytes.length >= MAGIC.length;
}

/** Chooses a version both sides speak. @throws ProtocolError when there is none. */
export function acceptHello(hello: Fields<"hello">): number {
  if (hello.versionMin > PROTOCOL_VERSION || hello.versionMax < PROTOCOL_VERSION) {
    throw new ProtocolError(
      `the peer speaks versions ${hello.versionMin} to ${hello.versionMax} of the protocol, this server ${PROTOCOL_VERSION}`,
    );
  }
  return PROTOCOL_VERSION;
}
