// deno-lint-ignore-file no-explicit-any

/** What every assertion throws when it does not hold. */
export class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions);
}

/** A class, abstract ones included. */
export type AnyConstructor<T> = abstract new (...args: any[]) => T;

/** Holds when `expr` is truthy. */
export function assert(expr: unknown, msg?: string): asserts expr;

/** Holds when `expr` is falsy. */
export function assertFalse(expr: unknown, msg?: string): void;

/** Holds when the two are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void;

/** Holds when the two differ somewhere. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;

/** Holds when the two are the same by `Object.is`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T;

/** Holds when the two are not the same by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void;

/** Holds when the two numbers are within `tolerance` of each other. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void;

/** Holds when `actual` is neither null nor undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;

/** Holds when `expected` matches somewhere in `actual`. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void;

/** Holds when `expected` matches nowhere in `actual`. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void;

/** Holds when `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void;

/** Holds when every element of `expected` is in `actual`. */
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string): void;

/** Holds when everything in `expected` is in `actual` too. */
export function assertObjectMatch(
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void;

/** Holds when `actual` is an instance of `expected`. */
export function assertInstanceOf<T>(actual: unknown, expected: AnyConstructor<T>, msg?: string): asserts actual is T;

/** Holds when `actual` is not an instance of `unexpected`. */
export function assertNotInstanceOf<A, T>(actual: A, unexpected: AnyConstructor<T>, msg?: string): void;

/** Holds when `error` is of that class and its message contains the text. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: AnyConstructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E;

/** Holds when `fn` throws, and returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: AnyConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;

/** Holds when `fn`'s promise is rejected, and resolves with the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: AnyConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;

/** Holds when `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void;

/** Holds when `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;

/** Holds when `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void;

/** Holds when `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;

/** Whether the two are deeply equal. */
export function equal(a: unknown, b: unknown): boolean;

/** Never holds. */
export function fail(msg?: string): never;

/** Never holds: for a branch that cannot be reached. */
export function unreachable(msg?: string): never;
