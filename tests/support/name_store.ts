/** A store of names that is only memory: what a database would have after every change it was given. */
import type { NameChanges } from "../../lib/registry/name_rows.ts";

/** See the head of this file. */
export class NameStore {
  #head: NameChanges["head"] | undefined;
  readonly #names = new Map<string, NameChanges["names"][number]>();
  readonly #events = new Map<number, NameChanges["events"][number]>();

  /** Stores what has changed. */
  take(changes: NameChanges | undefined): void {
    if (!changes) return;
    this.#head = changes.head;
    for (const name of changes.names) this.#names.set(name.name, name);
    for (const name of changes.removedNames) this.#names.delete(name);
    for (const event of changes.events) this.#events.set(event.revision, event);
    for (const revision of this.#events.keys()) if (revision <= changes.forgotten) this.#events.delete(revision);
  }

  /** The rows of the whole table; undefined when nothing was ever stored. */
  get rows(): unknown {
    if (!this.#head) return undefined;
    return { ...this.#head, names: [...this.#names.values()], events: [...this.#events.values()] };
  }
}
