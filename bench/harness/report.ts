/**
 * Rows of results, and the table or JSON they become. A row has what we measured; with a peer it has the peer's, and the
 * ratio of each pair. A target is either for the ratio or for our own value.
 */
import { pairRatios, type Pairs, type Spread, spreadOf } from "./rounds.ts";
import type { Settings } from "./settings.ts";

/** What is wanted of a row. */
export interface Target {
  readonly of: "ratio" | "ours";
  readonly bound: "at least" | "at most";
  readonly value: number;
}

/** How a row's values are written. */
export type Unit = "ops/s" | "B/s" | "ns" | "us" | "B";

/** One line of the table. */
export interface Row {
  readonly bench: string;
  readonly name: string;
  readonly unit: Unit;
  readonly ours?: Spread;
  readonly peer?: Spread;
  readonly ratio?: Spread;
  readonly target?: Target;
  /** Why something is missing. */
  readonly note?: string;
}

/** What a row is about, before it is measured. */
export type Subject = Pick<Row, "bench" | "name" | "unit" | "target">;

/** A row of ours alone. */
export function soloRow(subject: Subject, ours: readonly number[]): Row {
  return { ...subject, ours: spreadOf(ours) };
}

/** A row against a peer. */
export function pairedRow(subject: Subject, pairs: Pairs<number>): Row {
  return {
    ...subject,
    ours: spreadOf(pairs.ours),
    peer: spreadOf(pairs.peer),
    ratio: spreadOf(pairRatios(pairs)),
  };
}

/** Whether a row reached its target; undefined without a target, or when it could not be measured. */
export function isMet(row: Row): boolean | undefined {
  const spread = row.target?.of === "ours" ? row.ours : row.ratio;
  if (row.target === undefined || spread === undefined) return undefined;
  return row.target.bound === "at least" ? spread.median >= row.target.value : spread.median <= row.target.value;
}

const STEPS: Record<Unit, readonly (readonly [number, string])[]> = {
  "ops/s": [[1e6, "M/s"], [1e3, "k/s"], [1, "/s"]],
  "B/s": [[1e9, "GB/s"], [1e6, "MB/s"], [1, "B/s"]],
  "B": [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
  "us": [[1e3, "ms"], [1, "µs"]],
  "ns": [[1e6, "ms"], [1e3, "µs"], [1, "ns"]],
};

function formatValue(value: number, unit: Unit): string {
  const steps = STEPS[unit];
  const [size, name] = steps.find(([size]) => Math.abs(value) >= size) ?? steps.at(-1) as readonly [number, string];
  return `${(value / size).toPrecision(3)} ${name}`;
}

function formatSpread(spread: Spread | undefined, unit: Unit | undefined): string {
  if (spread === undefined) return "-";
  const format = (value: number) => unit === undefined ? value.toFixed(2) : formatValue(value, unit);
  if (spread.min === spread.max) return format(spread.median);
  return `${format(spread.median)} (${format(spread.min)}–${format(spread.max)})`;
}

function formatTarget(row: Row): string {
  if (row.target === undefined) return "-";
  const sign = row.target.bound === "at least" ? "≥" : "≤";
  return sign + " " + (row.target.of === "ratio" ? `${row.target.value}x` : formatValue(row.target.value, row.unit));
}

function formatMet(row: Row): string {
  const met = isMet(row);
  if (met !== undefined) return met ? "yes" : "NO";
  return row.target === undefined ? "" : "?";
}

/** The aligned table. */
export function formatTable(rows: readonly Row[]): string {
  const lines = [["name", "ours", "peer", "ratio", "target", "met", ""]];
  for (const row of rows) {
    lines.push([
      `${row.bench}: ${row.name}`,
      formatSpread(row.ours, row.unit),
      formatSpread(row.peer, row.unit),
      formatSpread(row.ratio, undefined),
      formatTarget(row),
      formatMet(row),
      row.note ?? "",
    ]);
  }
  const widths = (lines[0] as string[]).map((_, column) =>
    Math.max(...lines.map((line) => (line[column] as string).length))
  );
  const padded = lines.map((line) =>
    line.map((cell, column) => cell.padEnd(widths[column] as number)).join("  ").trimEnd()
  );
  return padded.join("\n") + "\n";
}

/** The rows as flat objects; values in the row's unit. */
export function flatten(rows: readonly Row[]): Record<string, string | number | boolean>[] {
  return rows.map((row) => {
    const flat: Record<string, string | number | boolean> = { bench: row.bench, name: row.name, unit: row.unit };
    for (const part of ["ours", "peer", "ratio"] as const) {
      const spread = row[part];
      if (spread === undefined) continue;
      flat[`${part}Median`] = spread.median;
      flat[`${part}Min`] = spread.min;
      flat[`${part}Max`] = spread.max;
    }
    if (row.target !== undefined) {
      flat.targetOf = row.target.of;
      flat.targetBound = row.target.bound;
      flat.targetValue = row.target.value;
    }
    const met = isMet(row);
    if (met !== undefined) flat.met = met;
    if (row.note !== undefined) flat.note = row.note;
    return flat;
  });
}

/** Prints the rows on stdout, and on stderr how many targets were met. */
export function printRows(rows: readonly Row[], settings: Settings): void {
  console.log(settings.json ? JSON.stringify(flatten(rows)) : formatTable(rows).trimEnd());
  const verdicts = rows.map(isMet).filter((met) => met !== undefined);
  const open = rows.filter((row) => row.target !== undefined && isMet(row) === undefined).length;
  const met = verdicts.filter((met) => met).length;
  console.error(
    `${met} of ${verdicts.length} targets met` + (open > 0 ? `, ${open} not measured` : "") +
      (settings.quick ? "; a quick run says nothing about speed" : ""),
  );
}
