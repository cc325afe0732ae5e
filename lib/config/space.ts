/**
 * The space: all regions one after the other, in the order of config.txt. THE function from address to server is here.
 *
 * Pure. A server whose size is not known yet has size 0; what lies behind it has no address until it is.
 */
import { SystemError } from "../base/errors.ts";
import { formatEndpoint } from "../base/units.ts";
import type { Cell } from "../wire/messages.ts";

/** One server's place in the space. */
export interface Place {
  /** Its host, as config.txt has it. */
  readonly host: string;
  /** Its port. */
  readonly port: number;
  /** Address of its first byte. */
  readonly base: number;
  /** Bytes of its region; 0: not known yet. */
  readonly size: number;
  /** Bytes per block; 0: not known yet. */
  readonly blockSize: number;
  /** Whether it answers. */
  readonly isAlive: boolean;
  /** Why it does not. */
  readonly reason: string;
}

/** A part of a range that lies on one server. */
export interface Piece {
  /** The server's index in the space. */
  readonly server: number;
  /** Where it begins in that server's region. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** Where it begins in the range asked for. */
  readonly at: number;
}

/** A server's name in messages: `host:port`. */
export function placeName(place: Pick<Place, "host" | "port">): string {
  return formatEndpoint(place);
}

/** All regions of a cluster. */
export class Space {
  /** Grows with every change of the servers. */
  readonly revision: number;
  /** In the order of their addresses. */
  readonly places: readonly Place[];
  /** Bytes that can be addressed: up to the first server whose size is not known. */
  readonly size: number;

  /** @param revision see above; @param places with or without their bases: they are laid out here. */
  constructor(revision: number, places: readonly Omit<Place, "base">[]) {
    let base = 0;
    let isKnown = true;
    this.places = places.map((place) => {
      const laid = { ...place, base };
      isKnown &&= place.size > 0;
      if (isKnown) base += place.size;
      return laid;
    });
    this.revision = revision;
    this.size = base;
  }

  /** The servers whose size is not known, so that what lies behind them has no address. */
  get unknown(): readonly Place[] {
    return this.places.filter((place) => place.size === 0);
  }

  /**
   * Splits `size` bytes from `address` over the servers they lie on.
   *
   * @throws SystemError EINVAL when they are not all in the space.
   */
  pieces(address: number, size: number, call: string): Piece[] {
    this.#require(address, size, call);
    const pieces: Piece[] = [];
    for (let at = 0, server = this.serverAt(address); at < size; server++) {
      const place = this.places[server] as Place;
      const offset = address + at - place.base;
      const part = Math.min(size - at, place.size - offset);
      pieces.push({ server, offset, size: part, at });
      at += part;
    }
    return pieces;
  }

  #require(address: number, size: number, call: string): void {
    const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
    if (isCount(address) && isCount(size) && address + size <= this.size) return;
    const missing = this.unknown[0];
    const hint = missing ? `; ${placeName(missing)} has not answered yet, so nothing from there on has an address` : "";
    throw new SystemError(
      call,
      "EINVAL",
      `cannot ${call} ${size} bytes at ${address}: EINVAL; the space has ${this.size} bytes${hint}`,
    );
  }

  /** The index of the server that holds `address`, which must be in the space. */
  serverAt(address: number): number {
    let low = 0;
    let high = this.places.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const place = this.places[middle] as Place;
      if (place.base <= address) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The rows of a layout reply. */
  toRows(): Cell[][] {
    return this.places.map((place) => [
      place.host,
      place.port,
      place.base,
      place.size,
      place.blockSize,
      place.isAlive,
      place.reason,
    ]);
  }

  /** The space that a layout reply describes. */
  static fromRows(revision: number, rows: readonly (readonly Cell[])[]): Space {
    return new Space(
      revision,
      rows.map(([host, port, _base, size, blockSize, alive, reason]) => ({
        host: String(host),
        port: Number(port),
        size: Number(size),
        blockSize: Number(blockSize),
        isAlive: alive === true,
        reason: String(reason),
      })),
    );
  }
}
