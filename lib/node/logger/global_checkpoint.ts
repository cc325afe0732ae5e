/**
 * One checkpoint of all servers, from the first question to the finished directory.
 *
 *   - The epoch is written down before anybody hears of it, so that no number is used twice.
 *   - Every logger is ready before the first server cuts; every server has cut, and the config server too, before anybody
 *     who waits is released. The config server is asked last, because only then does this process's own frame say so.
 *   - It is complete only when every logger has confirmed that its picture stands, on the bytes and the server that it was
 *     prepared on. Whatever fails before that, it is abandoned everywhere and nothing of it stays on the disk.
 */
import { nowMs, pause } from "../../base/clock.ts";
import { SystemError } from "../../base/errors.ts";
import type { TableRows } from "../../ipc/segments/segment_rows.ts";
import { Draft } from "../../checkpoint/draft.ts";
import { readEpoch, writeEpoch } from "../../checkpoint/epoch_file.ts";
import type { Checkpoint } from "../../checkpoint/store.ts";
import { decodeChecksums, decodeRuns } from "../../wire/gathered.ts";
import type { LoggerState } from "./logger_link.ts";
import type { Gathered } from "./logger_requests.ts";
import type { Loggers } from "./loggers.ts";
import { survey } from "./survey.ts";
import type { SurveyedServer } from "./survey.ts";

/** What a checkpoint is doing, in order. */
export type CheckpointPhase = "survey" | "prepare" | "cut" | "table" | "release" | "gather" | "confirm" | "complete";

/** How a checkpoint is to be taken. */
export interface CheckpointRequest {
  /** Where it goes. */
  readonly directory: string;
  /** The newest complete one there, on whose images those may be built that have changed little. */
  readonly previous: Checkpoint | undefined;
  /** A random delay of at most that many ms before each server's cut, to show that the cut does not depend on the clock. */
  readonly cutDelayMsMax: number;
  /** Called as each phase begins, and waited for. */
  readonly onPhase: (phase: CheckpointPhase) => Promise<void> | void;
}

/** A checkpoint that is complete. */
export interface TakenCheckpoint {
  /** What is on the disk. */
  readonly checkpoint: Checkpoint;
  /** Its epoch. */
  readonly epoch: number;
  /** How many servers it is of. */
  readonly serverCount: number;
  /** Bytes of the space, all of which were looked at. */
  readonly totalSize: number;
  /** Bytes that had changed, and travelled. */
  readonly changedSize: number;
  /** How long it took. */
  readonly durationMs: number;
}

/** How many `gather`s are on their way to one server: one is answered while the bytes of the other are written. */
const GATHERS_AHEAD = 2;

/** See the head of this file. To be run once. */
export class GlobalCheckpoint {
  /** What it is doing. */
  phase: CheckpointPhase = "survey";
  /** Its epoch; 0 until it is chosen. */
  epoch = 0;
  /** Bytes looked at so far. */
  doneSize = 0;
  /** Bytes to be looked at; 0 until that is known. */
  totalSize = 0;
  /** Whether the images of the previous checkpoint turned out not to be as they were: build no more on them. */
  isPreviousBroken = false;
  readonly #loggers: Loggers;
  readonly #request: CheckpointRequest;
  readonly #failing = new AbortController();
  #changedSize = 0;
  #draft: Draft | undefined;

  /** Asks and does nothing yet. */
  constructor(loggers: Loggers, request: CheckpointRequest) {
    this.#loggers = loggers;
    this.#request = request;
  }

  /** Whether some server may have made its cut: what is written from now on may not be in it. */
  get hasCut(): boolean {
    return this.phase !== "survey" && this.phase !== "prepare";
  }

  /** Ends it early; `run` rejects with `reason`. */
  abort(reason: unknown): void {
    this.#failing.abort(reason);
  }

