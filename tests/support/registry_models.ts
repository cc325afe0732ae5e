/**
 * What a registry promises, as models that a history is held against: a name is a register, a queue is a list of messages of
 * which some are in delivery.
 *
 *   - A session that ends is an operation of its own: it gives back what was in delivery and unbinds what was leased. It
 *     happens at one moment after its client was last heard of.
 *   - The changes of all names have one order, which everybody who watches is told without a gap.
 */
import { fail } from "@std/assert";
import type { NameEvent } from "../../lib/registry/names.ts";
import { isLinearizable } from "./linearizability.ts";
import type { Model, Operation } from "./linearizability.ts";

/** A session ended. */
export interface SessionEnd {
  /** Always so. */
  readonly kind: "end";
  /** Which. */
  readonly session: string;
}

/** What happens to one name. `revision` is there when it is known to have happened. */
export type NameCall =
  | {
    readonly kind: "bind";
    readonly value: string;
    readonly session: string;
    readonly isLeased: boolean;
    readonly replaces: boolean;
    readonly result?: "done" | "EEXIST";
    readonly revision?: number;
  }
  | { readonly kind: "unbind"; readonly result?: "done" | "ENOENT"; readonly revision?: number }
  | { readonly kind: "query"; readonly value: string | undefined }
  | SessionEnd;

/** What a name is bound to. */
interface Bound {
  readonly value: string;
  readonly session: string | undefined;
}

/** A name. */
export const NAME_MODEL: Model<Bound | undefined, NameCall> = {
  initial: undefined,
  next(bound, call) {
    switch (call.kind) {
      case "bind": {
        const session = call.isLeased ? call.session : undefined;
        const isSame = bound?.value === call.value && bound.session === session;
        const isRefused = bound !== undefined && !isSame && !call.replaces;
        if (isRefused) return call.result === "done" ? [] : [bound];
        return call.result === "EEXIST" ? [] : [{ value: call.value, session }];
      }
      case "unbind":
        if (!bound) return call.result === "done" ? [] : [bound];
        return call.result === "ENOENT" ? [] : [undefined];
      case "query":
        return bound?.value === call.value ? [bound] : [];
      case "end":
        return [bound?.session === call.session ? undefined : bound];
    }
  },
  keyOf: (bound) => JSON.stringify(bound ?? null),
};

/** Which messages a receiver takes. */
export interface Wanted {
  /** As `msgrcv` has it. */
  readonly type: number;
  /** MSG_EXCEPT. */
  readonly isOther: boolean;
}

/** What happens to one queue. */
export type QueueCall =
  | { readonly kind: "send"; readonly message: string; readonly type: number }
  /** `message` is what came; null: ENOMSG; undefined: nobody knows. */
  | {
    readonly kind: "receive";
    readonly wanted: Wanted;
    readonly session: string;
    readonly message?: string | null;
  }
  | { readonly kind: "acknowledge"; readonly message: string; readonly session: string }
  | { readonly kind: "giveBack"; readonly message: string; readonly session: string }
  | SessionEnd;

interface Entry {
  readonly message: string;
  readonly type: number;
  /** Null while it waits in the queue. */
  readonly session: string | null;
}

type Entries = readonly Entry[];

/** A queue: its messages in the order they were sent, those in delivery at their old places. */
export const QUEUE_MODEL: Model<Entries, QueueCall> = {
  initial: [],
  next(entries, call) {
    switch (call.kind) {
      case "send":
        return [[...entries, { message: call.message, type: call.type, session: null }]];
      case "receive": {
        const first = firstWanted(entries, call.wanted);
        if (call.message === null) return first ? [] : [entries];
        if (!first) return call.message === undefined ? [entries] : [];
        if (call.message !== undefined && first.message !== call.message) return [];
        return [entries.map((entry) => entry === first ? { ...entry, session: call.session } : entry)];
      }
      case "acknowledge": {
        const isThere = entries.some((entry) => isHeld(entry, call));
        return isThere ? [entries.filter((entry) => !isHeld(entry, call))] : [];
      }
      case "giveBack": {
        const isThere = entries.some((entry) => isHeld(entry, call));
        return isThere ? [entries.map((entry) => isHeld(entry, call) ? { ...entry, session: null } : entry)] : [];
      }
      case "end":
        return [entries.map((entry) => entry.session === call.session ? { ...entry, session: null } : entry)];
    }
  },
  keyOf: (entries) => JSON.stringify(entries.map(({ message, session }) => [message, session])),
};

function isHeld(entry: Entry, { message, session }: { readonly message: string; readonly session: string }): boolean {
  return entry.message === message && entry.session === session;
}

function firstWanted(entries: Entries, { type, isOther }: Wanted): Entry | undefined {
  const waiting = entries.filter(({ session }) => session === null);
  if (type === 0) return waiting[0];
  if (isOther) return waiting.find((each) => each.type !== type);
  if (type > 0) return waiting.find((each) => each.type === type);
  const least = Math.min(...waiting.map((each) => each.type).filter((each) => each <= -type));
  return waiting.find((each) => each.type === least);
}

/**
 * The same history, sooner judged: a message that somebody received was sent before that, whatever its sender heard; one that
 * nobody ever received, and of which its sender heard nothing, can be left out with nothing explained by it.
 */
