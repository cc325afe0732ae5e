/**
 * A progress bar on stderr for work on many bytes.
 *
 *   - Seen at a terminal only, and only when the work takes longer than a second.
 *   - Drawn at most ten times a second; gone without a trace when disposed of.
 */
import { nowMs } from "../base/clock.ts";
import { approximateSize } from "../base/units.ts";
import { unicodeWidth } from "@std/cli/unicode-width";

const APPEARS_AFTER_MS = 1_000;
const REDRAW_MS = 100;
const BAR_WIDTH_MAX = 40;
const COLUMNS_WITHOUT_SIZE = 80;

/** Where a bar is drawn and what tells its time; the real ones by default. */
export interface ProgressPlace {
  /** The terminal. */
  readonly terminal: { isTerminal(): boolean; writeSync(bytes: Uint8Array): number };
  /** How wide it is. */
  readonly columns: () => number;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
}

const STDERR: ProgressPlace = { terminal: Deno.stderr, columns: columnsOfTerminal, nowMs };

/** The bar of one piece of work: `using bar = new Progress("load", size)`. */
export class Progress implements Disposable {
  readonly #label: string;
  readonly #total: number;
  readonly #place: ProgressPlace;
  readonly #startedAtMs: number;
  #drawnAtMs = -Infinity;

  /** @param label what is being done; @param total how many bytes there are. */
  constructor(label: string, total: number, place: ProgressPlace = STDERR) {
    this.#label = label;
    this.#total = total;
    this.#place = place;
    this.#startedAtMs = place.nowMs();
  }

  /** Says that `done` bytes are done. */
  update(done: number): void {
    const now = this.#place.nowMs();
    const elapsedMs = now - this.#startedAtMs;
    if (elapsedMs < APPEARS_AFTER_MS || now - this.#drawnAtMs < REDRAW_MS) return;
    if (!this.#place.terminal.isTerminal()) return;
    this.#drawnAtMs = now;
    this.#write(progressLine(this.#label, done, this.#total, elapsedMs, this.#place.columns()));
  }

  /** Removes the bar. */
  [Symbol.dispose](): void {
    if (this.#drawnAtMs !== -Infinity) this.#write("");
    this.#drawnAtMs = -Infinity;
  }

  #write(line: string): void {
    this.#place.terminal.writeSync(new TextEncoder().encode(`\r${line}\x1b[K`));
  }
}

/** `load [#####-----]  50%  31.0MiB/s  12s left`, no wider than `columns`. */
export function progressLine(label: string, done: number, total: number, elapsedMs: number, columns: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 1;
  const bytesPerMs = done / elapsedMs;
  const left = done > 0 ? `  ${roughTime((total - done) / bytesPerMs)} left` : "";
  const numbers = ` ${`${Math.floor(share * 100)}`.padStart(3)}%  ${approximateSize(bytesPerMs * 1_000)}/s${left}`;
  const room = columns - unicodeWidth(label) - numbers.length - " []".length - 1;
  const width = Math.min(BAR_WIDTH_MAX, room);
  if (width < 1) return `${label}${numbers}`.slice(0, Math.max(0, columns - 1));
  const filled = Math.round(share * width);
  return `${label} [${"#".repeat(filled)}${"-".repeat(width - filled)}]${numbers}`;
}

function roughTime(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 100) return `${seconds}s`;
  return seconds < 6_000 ? `${Math.round(seconds / 60)}m` : `${Math.round(seconds / 3_600)}h`;
}

function columnsOfTerminal(): number {
  const { columns } = Deno.consoleSize();
  return columns > 0 ? columns : COLUMNS_WITHOUT_SIZE; // a serial line has no size
}
