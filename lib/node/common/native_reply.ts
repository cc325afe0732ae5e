/** A native reply, put into the output of the link it goes to. */
import type { Region } from "../../memory/region.ts";
import { OUTPUT_SIZE } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import { encodeFrame } from "../../wire/frame.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";

/** Makes room for `size` bytes in the output, sending what is there if need be. `size` must fit an empty output. */
export function makeRoom(link: Link, size: number): void {
  if (!link.output.hasRoom(size)) link.flush();
}

/** Puts raw bytes of any number into the output of a link, sending what is there whenever it is full. */
export function putPayload(link: Link, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += OUTPUT_SIZE) putBytes(link, bytes.subarray(at, at + OUTPUT_SIZE));
}

/** Puts raw bytes into the output of a link. */
export function putBytes(link: Link, bytes: Uint8Array): void {
  makeRoom(link, bytes.length);
  const { output } = link;
  output.bytes.set(bytes, output.size);
  output.size += bytes.length;
}

/** Puts a reply that is sent too seldom for a template, with the region's epoch. */
export function putReply<N extends MessageName>(
  link: Link,
  region: Region,
  id: number,
  name: N,
  fields: Fields<N>,
  payload?: Uint8Array,
): void {
  const envelope = { id, incarnation: region.incarnationHeld, epoch: region.epochHeld };
  putBytes(link, encodeFrame(name, envelope, fields, payload?.length ?? 0));
  if (payload) putBytes(link, payload);
}

/** Moves the region to an epoch that is next; says why one that is neither known nor next is refused. */
export function refusalOfEpoch(region: Region, incarnation: number, epoch: number): Fields<"error"> | undefined {
  switch (region.meet(incarnation, epoch)) {
    case "current":
    case "next":
      return undefined;
    case "ahead":
      return {
        code: "ESTALE",
        message: `this server is at epoch ${region.epochHeld} and has not heard of ${epoch} yet; try again in a moment`,
      };
    case "foreign":
      return {
        code: "ESTALE",
        message:
          "the cluster has begun another life since this program connected; its bytes may be other than those known",
      };
  }
}