  /** Takes it. @throws DsmError naming the server, logger or file that stood in the way; the reason of `abort`. */
  async run(): Promise<TakenCheckpoint> {
    const startMs = nowMs();
    await this.#begin("survey");
    const servers = await survey(this.#loggers, this.#failing.signal);
    this.totalSize = servers.reduce((sum, { place }) => sum + place.size, 0);
    const epoch = await this.#chooseEpoch(servers);
    try {
      const [prepared, table] = await this.#cut(servers, epoch);
      const checkpoint = await this.#write(servers, prepared, table, epoch);
      return {
        checkpoint,
        epoch,
        serverCount: servers.length,
        totalSize: this.totalSize,
        changedSize: this.#changedSize,
        durationMs: nowMs() - startMs,
      };
    } catch (error) {
      this.#failing.abort(error);
      await Promise.all([this.#draft?.abandon(), ...servers.map(({ logger }) => logger.abandon(epoch))]);
      throw error;
    }
  }

  async #begin(phase: CheckpointPhase): Promise<void> {
    this.phase = phase;
    await this.#request.onPhase(phase);
    this.#failing.signal.throwIfAborted();
  }

  /** Does `step` for all servers at once; the first that fails ends the others. */
  async #all<T>(
    servers: readonly SurveyedServer[],
    step: (server: SurveyedServer, index: number, signal: AbortSignal) => Promise<T>,
  ): Promise<T[]> {
    const steps = servers.map(async (server, index) => {
      try {
        return await step(server, index, this.#failing.signal);
      } catch (error) {
        this.#failing.abort(error);
        throw error;
      }
    });
    await Promise.allSettled(steps);
    this.#failing.signal.throwIfAborted();
    return await Promise.all(steps);
  }

  async #chooseEpoch(servers: readonly SurveyedServer[]): Promise<number> {
    const { directory } = this.#request;
    const incarnation = (servers[0] as SurveyedServer).state.incarnation;
    const durable = await readEpoch(directory);
    const known = servers.map(({ state }) => state.epoch);
    if (durable.incarnation === incarnation) known.push(durable.epoch);
    const epoch = Math.max(...known) + 1;
    await writeEpoch(directory, { incarnation, epoch });
    return this.epoch = epoch;
  }

  async #cut(servers: readonly SurveyedServer[], epoch: number): Promise<[LoggerState[], TableRows]> {
    await this.#begin("prepare");
    const prepared = await this.#all(servers, ({ logger }, _, signal) => logger.prepare(epoch, signal));
    await this.#begin("cut");
    await this.#all(servers, async ({ logger }, _, signal) => {
      await pause(Math.random() * this.#request.cutDelayMsMax, signal);
      await logger.cut(epoch, signal);
    });
    await this.#begin("table");
    const table = await this.#loggers.table(epoch, this.#failing.signal);
    await this.#begin("release");
    await this.#all(servers, ({ logger }, _, signal) => logger.release(epoch, signal));
    return [prepared, table];
  }

  async #write(
    servers: readonly SurveyedServer[],
    prepared: readonly LoggerState[],
    table: TableRows,
    epoch: number,
  ): Promise<Checkpoint> {
    await this.#begin("gather");
    const { incarnation } = prepared[0] as LoggerState;
    const { directory, previous } = this.#request;
    const draft = this.#draft = await Draft.begin(directory, {
      incarnation,
      epoch,
      timeMs: Date.now(),
      table,
      servers: servers.map(({ place, logger }, index) => {
        const { cookie, startCount } = prepared[index] as LoggerState;
        const { base, size, blockSize } = place;
        return { name: logger.server, base, size, blockSize, cookie, startCount };
      }),
      ...(previous?.manifest.incarnation === incarnation ? { previous } : {}),
      signal: this.#failing.signal,
    });
    await this.#all(servers, (server, index, signal) => this.#gather(draft, server, index, signal));
    await this.#begin("confirm");
    const confirmed = await this.#all(servers, ({ logger }, _, signal) => logger.confirm(epoch, signal));
    await this.#begin("complete");
    return await draft.complete(confirmed);
  }

  async #gather(draft: Draft, { logger, place }: SurveyedServer, index: number, signal: AbortSignal): Promise<void> {
    const since = draft.canBeIncremental(index) ? this.#request.previous?.manifest.epoch ?? 0 : 0;
    const ask = (): Promise<Gathered> => {
      const asked = logger.gather(this.epoch, since, signal);
      asked.catch(() => {}); // whoever comes to it hears of it; after the end nobody does
      return asked;
    };
    const asked = Array.from({ length: logger.isHere ? 1 : GATHERS_AHEAD }, ask);
    for (let next = 0; next < place.size;) {
      const { fields, payload } = await (asked.shift() as Promise<Gathered>);
      if (fields.next <= next && payload.length === 0) throw stuck(logger.name, next);
      if (next === 0) await this.#startImage(draft, index, since !== 0 && fields.since === since);
      const isLast = fields.next >= place.size;
      if (!isLast && !logger.isHere) asked.push(ask());
      await writeGathered(draft, index, fields, payload);
      if (!isLast && logger.isHere) asked.push(ask()); // not before its bytes are written
      this.#changedSize += payload.length;
      this.doneSize += fields.next - next;
      next = fields.next;
    }
    await Promise.allSettled(asked);
  }

  async #startImage(draft: Draft, index: number, isIncremental: boolean): Promise<void> {
    try {
      await draft.startImage(index, isIncremental);
    } catch (error) {
      this.isPreviousBroken = isIncremental;
      throw error;
    }
  }
}

function stuck(name: string, next: number): SystemError {
  return new SystemError("gather", "EPROTO", `the logger at ${name} does not go on from byte ${next}`);
}

async function writeGathered(
  draft: Draft,
  server: number,
  fields: Gathered["fields"],
  payload: Uint8Array<ArrayBuffer>,
): Promise<void> {
  let at = 0;
  for (const { offset, size } of decodeRuns(fields.runs, payload.length)) {
    await draft.write(server, offset, payload.subarray(at, at + size));
    at += size;
  }
  for (const { index, digest } of decodeChecksums(fields.checksums)) draft.setChecksum(server, index, digest);
}
