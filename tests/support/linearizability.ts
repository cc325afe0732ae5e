/**
 * Whether a history could have been: a search for an order of its operations, each at one moment between its call and its
 * return, in which a model of one object gives every answer that was got (Wing and Gong, "Testing and verifying concurrent
 * objects", 1993; with Lowe's memory of what was tried).
 *
 * An operation whose answer never came may have happened at any time after its call, or not at all.
 */

/** One operation of a history; times only have to be comparable. */
export interface Operation<Call> {
  /** What was called, and what came of it. */
  readonly call: Call;
  /** When it was called. */
  readonly start: number;
  /** When it returned; Infinity: nobody knows whether it happened. */
  readonly end: number;
}

/** What an object may do. */
export interface Model<State, Call> {
  /** What it is at first. */
  readonly initial: State;
  /** What it may be after the call, by what came of that; nothing where that cannot have come of it. */
  next(state: State, call: Call): readonly State[];
  /** Equal for equal states. */
  keyOf(state: State): string;
}

/** States that are looked at before a history is given up: a second's work. */
const STATES_MAX = 200_000;

/** Whether there is such an order; undefined for a history that would take too long to judge. */
export function isLinearizable<State, Call>(
  history: readonly Operation<Call>[],
  { initial, next, keyOf }: Model<State, Call>,
): boolean | undefined {
  const operations = history.toSorted((a, b) => a.start - b.start);
  const certain = operations.reduce((bits, { end }, i) => end === Infinity ? bits : bits | 1n << BigInt(i), 0n);
  const tried = new Set<string>();
  const stack: { readonly done: bigint; readonly state: State }[] = [{ done: 0n, state: initial }];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { done, state } = top;
    if ((done & certain) === certain) return true;
    if (tried.size > STATES_MAX) return undefined;
    for (const i of candidates(operations, done)) {
      const then = done | 1n << BigInt(i);
      for (const after of next(state, (operations[i] as Operation<Call>).call)) {
        const key = `${then}/${keyOf(after)}`;
        if (tried.has(key)) continue;
        tried.add(key);
        stack.push({ done: then, state: after });
      }
    }
  }
  return false;
}

/** Those that may come next: none of the others has returned before they were called. The earliest last, to be tried first. */
function candidates(operations: readonly Operation<unknown>[], done: bigint): number[] {
  const found: number[] = [];
  let firstEnd = Infinity;
  for (const [i, { start, end }] of operations.entries()) {
    if (start > firstEnd) break; // and so are all after it
    if ((done >> BigInt(i) & 1n) === 1n) continue;
    found.push(i);
    firstEnd = Math.min(firstEnd, end);
  }
  const last = firstEnd;
  return found.filter((i) => (operations[i] as Operation<unknown>).start <= last)
    .sort((a, b) => (operations[b] as Operation<unknown>).end - (operations[a] as Operation<unknown>).end);
}
