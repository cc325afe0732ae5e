/**
 * What the tools print of all kinds of objects, piece by piece, as util-linux's `ipcs` does.
 *
 *   - Every text begins and ends with an empty line. Columns are padded, the last one too.
 *   - Times are the local ones, in English, without the year where there is a column for each.
 */
import { PERMISSION_BITS } from "../../lib/ipc/common/flags.ts";

/** Who is who; undefined for somebody without a name, who is shown by number. */
export interface Names {
  /** A user's name. */
  user(uid: number): string | undefined;
  /** A group's name. */
  group(gid: number): string | undefined;
}

const CELL_WIDTH = 10;
const TIME_WIDTH = 20;
const DATE_WIDTH = 26;
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Whose an object is and was. */
export interface Owned {
  /** What the calls name it by. */
  readonly id: number;
  /** Its mode. */
  readonly mode: number;
  /** Owner's user id. */
  readonly uid: number;
  /** Owner's group id. */
  readonly gid: number;
  /** Creator's user id. */
  readonly cuid: number;
  /** Creator's group id. */
  readonly cgid: number;
}

/** `ipcs -c`: whose objects are and were. @param idColumn such as `shmid`. */
export function ownersText(title: string, idColumn: string, objects: readonly Owned[], names: Names): string {
  return tableText(title, [
    [idColumn, "perms", "cuid", "cgid", "uid", "gid"].map(cell),
    ...objects.map(({ id, mode, uid, gid, cuid, cgid }) => {
      const people = [names.user(cuid) ?? cuid, names.group(cgid) ?? cgid, names.user(uid) ?? uid];
      return [id, permissions(mode), ...people, names.group(gid) ?? gid].map(cell);
    }),
  ]);
}

/** A title and rows of cells. */
export function tableText(title: string, lines: readonly (readonly string[])[]): string {
  return framed([titleLine(title), ...lines.map((cells) => cells.join(" "))]);
}

/** Lines between two empty ones. */
export function framed(lines: readonly string[]): string {
  return ["", ...lines, ""].join("\n");
}

/** A title as `ipcs` underlines it. */
export function titleLine(title: string): string {
  return `------ ${title} --------`;
}

/** A value in a column. */
export function cell(value: string | number): string {
  return String(value).padEnd(CELL_WIDTH);
}

/** A time in a column. */
export function timeCell(text: string): string {
  return text.padEnd(TIME_WIDTH);
}

/** Day and time in a column; `seconds` since 1970, 0 for never. */
export function dayCell(seconds: number): string {
  return timeCell(seconds === 0 ? "Not set" : dayAndTime(new Date(seconds * 1000)));
}

/** The whole date, padded; `seconds` since 1970, 0 for never. */
export function dateCell(seconds: number): string {
  return (seconds === 0 ? "Not set" : fullDate(new Date(seconds * 1000))).padEnd(DATE_WIDTH);
}

/** The owner, his name cut where the next column begins. */
export function owner(uid: number, names: Names): string {
  return (names.user(uid) ?? String(uid)).slice(0, CELL_WIDTH);
}

/** Permission bits as `ipcs` has them. */
export function permissions(mode: number): string {
  return (mode & PERMISSION_BITS).toString(8);
}

/** A number as C's `%#o` has it. */
export function octal(value: number): string {
  return value === 0 ? "0" : `0${value.toString(8)}`;
}

/** `Nov  1 09:08:07`, as in C's `ctime`. */
function dayAndTime(date: Date): string {
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return `${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${time.join(":")}`;
}

/** `Sun Nov  1 09:08:07 2026`. */
function fullDate(date: Date): string {
  return `${DAYS[date.getDay()]} ${dayAndTime(date)} ${date.getFullYear()}`;
}
