/**
 * Sizes, times, keys and endpoints as people write them.
 *
 *   - What a `format` function returns, the `parse` function of the same unit reads back to the same value.
 *   - A `parse` function throws UsageError saying what was given and what is expected; `subject` names the thing that was
 *     given, such as `--size`.
 */
import { UsageError } from "./errors.ts";

/** Where something listens. */
export interface Endpoint {
  /** A host name or an address, an IPv6 one without brackets. */
  readonly host: string;
  /** 0 to 65535; 0 asks for any free port. */
  readonly port: number;
}

/** Bytes per unit. The binary ones are what {@linkcode formatSize} writes. */
const BYTES = new Map<string, number>([
  ["TIB", 2 ** 40],
  ["GIB", 2 ** 30],
  ["MIB", 2 ** 20],
  ["KIB", 2 ** 10],
  ["TB", 1e12],
  ["GB", 1e9],
  ["MB", 1e6],
  ["KB", 1e3],
  ["B", 1],
  ["", 1],
]);
const BINARY_UNITS = ["TiB", "GiB", "MiB", "KiB"] as const;

/** Milliseconds per unit; a number alone is in seconds. */
const MILLISECONDS = new Map<string, number>([
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
  ["", 1_000],
]);
const TIME_UNITS = ["h", "m", "s"] as const;

const KEY_MIN = -(2 ** 31);
const KEY_MAX = 2 ** 32 - 1;
const PORT_MAX = 65_535;

/** The error for `given` where `subject` must be `expected`. */
export function mustBe(subject: string, expected: string, given: string): UsageError {
  const shown = given === "" || /[\s\p{Cc}]/u.test(given) ? JSON.stringify(given) : given;
  return new UsageError(`${subject} must be ${expected}, not ${shown}`);
}

/** A size in bytes from `4096`, `4KiB`, `1.5GiB` (binary) or `10MB` (decimal); units in either case. */
export function parseSize(text: string, subject = "the size"): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text) ?? [];
  const factor = BYTES.get(unit?.toUpperCase() ?? "?");
  const bytes = digits === undefined || factor === undefined ? NaN : Number(digits) * factor;
  if (!Number.isSafeInteger(bytes)) {
    throw mustBe(subject, "a whole number of bytes such as 4096, 4KiB, 64MiB or 10MB", text);
  }
  return bytes;
}

/** `bytes` in the largest binary unit that needs no fraction: `64MiB`, `4097B`. */
export function formatSize(bytes: number): string {
  const unit = BINARY_UNITS.find((each) => bytes !== 0 && bytes % unitSize(each) === 0);
  return unit === undefined ? `${bytes}B` : `${bytes / unitSize(unit)}${unit}`;
}

/** `bytes` to about three digits, for people only: `1.4MiB`. */
export function approximateSize(bytes: number): string {
  const unit = BINARY_UNITS.find((each) => bytes >= unitSize(each));
  if (unit === undefined) return `${Math.round(bytes)}B`;
  const count = bytes / unitSize(unit);
  return `${count.toFixed(count < 100 ? 1 : 0)}${unit}`;
}

function unitSize(unit: typeof BINARY_UNITS[number]): number {
  return BYTES.get(unit.toUpperCase()) ?? NaN;
}

/** A time in ms from `250ms`, `100s`, `5m`, `1h`, `1.5s`; a number alone is in seconds. */
export function parseTime(text: string, subject = "the time"): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text) ?? [];
  const factor = MILLISECONDS.get(unit?.toLowerCase() ?? "?");
  const ms = digits === undefined || factor === undefined ? NaN : Number(digits) * factor;
  if (!(ms <= Number.MAX_SAFE_INTEGER)) throw mustBe(subject, "a time such as 250ms, 100s, 5m or 1h", text);
  return ms;
}

/** `ms` in the largest unit that needs no fraction: `100s`, `5m`, `250ms`. */
export function formatTime(ms: number): string {
  const unit = TIME_UNITS.find((each) => ms % (MILLISECONDS.get(each) ?? NaN) === 0);
  if (unit === undefined) return `${ms}ms`;
  return ms === 0 ? "0s" : `${ms / (MILLISECONDS.get(unit) ?? NaN)}${unit}`;
}

/** A System V key, from decimal digits or `0x…`; a negative one, as C prints keys above 2^31, becomes its unsigned twin. */
export function parseKey(text: string, subject = "the key"): number {
  const key = /^(-?\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : NaN;
  if (!(key >= KEY_MIN && key <= KEY_MAX)) throw mustBe(subject, "a 32-bit key such as 1238 or 0x4d6", text);
  return key >>> 0;
}

/** A port, 0 to 65535. */
export function parsePort(text: string, subject = "the port"): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(port <= PORT_MAX)) throw mustBe(subject, `a port, 0 to ${PORT_MAX}`, text);
  return port;
}

/** An endpoint from `host:port` or `[v6 address]:port`. */
export function parseEndpoint(text: string, subject = "the endpoint"): Endpoint {
  const parts = /^(?:\[([\da-f:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):([^/:]*)$/i.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  if (host === undefined) throw mustBe(subject, "HOST:PORT, such as 127.0.0.1:9740 or [::1]:9740", text);
  return { host, port: parsePort(parts?.[3] ?? "", `the port of ${subject}`) };
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatEndpoint(endpoint: Endpoint): string {
  const { host, port } = endpoint;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
