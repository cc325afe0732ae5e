/**
 * The table of segments as the payload of `segmentTableReply` and `restoreTable`: msgpack `[format, sequence, lastIndex,
 * rows]`, a row as an array of its columns (SEGMENT_COLUMNS). What is decoded is checked by lib/ipc/segments/segment_rows.ts.
 */
import { decode, encode } from "@std/msgpack";
import { CheckpointError } from "../../base/errors.ts";
import { EMPTY_TABLE, SEGMENT_COLUMNS } from "../../ipc/segments/segment_rows.ts";
import type { TableRows } from "../../ipc/segments/segment_rows.ts";

/** The payload. */
export function encodeTable({ format, sequence, lastIndex, segments }: TableRows): Uint8Array<ArrayBuffer> {
  const rows = segments.map((segment) => SEGMENT_COLUMNS.map((column) => segment[column]));
  return encode([format, sequence, lastIndex, rows]) as Uint8Array<ArrayBuffer>;
}

/** What a payload says, not checked yet. @throws CheckpointError: it is no msgpack, or has another shape. */
export function decodeTable(payload: Uint8Array): unknown {
  const [format, sequence, lastIndex, rows] = listOf(decoded(payload));
  return { ...EMPTY_TABLE, format, sequence, lastIndex, segments: listOf(rows).map(segmentFrom) };
}

function decoded(payload: Uint8Array): unknown {
  try {
    return decode(payload);
  } catch (error) {
    throw new CheckpointError("the table of segments is not msgpack", error);
  }
}

function segmentFrom(row: unknown): unknown {
  const cells = listOf(row);
  return Object.fromEntries(SEGMENT_COLUMNS.map((column, index) => [column, numberFrom(cells[index])]));
}

/** A 64-bit integer comes as a bigint, however small it is. */
function numberFrom(cell: unknown): unknown {
  return typeof cell === "bigint" ? Number(cell) : cell;
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new CheckpointError("the table of segments is not a list of lists");
}
