/**
 * The table of names as plain rows, for a database: format 1.
 *
 *   - Rows are flat and hold only numbers, texts and null.
 *   - One head, a row per binding (key `name`), a row per remembered event (key `revision`).
 *   - Nothing read is believed before it was checked, each row by itself and all of them together.
 */
import { CheckpointError } from "../base/errors.ts";
import { requireDistinct, Row } from "../ipc/common/row.ts";
import type { Binding, NameEvent } from "./names.ts";

/** Grows when what an older dsm would read is no longer what was meant. */
export const NAME_FORMAT = 1;
const UID_MAX = 0xffff_ffff;

/** What there is once. */
export interface NameHead {
  /** {@linkcode NAME_FORMAT}. */
  readonly format: number;
  /** Of the latest change; 0: there was none yet. */
  readonly revision: number;
}

/** An event; `isLeased` is 0 or 1. */
export interface EventRow extends Omit<NameEvent, "isLeased"> {
  /** See {@linkcode NameEvent.isLeased}. */
  readonly isLeased: 0 | 1;
}

/** What to store after changes. */
export interface NameChanges {
  /** Replaces the head. */
  readonly head: NameHead;
  /** New, or in place of those with the same name. */
  readonly names: readonly Binding[];
  /** Names of the rows to delete. */
  readonly removedNames: readonly string[];
  /** New ones. */
  readonly events: readonly EventRow[];
  /** Events up to this revision are forgotten. */
  readonly forgotten: number;
}

/** An event as a row. */
export function eventRow({ isLeased, ...event }: NameEvent): EventRow {
  return { ...event, isLeased: isLeased ? 1 : 0 };
}

/** The parts of a table, checked. */
export interface ReadNames {
  /** See {@linkcode NameHead}. */
  readonly revision: number;
  /** All bindings. */
  readonly names: readonly Binding[];
  /** The remembered events, the oldest first. */
  readonly events: readonly NameEvent[];
}

/**
 * Reads rows that nobody vouches for.
 *
 * @throws CheckpointError saying which row is wrong, and how.
 */
export function namesFrom(rows: unknown): ReadNames {
  const table = new Row("the table of names", rows);
  table.require(table.whole("format") === NAME_FORMAT, `has not format ${NAME_FORMAT}`);
  const revision = table.whole("revision");
  const names = table.list("names").map((row) => bindingFrom(new Row("a name", row), revision));
  const events = table.list("events").map((row) => eventFrom(new Row("an event", row)))
    .sort((a, b) => a.revision - b.revision);
  requireDistinct("names", "name", names.map(({ name }) => name));
  requireDistinct("names", "revision", names.map((each) => each.revision));
  requireGapless(events, revision);
  return { revision, names, events };
}

function bindingFrom(row: Row, revision: number): Binding {
  return {
    name: row.text("name"),
    value: row.text("value"),
    revision: row.whole("revision", 1, revision),
    session: row.isNull("session") ? null : row.text("session"),
    uid: row.whole("uid", 0, UID_MAX),
    time: row.whole("time"),
  };
}

function eventFrom(row: Row): NameEvent {
  return {
    revision: row.whole("revision", 1),
    kind: row.oneOf("kind", ["bound", "unbound"]) as NameEvent["kind"],
    name: row.text("name"),
    value: row.text("value"),
    isLeased: row.whole("isLeased", 0, 1) === 1,
    uid: row.whole("uid", 0, UID_MAX),
    time: row.whole("time"),
  };
}

/** The events are the latest ones, without a gap. */
function requireGapless(events: readonly NameEvent[], revision: number): void {
  const first = revision - events.length + 1;
  const gap = events.findIndex((event, index) => event.revision !== first + index);
  if (gap >= 0) throw new CheckpointError(`event ${first + gap} is missing among those up to ${revision}`);
}
