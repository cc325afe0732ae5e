/**
 * Zeroes ranges of the space, over connections of the config server's own: a zeroing that has to wait for a guard keeps no
 * heartbeat waiting.
 *
 * In steps, so that nobody's guards are kept for long. A zeroing that failed may still be on its way to a server.
 */
import type { Range } from "../../ipc/segments/allocator.ts";
import { placeName } from "../../config/space.ts";
import type { Piece, Place, Space } from "../../config/space.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { NO_OWNERS } from "../../wire/messages.ts";

/** Bytes zeroed at once. */
const STEP_SIZE = 1024 * 1024;
/** How long one step may take. */
const STEP_MS_MAX = 3_000;

/** See the head of this file. */
export class Zeroing {
  readonly #epoch: EpochWord;
  readonly #credentials: Credentials;
  readonly #channels = new Map<string, Channel>();

  /** @param epoch of the config server's process. */
  constructor(epoch: EpochWord, credentials: Credentials) {
    this.#epoch = epoch;
    this.#credentials = credentials;
  }

  /** Zeroes `range`, on all servers at once. @throws TimeoutError, PeerLostError, SystemError: some of it may be zeroed. */
  async zero(space: Space, range: Range): Promise<void> {
    const pieces = space.pieces(range.base, range.size, "zero");
    await Promise.all(pieces.map((piece) => this.#zeroPiece(space.places[piece.server] as Place, piece)));
  }

  async #zeroPiece(place: Place, piece: Piece): Promise<void> {
    const channel = this.#channelTo(place);
    // from another host root comes as nobody, whom owners keep out
    await channel.request("owners", NO_OWNERS, true, { timeoutMs: STEP_MS_MAX });
    for (let done = 0; done < piece.size; done += STEP_SIZE) {
      const size = Math.min(STEP_SIZE, piece.size - done);
      const fields = { offset: piece.offset + done, size, byte: 0 };
      await channel.request("fill", fields, true, { timeoutMs: STEP_MS_MAX });
    }
  }

  #channelTo(place: Place): Channel {
    const name = placeName(place);
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = new Channel(place.host, place.port, this.#epoch, this.#credentials);
      this.#channels.set(name, channel);
    }
    return channel;
  }

  /** Closes the connections; what is under way fails. */
  async close(): Promise<void> {
    await Promise.all([...this.#channels.values()].map((channel) => channel.close()));
  }
}
