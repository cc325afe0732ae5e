/**
 * Who waits for a word of the region to change.
 *
 * Writers through this server are noticed at once. Attached and key-only programs tell nobody, so while anybody waits the
 * words are compared by the clock as well.
 */
import { nowMs } from "../../base/clock.ts";
import type { Region } from "../../memory/region.ts";
import type { Link } from "../../net/transport.ts";

/** How often words are compared while anybody waits. */
const COMPARE_MS = 1;
/** How many may wait on one server. */
export const WATCHERS_MAX = 10_000;

interface Watcher {
  readonly link: Link;
  readonly id: number;
  readonly offset: number;
  readonly known: Uint8Array<ArrayBuffer>;
  readonly deadlineMs: number;
}

/** All who wait on one region. */
export class ChangeWatch {
  #watchers: Watcher[] = [];
  #comparedMs = 0;
  readonly #region: Region;
  readonly #answer: (link: Link, id: number, bytes: Uint8Array<ArrayBuffer>) => void;

  /** @param answer called once for each who waits, with the bytes as they are now. */
  constructor(region: Region, answer: (link: Link, id: number, bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#region = region;
    this.#answer = answer;
  }

  /** How many wait. */
  get size(): number {
    return this.#watchers.length;
  }

  /** Waits for the bytes at `offset` to differ from `known`, at most `timeoutMs`. */
  add(link: Link, id: number, offset: number, known: Uint8Array<ArrayBuffer>, timeoutMs: number): void {
    this.#watchers.push({ link, id, offset, known, deadlineMs: nowMs() + timeoutMs });
  }

  /** Forgets all who waited on `link`. */
  forget(link: Link): void {
    if (this.size > 0) this.#watchers = this.#watchers.filter((watcher) => watcher.link !== link);
  }

  /** Forgets those who may not see the bytes they wait for any more. @param refusalOf tells one so, if it is so. */
  dismiss(refusalOf: (link: Link, id: number, offset: number, size: number) => (() => void) | undefined): void {
    const due: (() => void)[] = [];
    this.#watchers = this.#watchers.filter(({ link, id, offset, known }) => {
      const refuse = refusalOf(link, id, offset, known.length);
      if (refuse) due.push(refuse);
      return !refuse;
    });
    for (const refuse of due) refuse();
  }

  /** In how many ms `compare` is due; Infinity when nobody waits. */
  nextMs(): number {
    return this.size === 0 ? Infinity : Math.max(0, this.#comparedMs + COMPARE_MS - nowMs());
  }

  /** Answers those whose bytes have changed or whose time is up. */
  compare(): void {
    if (this.size === 0) return;
    const now = this.#comparedMs = nowMs();
    const due: (() => void)[] = [];
    this.#watchers = this.#watchers.filter((watcher) => {
      const { link, id, offset, known } = watcher;
      const bytes = new Uint8Array(known.length);
      const isWhole = this.#region.readOptimistic(offset, bytes, new DataView(bytes.buffer));
      const isDue = isWhole && !isEqual(bytes, known) || now >= watcher.deadlineMs;
      if (isDue) due.push(() => this.#answer(link, id, isWhole ? bytes : known));
      return !isDue;
    });
    // an answer may find its link broken, and have all who wait there forgotten
    for (const answer of due) answer();
  }
}

/** Whether two arrays of one length have the same bytes. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
