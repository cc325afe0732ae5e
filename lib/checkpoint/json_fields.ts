/** Fields of JSON that nobody vouches for: what has another type than it should is a CheckpointError that names it. */
import { CheckpointError } from "../base/errors.ts";

/** An object of which nothing is known. */
export type JsonObject = Readonly<Record<string, unknown>>;
type Holder = JsonObject | readonly unknown[];

/** @throws CheckpointError with `message` unless `condition` holds. */
export function requireThat(condition: boolean, message: string): void {
  if (!condition) throw new CheckpointError(message);
}

function valueIn(holder: Holder, key: string | number): unknown {
  return (holder as Readonly<Record<string | number, unknown>>)[key];
}

/** The object at `key`. @throws CheckpointError where it is something else. */
export function field(holder: Holder, key: string | number): JsonObject {
  const value = valueIn(holder, key);
  requireThat(typeof value === "object" && value !== null && !Array.isArray(value), `${key} is not an object`);
  return value as JsonObject;
}

/** The array at `key`. @throws CheckpointError where it is something else. */
export function listField(holder: Holder, key: string): readonly unknown[] {
  const value = valueIn(holder, key);
  requireThat(Array.isArray(value), `${key} is not an array`);
  return value as unknown[];
}

/** The text at `key`, which is not empty. @throws CheckpointError where it is something else. */
export function textField(holder: Holder, key: string): string {
  const value = valueIn(holder, key);
  requireThat(typeof value === "string" && value !== "", `${key} is not a text`);
  return value as string;
}

/** The whole number at `key`, 0 to 2^53 - 1. @throws CheckpointError where it is something else. */
export function wholeField(holder: Holder, key: string): number {
  const value = valueIn(holder, key);
  requireThat(Number.isSafeInteger(value) && (value as number) >= 0, `${key} is not a whole number`);
  return value as number;
}

/** The lower-case hexadecimal digits of `size` bytes at `key`. @throws CheckpointError where it is something else. */
export function hexField(holder: Holder, key: string | number, size: number): string {
  const value = valueIn(holder, key);
  const isHex = typeof value === "string" && value.length === 2 * size && /^[0-9a-f]+$/.test(value);
  requireThat(isHex, `${key} is not ${2 * size} hexadecimal digits`);
  return value as string;
}
