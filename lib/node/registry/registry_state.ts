/**
 * What a registry keeps in its file: one transaction per received batch, stored before any of the batch is answered. What is
 * read is checked by the tables, not here.
 */
import type { NameChanges } from "../../registry/name_rows.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { StateFile } from "../common/state_file.ts";
import type { HeldRow, QueueChanges } from "./queue_requests.ts";

const NAME_HEAD = ["format", "revision"] as const;
const NAME = ["name", "value", "revision", "session", "uid", "time"] as const;
const EVENT = ["revision", "kind", "name", "value", "isLeased", "uid", "time"] as const;
const QUEUE_HEAD = ["format", "sequence", "lastIndex", "nextMessage"] as const;
const QUEUE = [
  ...["id", "key", "uid", "gid", "cuid", "cgid", "mode", "qbytes"] as const,
  ...["stime", "rtime", "ctime", "lspid", "lrpid"] as const,
];
const MESSAGE = ["number", "queueId", "type", "data", "deliveryCount", "session", "request"] as const;
const EPOCH = ["incarnation", "epoch"] as const;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS epoch (only INTEGER PRIMARY KEY CHECK (only = 1), ${EPOCH.join(", ")});
  CREATE TABLE IF NOT EXISTS nameHead (only INTEGER PRIMARY KEY CHECK (only = 1), ${NAME_HEAD.join(", ")});
  CREATE TABLE IF NOT EXISTS names (${NAME.join(", ")}, PRIMARY KEY (name));
  CREATE TABLE IF NOT EXISTS events (revision INTEGER PRIMARY KEY, ${EVENT.slice(1).join(", ")});
  CREATE TABLE IF NOT EXISTS queueHead (only INTEGER PRIMARY KEY CHECK (only = 1), ${QUEUE_HEAD.join(", ")});
  CREATE TABLE IF NOT EXISTS queues (id INTEGER PRIMARY KEY, ${QUEUE.slice(1).join(", ")});
  CREATE TABLE IF NOT EXISTS messages (number INTEGER PRIMARY KEY, ${MESSAGE.slice(1).join(", ")});
`;

/** What one batch has changed. */
export interface RegistryChanges {
  /** Undefined where it has not changed. */
  readonly names: NameChanges | undefined;
  /** Undefined where they have not changed. */
  readonly queues: QueueChanges | undefined;
  /** Undefined where it has not changed. */
  readonly epoch: Readonly<EpochWord> | undefined;
}

/** Where a registry's state is kept; a simulator has another one. */
export interface RegistryStore {
  /** The rows of the names as they were stored, not checked; undefined when there are none yet. */
  readNames(): unknown;
  /** The same of the queues, with their messages as {@linkcode HeldRow}. */
  readQueues(): { readonly messages: readonly HeldRow[] } | undefined;
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
    return new RegistryState(StateFile.open(file, SCHEMA));
  }

  /** See {@linkcode RegistryStore}. */
  readNames(): unknown {
    const [head] = this.#file.rows("nameHead");
    if (head === undefined) return undefined;
    return { ...head as object, names: this.#file.rows("names"), events: this.#file.rows("events") };
  }

  /** See {@linkcode RegistryStore}. */
  readQueues(): { readonly messages: readonly HeldRow[] } | undefined {
    const [head] = this.#file.rows("queueHead");
    if (head === undefined) return undefined;
    const messages = this.#file.rows("messages") as HeldRow[];
    return { ...head as object, ...{ queues: this.#file.rows("queues") }, messages };
  }

  /** See {@linkcode RegistryStore}. */
  readEpoch(): EpochWord {
    const [word] = this.#file.rows("epoch") as EpochWord[];
    return { incarnation: word?.incarnation ?? 0, epoch: word?.epoch ?? 0 };
  }

  /** See {@linkcode RegistryStore}. */
  store({ names, queues, epoch }: RegistryChanges): void {
    this.#file.store(() => {
      if (epoch) this.#file.put("epoch", ["only", ...EPOCH], [{ only: 1, ...epoch }]);
      if (names) this.#storeNames(names);
      if (queues) this.#storeQueues(queues);
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

  #storeQueues({ head, queues, removedQueues, messages, removedMessages }: QueueChanges): void {
    const file = this.#file;
    file.put("queueHead", ["only", ...QUEUE_HEAD], [{ only: 1, ...head }]);
    file.put("queues", QUEUE, queues);
    file.delete("queues", "id", removedQueues);
    file.put("messages", MESSAGE, messages);
    file.delete("messages", "number", removedMessages);
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }
}
