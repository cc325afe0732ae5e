/** Tells every memory server whose the ranges of its region are: which segments concern which of them. */
import type { OwnedRange } from "../../ipc/segments/range_owners.ts";
import type { SegmentTable } from "../../ipc/segments/segment_table.ts";
import type { Place, Space } from "../../config/space.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { LogSink } from "../common/log_sink.ts";
import { OwnerTeller } from "./owner_teller.ts";

/** What is read of a table of segments. */
type Owned = Pick<SegmentTable, "ownedRange" | "ownedRanges">;

/** See the head of this file. */
export class OwnerTellers {
  readonly #table: () => Owned;
  readonly #epoch: EpochWord;
  readonly #credentials: Credentials;
  readonly #log: LogSink;
  readonly #tellers: OwnerTeller[] = [];

  /** @param table asked anew each time. @param epoch of the config server's process. */
  constructor(table: () => Owned, epoch: EpochWord, credentials: Credentials, log: LogSink) {
    this.#table = table;
    this.#epoch = epoch;
    this.#credentials = credentials;
    this.#log = log;
  }

  /** Follows the servers of the space. @param cookies of their regions, "" where not known. */
  layOut(space: Space, cookies: readonly string[]): void {
    space.places.forEach((place, index) => {
      const teller = this.#tellers[index] ??= this.#tellerTo(place);
      const hasAddress = place.size > 0 && place.base + place.size <= space.size;
      teller.follow(place, hasAddress ? cookies[index] ?? "" : "");
    });
  }

  #tellerTo(place: Place): OwnerTeller {
    const ranges = (id: number | undefined): OwnedRange[] => {
      if (id === undefined) return this.#table().ownedRanges;
      const range = this.#table().ownedRange(id);
      return range ? [range] : [];
    };
    return new OwnerTeller(place, this.#epoch, this.#credentials, ranges, this.#log);
  }

  /**
   * Tells the servers that segment `id` lies on whose it is now; of one that is not there nothing is told. Without an id all
   * servers are told all: the table is another one.
   *
   * @throws TimeoutError, PeerLostError; SystemError: a server does not let itself be told.
   */
  async tell(id?: number): Promise<void> {
    if (id === undefined) return void await Promise.all(this.#tellers.map((teller) => teller.tell()));
    const range = this.#table().ownedRange(id);
    if (!range) return;
    await Promise.all(this.#tellers.map((teller) => isOn(teller.place, range) ? teller.tell(id) : undefined));
  }

  /** Closes the connections; who waits is told that nobody was. */
  async close(): Promise<void> {
    await Promise.all(this.#tellers.map((teller) => teller.close()));
  }
}

function isOn({ base, size }: Place, range: OwnedRange): boolean {
  return range.base < base + size && base < range.base + range.size;
}
