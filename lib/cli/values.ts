/**
 * From what was typed to a value of the declared kind, and back for the help.
 *
 * Every error is a UsageError that says what was given and what is expected.
 */
import { UsageError } from "../base/errors.ts";
import {
  type Endpoint,
  formatEndpoint,
  formatSize,
  formatTime,
  mustBe,
  parseEndpoint,
  parseKey,
  parsePort,
  parseSize,
  parseTime,
} from "../base/units.ts";
import { hint } from "./suggest.ts";
import type { Kind, Param } from "./command.ts";

type Parser = (text: string, subject: string, param: Param) => unknown;

const PARSERS: Readonly<Record<Exclude<Kind, "boolean">, Parser>> = {
  string: parseChoice,
  integer: (text, subject, param) => inRange(parseInteger(text, subject), subject, { min: 0, ...param }),
  number: (text, subject, param) => inRange(parseNumber(text, subject), subject, param),
  size: (text, subject, param) => inRange(parseSize(text, subject), subject, param, formatSize),
  time: (text, subject, param) => inRange(parseTime(text, subject), subject, param, formatTime),
  key: parseKey,
  mode: parseMode,
  port: parsePort,
  endpoint: parseEndpoint,
};

/** The value of `param` from what was typed; `subject` names it in errors, such as `--size`. */
export function parseValue(param: Param, text: string, subject: string): unknown {
  return param.kind === "boolean" ? parseSwitch(text, subject) : PARSERS[param.kind](text, subject, param);
}

/** `value` as it could be typed. */
export function formatValue(kind: Kind, value: unknown): string {
  switch (kind) {
    case "size":
      return formatSize(Number(value));
    case "time":
      return formatTime(Number(value));
    case "mode":
      return `0${Number(value).toString(8).padStart(3, "0")}`;
    case "endpoint":
      return formatEndpoint(value as Endpoint);
    default:
      return String(value);
  }
}

/** What stands for a value in the help: `SIZE`, `auto|epoll|deno`. */
export function placeholder(param: Param): string {
  if (param.choices !== undefined) return param.choices.join("|");
  return param.kind === "endpoint" ? "HOST:PORT" : param.kind.toUpperCase();
}

function parseChoice(text: string, subject: string, { choices }: Param): string {
  if (choices === undefined || choices.includes(text)) return text;
  const error = mustBe(subject, `one of ${choices.join(", ")}`, text);
  throw new UsageError(error.message + hint(text, choices));
}

function parseInteger(text: string, subject: string): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw mustBe(subject, "a whole number", text);
  return value;
}

function parseNumber(text: string, subject: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) throw mustBe(subject, "a number", text);
  return value;
}

function parseMode(text: string, subject: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw mustBe(subject, "three octal digits such as 0644", text);
  return parseInt(text, 8);
}

function parseSwitch(text: string, subject: string): boolean {
  if (text === "1" || text === "true") return true;
  if (text === "" || text === "0" || text === "false") return false;
  throw mustBe(subject, "1 or 0", text);
}

function inRange(
  value: number,
  subject: string,
  { min = -Infinity, max = Infinity }: { readonly min?: number; readonly max?: number },
  format: (value: number) => string = String,
): number {
  if (value >= min && value <= max) return value;
  const bounds = [
    min === -Infinity ? [] : [`${format(min)} or more`],
    max === Infinity ? [] : [`at most ${format(max)}`],
  ].flat().join(" and ");
  throw mustBe(subject, bounds, format(value));
}
