/**
 * What must outlive a process, in a file: an embedded database that only its owner may read.
 *
 *   - Whoever changes something says so in one transaction, before anybody is told of it. The write-ahead log is not forced
 *     to the disk each time: what the kernel has, it keeps when this process dies; when the host dies the latest
 *     transactions may be forgotten.
 *   - One process per file: a second one is refused.
 *   - The directory has mode 0700, the file 0600.
 *   - What is read is checked by whoever knows its meaning, not here.
 */
import { DatabaseSync } from "node:sqlite";
import type { SQLInputValue, StatementSync } from "node:sqlite";
import { dirname } from "node:path";
import { SystemError } from "../../base/errors.ts";

/** The file name for a state that ends with its process. */
export const IN_MEMORY = ":memory:";

/** See the head of this file. */
export class StateFile {
  /** Its name. */
  readonly name: string;
  readonly #database: DatabaseSync;
  /** The statements made so far, by their text: to make one costs more than to run it. */
  readonly #statements = new Map<string, StatementSync>();

  private constructor(name: string, database: DatabaseSync) {
    this.name = name;
    this.#database = database;
  }

  /**
   * Opens `file`, or makes it.
   *
   * @param schema statements that make the tables where they are not there.
   * @throws SystemError EBUSY: another process has it; EIO: it cannot be used, and why.
   */
  static open(file: string, schema: string): StateFile {
    let database: DatabaseSync | undefined;
    try {
      if (file !== IN_MEMORY) makePrivate(file);
      database = new DatabaseSync(file);
      database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
      database.exec(`BEGIN IMMEDIATE; ${schema} COMMIT`);
      return new StateFile(file, database);
    } catch (error) {
      database?.close();
      throw unusable(file, error as Error);
    }
  }

  /** All rows of a table. */
  rows(table: string): unknown[] {
    return this.#database.prepare(`SELECT * FROM ${table}`).all();
  }

  /** Does what `write` does in one transaction. When that throws, so does this, and the file is as it was. */
  store(write: () => void): void {
    this.#run("BEGIN IMMEDIATE");
    try {
      write();
      this.#run("COMMIT");
    } catch (error) {
      // some errors have ended the transaction already
      if (this.#database.isTransaction) this.#run("ROLLBACK");
      throw error;
    }
  }

  /** Deletes all rows of a table. */
  clear(table: string): void {
    this.#run(`DELETE FROM ${table}`);
  }

  /** Puts rows into a table, in place of those with the same key. */
  put<Column extends string>(
    table: string,
    columns: readonly Column[],
    rows: readonly Readonly<Record<Column, SQLInputValue>>[],
  ): void {
    if (rows.length === 0) return;
    const places = columns.map(() => "?").join(", ");
    const insert = this.#statement(`INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${places})`);
    for (const row of rows) insert.run(...columns.map((column) => row[column]));
  }

  /** Deletes the rows of a table in which `column` is one of `keys`, or (`comparison`) compares so with it. */
  delete(table: string, column: string, keys: readonly SQLInputValue[], comparison: "=" | "<=" = "="): void {
    if (keys.length === 0) return;
    const remove = this.#statement(`DELETE FROM ${table} WHERE ${column} ${comparison} ?`);
    for (const key of keys) remove.run(key);
  }

  #run(text: string): void {
    this.#statement(text).run();
  }

  #statement(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (!statement) this.#statements.set(text, statement = this.#database.prepare(text));
    return statement;
  }

  /** Closes the file. */
  close(): void {
    this.#database.close();
  }
}

/** Makes `file` and its directory readable for their owner only, before anything is in them. */
function makePrivate(file: string): void {
  Deno.mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  Deno.openSync(file, { create: true, write: true, mode: 0o600 }).close();
  Deno.chmodSync(file, 0o600);
}

function unusable(file: string, error: Error): SystemError {
  const isBusy = /database is locked/.test(error.message);
  const next = isBusy
    ? "another server has it; name another one with --state"
    : `${error.message}; name another one with --state, or begin anew without it`;
  const code = isBusy ? "EBUSY" : "EIO";
  return new SystemError("open", code, `cannot use the state in ${file}: ${code}; ${next}`, error);
}
