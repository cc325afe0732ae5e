/**
 * Names and what they are bound to: the rules, and nothing that runs.
 *
 *   - A name is bound to one value at a time. Every change has a revision, the one after the last one's; the latest
 *     changes are remembered, so that whoever knows a revision can be told all that has happened since, without a gap.
 *   - A binding is durable, or the lease of a session and ends with it.
 *   - A binding belongs to the user who made it: nobody else but uid 0 replaces or unbinds it. Everybody may ask.
 *   - What has changed since the last look is given out as rows, to be stored before anybody is told of it.
 *
 * It knows no clock: the time of a change, in seconds since 1970, is handed in.
 */
import { refusal } from "../ipc/common/refusal.ts";
import { EVENT_COUNT_MAX, NAME_COUNT_MAX, NAME_SIZE_MAX, VALUE_SIZE_MAX } from "./limits.ts";
import { eventRow, NAME_FORMAT, namesFrom } from "./name_rows.ts";
import type { NameChanges } from "./name_rows.ts";
import type { Binder, Binding, BindOptions, NameEvent } from "./names.ts";

/** How much a table keeps. */
export interface NameLimits {
  /** How many names may be bound. */
  readonly nameCountMax: number;
  /** How many events are remembered. */
  readonly eventCountMax: number;
}

const LIMITS: NameLimits = { nameCountMax: NAME_COUNT_MAX, eventCountMax: EVENT_COUNT_MAX };

/** See the head of this file. */
export class NameTable {
  readonly #limits: NameLimits;
  readonly #bindings = new Map<string, Binding>();
  /** The names that each session leases. */
  readonly #leases = new Map<string, Set<string>>();
  /** The latest events; that of revision r lies at r modulo the most there are. */
  readonly #events: NameEvent[];
  #revision = 0;
  #eventCount = 0;
  #changedNames = new Set<string>();
  /** The revision up to which changes have been given out. */
  #taken = 0;
  #sorted: readonly string[] | undefined;

  /** @param rows what an earlier table has stored; undefined: nothing. @throws CheckpointError where that is no table. */
  constructor(rows?: unknown, limits: NameLimits = LIMITS) {
    this.#limits = limits;
    this.#events = new Array(limits.eventCountMax);
    if (rows === undefined) return;
    const { revision, names, events } = namesFrom(rows);
    for (const binding of names) this.#put(binding);
    for (const event of events) this.#remember(event);
    this.#revision = this.#taken = revision;
    this.#changedNames.clear();
  }

  /** The revision of the latest change; 0 before the first. */
  get revision(): number {
    return this.#revision;
  }

  /** How many names are bound. */
  get size(): number {
    return this.#bindings.size;
  }

