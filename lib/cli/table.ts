/**
 * Results as rows: an aligned table for people, one line of JSON for programs.
 *
 *   - A row is flat: names in camelCase, sizes in bytes, times as ISO 8601 in UTC.
 *   - JSON carries whole rows; the table shows the columns asked for, numbers to the right.
 */
import { unicodeWidth } from "@std/cli/unicode-width";
import { print } from "./output.ts";
import { unstyled } from "./style.ts";

/** One value in a row. */
export type Cell = string | number | boolean | null;

/** One column of a table for people. */
export interface Column<Row> {
  /** Which value it shows. */
  readonly key: keyof Row & string;
  /** What it says when not simply the value, such as a size in MiB; may be styled. */
  readonly show?: (row: Row) => string;
}

const GAP = "  ";

/** Prints `rows` to stdout: with `json` as one line holding one array, else as a table. */
export function printRows<Row extends { readonly [name in keyof Row]: Cell }>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  { json }: { readonly json: boolean },
): void {
  print(json ? JSON.stringify(rows) : table(rows, columns));
}

/** `rows` as lines under a line of titles, without a newline at the end. */
export function table<Row extends { readonly [name in keyof Row]: Cell }>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): string {
  const lines = [columns.map(titleOf), ...rows.map((row) => columns.map((column) => textOf(row, column)))];
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => widthOf(cells[index] ?? ""))));
  const toTheRight = columns.map(({ key }) => rows.length > 0 && rows.every((row) => typeof row[key] === "number"));
  return lines.map((cells) =>
    cells.map((cell, index) => {
      const padding = " ".repeat((widths[index] ?? 0) - widthOf(cell));
      return toTheRight[index] ? padding + cell : cell + padding;
    }).join(GAP).trimEnd()
  ).join("\n");
}

function titleOf<Row>({ key }: Column<Row>): string {
  return key.replace(/[A-Z]/g, " $&").toUpperCase();
}

function textOf<Row extends { readonly [name in keyof Row]: Cell }>(row: Row, { key, show }: Column<Row>): string {
  return show === undefined ? String(row[key] ?? "-") : show(row);
}

function widthOf(text: string): number {
  return unicodeWidth(unstyled(text));
}
