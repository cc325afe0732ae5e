/**
 * The global logger: decides when a checkpoint is taken, takes one at a time, and keeps as many as it was told.
 *
 *   - The first at start, tried again until it succeeds; then one every period, measured from start to start.
 *   - Who asks for one gets one that has not cut yet: all that was written before is in it.
 *   - A checkpoint that fails is one line in the log; the next one tries again.
 */
import { nowMs, pause } from "../../base/clock.ts";
import { DsmError, InvariantError, SystemError } from "../../base/errors.ts";
import { approximateSize } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import { isComplete, listCheckpoints } from "../../checkpoint/store.ts";
import type { Checkpoint } from "../../checkpoint/store.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { Fields } from "../../wire/messages.ts";
import { GlobalCheckpoint } from "./global_checkpoint.ts";
import type { CheckpointRequest, TakenCheckpoint } from "./global_checkpoint.ts";
import type { LoggerHere } from "./logger_link.ts";
import type { Master } from "./logger_requests.ts";
import { Loggers } from "./loggers.ts";
import type { LogSink } from "../common/log_sink.ts";

/** What a global logger is to do. */
export interface GlobalLoggerRequest extends Omit<CheckpointRequest, "previous"> {
  /** Where the config server is. */
  readonly config: Endpoint;
  /** The local logger in this process, if there is one. */
  readonly here?: LoggerHere;
  /** What it shows to the config server and to every logger. */
  readonly credentials: Credentials;
  /** From the start of one checkpoint to that of the next, in ms. */
  readonly periodMs: number;
  /** What follows a checkpoint that is complete; what it throws is said, and the checkpoint stays. */
  readonly onComplete: (checkpoint: Checkpoint) => Promise<void>;
}

/** How soon the first checkpoint is tried again, at the latest. */
const RETRY_MS_MAX = 5_000;

interface UnderWay {
  readonly checkpoint: GlobalCheckpoint;
  readonly taken: Promise<TakenCheckpoint>;
}

/** See the head of this file. */
export class GlobalLogger implements Master, AsyncDisposable {
  readonly #request: GlobalLoggerRequest;
  readonly #log: LogSink;
  readonly #loggers: Loggers;
  readonly #ending = new AbortController();
  readonly #suspenders = new Map<symbol, string>();
  /** What the next checkpoint is built on. */
  #previous: Checkpoint | undefined;
  #underWay: UnderWay | undefined;
  /** The checkpoint that follows the one under way, once somebody has asked for it. */
  #following: Promise<TakenCheckpoint> | undefined;
  #scheduling: Promise<void> = Promise.resolve();

  /** Takes nothing before `start`. @param epoch of this process. */
  constructor(request: GlobalLoggerRequest, epoch: EpochWord, log: LogSink) {
    this.#request = request;
    this.#log = log;
    this.#loggers = new Loggers(request.config, epoch, request.credentials, request.here);
  }

  /** Begins with the first checkpoint. @throws SystemError when the directory cannot be read. */
  async start(): Promise<void> {
    this.#previous = (await listCheckpoints(this.directory)).find(isComplete);
    this.#scheduling = this.#schedule();
  }

  async #schedule(): Promise<void> {
    const { signal } = this.#ending;
    const { periodMs } = this.#request;
    for (let hasSucceeded = false; !signal.aborted;) {
      const startMs = nowMs();
      hasSucceeded = await this.#next().then(() => true, () => hasSucceeded);
      const waitMs = hasSucceeded ? periodMs : Math.min(periodMs, RETRY_MS_MAX);
      await pause(Math.max(0, startMs + waitMs - nowMs()), signal);
    }
  }

  /** See {@linkcode Master}. */
  get directory(): string {
    return this.#request.directory;
  }

  /** See {@linkcode Master}. */
  get progress(): Fields<"progressReply"> {
    const checkpoint = this.#underWay?.checkpoint;
    if (!checkpoint) return { epoch: 0, phase: "", doneSize: 0, totalSize: 0 };
    const { epoch, phase, doneSize, totalSize } = checkpoint;
    return { epoch, phase, doneSize, totalSize };
  }

  /** See {@linkcode Master}. */
  async take(): Promise<Fields<"taken">> {
    const { checkpoint, epoch, changedSize, durationMs } = await this.#next();
    return { directory: checkpoint.path, epoch, changedSize, durationMs: Math.round(durationMs) };
  }

  /** See {@linkcode Master}. */
  suspend(who: string): () => void {
    const suspender = Symbol(who);
    this.#suspenders.set(suspender, who);
    this.#underWay?.checkpoint.abort(suspended(who));
    this.#log("info", `no checkpoint is taken until ${who} has gone, which is restoring one`);
    return () => this.#suspenders.delete(suspender);
  }

  /** The next checkpoint that has not cut yet. */
  #next(): Promise<TakenCheckpoint> {
    const underWay = this.#underWay;
    if (!underWay) return this.#take();
    if (!underWay.checkpoint.hasCut) return underWay.taken;
    return this.#following ??= underWay.taken.catch(() => {}).then(() => {
      this.#following = undefined;
      return this.#next();
    });
  }

  #take(): Promise<TakenCheckpoint> {
    const checkpoint = new GlobalCheckpoint(this.#loggers, { ...this.#request, previous: this.#previous });
    const taken = this.#run(checkpoint).finally(() => this.#underWay = undefined);
    this.#underWay = { checkpoint, taken };
    return taken;
  }

  async #run(checkpoint: GlobalCheckpoint): Promise<TakenCheckpoint> {
    try {
      for (const who of this.#suspenders.values()) throw suspended(who);
      const taken = await checkpoint.run();
      this.#previous = taken.checkpoint;
      this.#log("info", describe(taken));
      await this.#request.onComplete(taken.checkpoint).catch((error) => {
        if (!(error instanceof DsmError)) throw error;
        this.#log("warn", `checkpoint ${taken.epoch} is complete, but: ${error.message}`);
      });
      return taken;
    } catch (error) {
      if (!(error instanceof DsmError) || error instanceof InvariantError) throw error;
      if (checkpoint.isPreviousBroken) this.#previous = undefined;
      const name = checkpoint.epoch === 0 ? "no checkpoint" : `checkpoint ${checkpoint.epoch} abandoned`;
      if (!this.#ending.signal.aborted) this.#log("error", `${name}: ${error.message}`);
      throw error;
    }
  }

  /** Abandons what is under way, and takes no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new SystemError("checkpoint", "ECANCELED", "the global logger is stopping");
    this.#ending.abort(reason);
    this.#suspenders.set(Symbol("stopping"), "the global logger's stop");
    this.#underWay?.checkpoint.abort(reason);
    await this.#scheduling;
    await this.#underWay?.taken.catch(() => {});
    await this.#loggers[Symbol.asyncDispose]();
  }
}

function suspended(who: string): SystemError {
  return new SystemError("checkpoint", "EBUSY", `${who} has asked for no checkpoint to be taken, as a restore does`);
}

function describe({ checkpoint, epoch, serverCount, totalSize, changedSize, durationMs }: TakenCheckpoint): string {
  const servers = `${serverCount} ${serverCount === 1 ? "server" : "servers"}`;
  return `checkpoint ${epoch} complete in ${(durationMs / 1000).toFixed(2)} s: ${servers}, ` +
    `${approximateSize(totalSize)} looked at, ${approximateSize(changedSize)} changed: ${checkpoint.path}`;
}
