/**
 * Answers that wait until what they tell has been stored.
 *
 *   - An answer goes to the connection its client has when it leaves, not to the one that the request came over.
 *   - The epoch is only told to those who are in the registry's life of the cluster, or in none yet: of two clusters that
 *     ask one registry, the earlier one must not be made to believe that it has begun anew.
 */
import type { Link } from "../../net/transport.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { encodeFrame } from "../../wire/frame.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { putBytes } from "../common/native_reply.ts";
import type { Client } from "./clients.ts";

/** Beyond that many bytes a batch is stored and answered before more of it is served. */
export const OUTBOX_SIZE_MAX = 1024 * 1024;

const NOTHING = new Uint8Array(0);

interface Letter {
  /** The client, or for what is said before there is one the link. */
  readonly to: Client | Link;
  readonly bytes: Uint8Array;
}

/** See the head of this file. */
export class Outbox {
  /** Bytes that wait. */
  size = 0;
  readonly #epoch: Readonly<EpochWord>;
  #letters: Letter[] = [];

  /** @param epoch of this process. */
  constructor(epoch: Readonly<EpochWord>) {
    this.#epoch = epoch;
  }

  /** Answers request `id`. @returns the answer without its payload. */
  reply<N extends MessageName>(
    client: Client,
    id: number,
    name: N,
    fields: Fields<N>,
    payload: Uint8Array = NOTHING,
  ): Uint8Array<ArrayBuffer> {
    const isOurs = client.incarnation === 0 || client.incarnation === this.#epoch.incarnation;
    const { incarnation, epoch } = isOurs ? this.#epoch : { incarnation: 0, epoch: 0 };
    const frame = encodeFrame(name, { id, incarnation, epoch }, fields, payload.length);
    this.say(client, frame);
    if (payload.length > 0) this.say(client, payload);
    return frame;
  }

  /** Says bytes. */
  say(to: Client | Link, bytes: Uint8Array): void {
    this.#letters.push({ to, bytes });
    this.size += bytes.length;
  }

  /** Puts everything into the outputs of the connections it is for. More may come in while it does. */
  deliver(): void {
    const letters = this.#letters;
    this.#letters = [];
    this.size = 0;
    let last: Link | undefined;
    for (const { to, bytes } of letters) {
      if ("session" in to && to.session.isOver) continue;
      const link = "session" in to ? to.session.link : to;
      if (link !== last) last?.endReplies();
      putBytes(link, bytes);
      last = link;
    }
    last?.endReplies();
  }
}