  /** The sessions that lease a name. */
  get sessions(): readonly string[] {
    return [...this.#leases.keys()];
  }

  /**
   * Binds `name` to `value`. The same once more, by the same session, changes the revision and nothing else.
   *
   * @returns the revision of the change.
   * @throws SystemError EINVAL: what is no name or no value; EEXIST: it is bound, and is not to be replaced; EPERM: it is
   * another user's; ENOSPC: there are too many.
   */
  bind(who: Binder, name: string, value: string, { isLeased, replaces }: BindOptions, time: number): number {
    requireText("bind", "name", name, NAME_SIZE_MAX);
    requireText("bind", "value", value, VALUE_SIZE_MAX);
    const before = this.#bindings.get(name);
    if (before && !isSame(before, who, value, isLeased)) {
      if (!replaces) {
        throw refusal(
          "bind",
          "EEXIST",
          `bind ${name}`,
          `it is bound to ${before.value}; replace it, or unbind it first`,
        );
      }
      requireOwner("bind", who, before);
    }
    if (!before && this.#bindings.size >= this.#limits.nameCountMax) {
      throw refusal("bind", "ENOSPC", `bind ${name}`, `${this.#bindings.size} names are bound already; unbind some`);
    }
    this.#drop(before);
    const session = isLeased ? who.session : null;
    this.#put({ name, value, revision: this.#revision + 1, session, uid: who.uid, time });
    return this.#happened({ kind: "bound", name, value, isLeased, uid: who.uid, time });
  }

  /**
   * Unbinds `name`.
   *
   * @returns the revision of the change.
   * @throws SystemError ENOENT: it is not bound; EPERM: it is another user's.
   */
  unbind(who: Pick<Binder, "uid">, name: string, time: number): number {
    const binding = this.#bindings.get(name);
    if (!binding) {
      throw refusal("unbind", "ENOENT", `unbind ${name}`, "it is not bound; dsm registry list shows what is");
    }
    requireOwner("unbind", who, binding);
    return this.#unbind(binding, time);
  }

  /** What `name` is bound to; undefined when it is not. */
  query(name: string): Binding | undefined {
    return this.#bindings.get(name);
  }

  /**
   * The bindings whose names begin with `prefix`, in the order of their names.
   *
   * @param after the name after which they begin; "" for the first. @param countMax how many at most.
   */
  page(prefix: string, after: string, countMax: number): readonly Binding[] {
    const names = this.#sorted ??= [...this.#bindings.keys()].sort();
    const page: Binding[] = [];
    for (
      let index = indexAfter(names, after < prefix ? prefix : after, after < prefix);
      index < names.length;
      index++
    ) {
      const name = names[index] as string;
      if (!name.startsWith(prefix) || page.length === countMax) break;
      page.push(this.#bindings.get(name) as Binding);
    }
    return page;
  }

  /**
   * What has happened after revision `since`, the oldest first.
   *
   * @param countMax how many at most. @throws SystemError ESTALE: it is not remembered; EINVAL: a revision still to come.
   */
  eventsSince(since: number, countMax: number): readonly NameEvent[] {
    const oldest = this.#revision - this.#eventCount;
    if (since < oldest) {
      const next =
        `only the changes after ${oldest} are remembered: list the names, and watch from the list's revision`;
      throw refusal("watch", "ESTALE", `watch from revision ${since}`, next);
    }
    if (since > this.#revision) {
      const next = `the latest is ${this.#revision}; this registry may have begun anew: list the names`;
      throw refusal("watch", "EINVAL", `watch from revision ${since}`, next);
    }
    const count = Math.min(countMax, this.#revision - since);
    return Array.from({ length: count }, (_, index) => this.#event(since + 1 + index));
  }

  /** A session has ended: its leases are unbound. @returns their names. */
  endSession(session: string, time: number): readonly string[] {
    const names = [...this.#leases.get(session) ?? []];
    for (const name of names) this.#unbind(this.#bindings.get(name) as Binding, time);
    return names;
  }

  /** The rows of what has changed since this was last called; undefined when nothing has. */
  takeChanges(): NameChanges | undefined {
    if (this.#taken === this.#revision) return undefined;
    const changed = [...this.#changedNames];
    const names = changed.flatMap((name) => this.#bindings.get(name) ?? []);
    const oldest = this.#revision - this.#eventCount;
    const first = Math.max(this.#taken, oldest);
    const events = this.eventsSince(first, this.#revision - first).map(eventRow);
    this.#changedNames = new Set();
    this.#taken = this.#revision;
    return {
      head: { format: NAME_FORMAT, revision: this.#revision },
      names,
      removedNames: changed.filter((name) => !this.#bindings.has(name)),
      events,
      forgotten: oldest,
    };
  }

  #unbind(binding: Binding, time: number): number {
    const { name, value, session, uid } = binding;
    this.#drop(binding);
    return this.#happened({ kind: "unbound", name, value, isLeased: session !== null, uid, time });
  }

  #happened(event: Omit<NameEvent, "revision">): number {
    this.#revision++;
    this.#remember({ revision: this.#revision, ...event });
    return this.#revision;
  }

  #remember(event: NameEvent): void {
    this.#events[event.revision % this.#limits.eventCountMax] = event;
    this.#eventCount = Math.min(this.#eventCount + 1, this.#limits.eventCountMax);
  }

  #event(revision: number): NameEvent {
    return this.#events[revision % this.#limits.eventCountMax] as NameEvent;
  }

  #put(binding: Binding): void {
    const { name, session } = binding;
    if (!this.#bindings.has(name)) this.#sorted = undefined;
    this.#bindings.set(name, binding);
    this.#changedNames.add(name);
    if (session === null) return;
    const leased = this.#leases.get(session) ?? new Set();
    this.#leases.set(session, leased.add(name));
  }

  #drop(binding: Binding | undefined): void {
    if (!binding) return;
    const { name, session } = binding;
    this.#sorted = undefined;
    this.#bindings.delete(name);
    this.#changedNames.add(name);
    const leased = session === null ? undefined : this.#leases.get(session);
    leased?.delete(name);
    if (session !== null && leased?.size === 0) this.#leases.delete(session);
  }
}

const encoder = new TextEncoder();

function requireText(call: string, what: string, text: string, sizeMax: number): void {
  const size = encoder.encode(text).length;
  // deno-lint-ignore no-control-regex
  if (size > 0 && size <= sizeMax && !/[\x00-\x1f\x7f]/.test(text)) return;
  throw refusal(call, "EINVAL", `${call} a ${what} of ${size} bytes`, `1 to ${sizeMax}, without control characters`);
}

function requireOwner(call: string, who: Pick<Binder, "uid">, { name, uid }: Binding): void {
  if (who.uid === uid || who.uid === 0) return;
  throw refusal(call, "EPERM", `${call} ${name}`, `it is uid ${uid}'s; ask that user, or root`);
}

/** Whether a binding is already what is asked for, by the same user and, if leased, the same session. */
function isSame(binding: Binding, who: Binder, value: string, isLeased: boolean): boolean {
  return binding.value === value && binding.uid === who.uid && binding.session === (isLeased ? who.session : null);
}

/** The index of the first of the sorted `names` after `name`, or with `isIncluded` not before it. */
function indexAfter(names: readonly string[], name: string, isIncluded: boolean): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const each = names[middle] as string;
    if (each < name || (!isIncluded && each === name)) low = middle + 1;
    else high = middle;
  }
  return low;
}
