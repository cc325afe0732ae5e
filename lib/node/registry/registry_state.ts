/**
 * What a registry keeps in its file: one transaction per received batch, stored before any of the batch is answered. What is
 * read is checked by the tables, not here.
 */
import type { NameChanges } from "../../registry/name_rows.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { StateFile } from "../common/state_file.ts";

const NAME_HEAD = ["format", "revision"] as const;
const NAME = ["name", "value", "revision", "session", "uid", "time"] as const;
const EVENT = ["revision", "kind", "name", "value", "isLeased", "uid", "time"] as const;
const EPOCH = ["incarnation", "epoch"] as const;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS epoch (only INTEGER PRIMARY KEY CHECK (only = 1), ${EPOCH.join(", ")});
  CREATE TABLE IF NOT EXISTS nameHead (only INTEGER PRIMARY KEY CHECK (only = 1), ${NAME_HEAD.join(", ")});
  CREATE TABLE IF NOT EXISTS names (${NAME.join(", ")}, PRIMARY KEY (name));
  CREATE TABLE IF NOT EXISTS events (revision INTEGER PRIMARY KEY, ${EVENT.slice(1).join(", ")});
`;

/** What one batch has changed. */
export interface RegistryChanges {
  /** Undefined where it has not changed. */
  readonly names: NameChanges | undefined;
  /** Undefined where it has not changed. */
  readonly epoch: Readonly<EpochWord> | undefined;
}

/** Where a registry's state is kept; a simulator has another one. */
export interface RegistryStore {
  /** The rows of the names as they were stored, not checked; undefined when there are none yet. */
  readNames(): unknown;
  /** The highest epoch that was stored. */
  readEpoch(): EpochWord;
  /** Stores what a batch has changed, all of it or nothing. */
  store(changes: RegistryChanges): void;
}

/** See the head of this file. */
export class RegistryState implements RegistryStore {
  readonly #file: StateFile;

  private constructor(file: StateFile) {
    this.#file = file;
  }

  /** Opens `file`, or makes it. @throws SystemError as {@linkcode StateFile.open}. */
  static open(file: string): RegistryState {
    return new RegistryState(StateFile.open(file, SCHEMA, "registry"));
  }

  /** See {@linkcode RegistryStore}. */
  readNames(): unknown {
    const [head] = this.#file.rows("nameHead");
    if (head === undefined) return undefined;
    return { ...head as object, names: this.#file.rows("names"), events: this.#file.rows("events") };
  }

  /** See {@linkcode RegistryStore}. */
  readEpoch(): EpochWord {
    const [word] = this.#file.rows("epoch") as EpochWord[];
    return { incarnation: word?.incarnation ?? 0, epoch: word?.epoch ?? 0 };
  }

  /** See {@linkcode RegistryStore}. */
  store({ names, epoch }: RegistryChanges): void {
    this.#file.store(() => {
      if (epoch) this.#file.put("epoch", ["only", ...EPOCH], [{ only: 1, ...epoch }]);
      if (names) this.#storeNames(names);
    });
  }

  #storeNames({ head, names, removedNames, events, forgotten }: NameChanges): void {
    const file = this.#file;
    file.put("nameHead", ["only", ...NAME_HEAD], [{ only: 1, ...head }]);
    file.put("names", NAME, names);
    file.delete("names", "name", removedNames);
    file.put("events", EVENT, events);
    file.delete("events", "revision", [forgotten], "<=");
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}