function settleSends(operations: readonly Operation<QueueCall>[]): Operation<QueueCall>[] {
  const seenAt = new Map<string, number>();
  for (const { call, end } of operations) {
    if (call.kind !== "receive" || typeof call.message !== "string") continue;
    seenAt.set(call.message, Math.min(end, seenAt.get(call.message) ?? Infinity));
  }
  return operations.flatMap((operation) => {
    const { call, end } = operation;
    if (call.kind !== "send" || end !== Infinity) return [operation];
    const seen = seenAt.get(call.message);
    return seen === undefined ? [] : [{ ...operation, end: seen }];
  });
}

/** A message that somebody received although it had been acknowledged before, which is soon seen; undefined: none. */
function receivedAgain(operations: readonly Operation<QueueCall>[]): string | undefined {
  const goneAt = new Map(operations.flatMap(({ call, end }) => {
    return call.kind === "acknowledge" && end !== Infinity ? [[call.message, end] as const] : [];
  }));
  const again = operations.find(({ call, start }) => {
    return call.kind === "receive" && typeof call.message === "string" &&
      start > (goneAt.get(call.message) ?? Infinity);
  });
  return again && JSON.stringify(again.call);
}

/** All that was done to a registry, and all that was told of it. */
export class RegistryHistory {
  /** By name. */
  readonly names = new Map<string, Operation<NameCall>[]>();
  /** By queue. */
  readonly queues = new Map<string, Operation<QueueCall>[]>();
  /** Objects whose history was too long to be judged by the last `violations`. */
  unjudged = 0;
  readonly #ends: Operation<SessionEnd>[] = [];
  /** What each watch was told, from revision 0 on. */
  readonly watched: NameEvent[][] = [];

  /** Something was done to a name. */
  addName(name: string, operation: Operation<NameCall>): void {
    this.names.set(name, [...this.names.get(name) ?? [], operation]);
  }

  /** Something was done to a queue. */
  addQueue(queue: string, operation: Operation<QueueCall>): void {
    this.queues.set(queue, [...this.queues.get(queue) ?? [], operation]);
  }

  /** A session ended, at some moment between the two. */
  addEnd(session: string, start: number, end: number): void {
    this.#ends.push({ call: { kind: "end", session }, start, end });
  }

  /** What was done to one object, the ends of those who did it included. */
  #withEnds<Call extends { readonly session?: string }>(
    operations: readonly Operation<Call | SessionEnd>[],
  ): Operation<Call | SessionEnd>[] {
    const sessions = new Set(operations.map(({ call }) => call.session));
    return [...operations, ...this.#ends.filter(({ call }) => sessions.has(call.session))];
  }

  /** How many operations it has. */
  get size(): number {
    return [...this.names.values(), ...this.queues.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** What cannot have been; empty where everything can. */
  violations(): string[] {
    const found: string[] = [];
    this.unjudged = 0;
    const judge = (what: string, operations: readonly Operation<unknown>[], verdict: boolean | undefined): void => {
      if (verdict === undefined) this.unjudged++;
      if (verdict === false) found.push(`${what}: ${describe(operations)}`);
    };
    for (const [name, own] of this.names) {
      const operations = this.#withEnds<NameCall & { readonly session?: string }>(own);
      judge(`name ${name}`, operations, isLinearizable(operations, NAME_MODEL));
    }
    for (const [queue, own] of this.queues) {
      const operations = this.#withEnds<QueueCall & { readonly session?: string }>(settleSends(own));
      const twice = receivedAgain(own);
      if (twice !== undefined) found.push(`queue ${queue}: ${twice} cannot have been: ${describe(operations)}`);
      else judge(`queue ${queue}`, operations, isLinearizable(operations, QUEUE_MODEL));
    }
    return [...found, ...this.#watchViolations()];
  }

  #watchViolations(): string[] {
    const found: string[] = [];
    const whole = this.watched.toSorted((a, b) => b.length - a.length)[0] ?? [];
    for (const events of this.watched) {
      for (const [i, event] of events.entries()) {
        if (event.revision !== i + 1) found.push(`a watch was told revision ${event.revision} after ${i}`);
        if (JSON.stringify(event) !== JSON.stringify(whole[i])) found.push(`two watches differ at ${event.revision}`);
      }
    }
    if (this.watched.length === 0) return found;
    for (const [name, operations] of this.names) {
      for (const { call } of operations) {
        if (!("revision" in call) || call.revision === undefined) continue;
        const event = whole[call.revision - 1];
        const kind = call.kind === "bind" ? "bound" : "unbound";
        const isTold = event?.kind === kind && event.name === name &&
          (call.kind !== "bind" || event.value === call.value);
        if (!isTold) found.push(`revision ${call.revision} of ${name} was not told to a watch`);
      }
    }
    return found;
  }
}

function describe(operations: readonly Operation<unknown>[]): string {
  if (operations.length === 0) fail("a history of nothing is linearizable");
  return operations.toSorted((a, b) => a.start - b.start)
    .map(({ call, start, end }) => `\n    ${start} to ${end}: ${JSON.stringify(call)}`).join("");
}
