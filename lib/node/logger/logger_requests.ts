/**
 * Answers the native requests to a logger: its part in checkpoints, and, of the master, when they are taken.
 *
 *   - One checkpoint is under way at a time. It belongs to the connection that prepared it, and ends with that connection,
 *     or when its master is silent for too long.
 *   - Requests of one connection are answered one after the other, but for `take`, which may be long: `progress` overtakes
 *     it.
 */
import { nowMs, turn } from "../../base/clock.ts";
import { DsmError, InvariantError, SystemError } from "../../base/errors.ts";
import type { Hasher } from "../../checkpoint/checksum.ts";
import { FooterWord } from "../../memory/layout.ts";
import type { Region } from "../../memory/region.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import { encodeChecksums, encodeRuns } from "../../wire/gathered.ts";
import { encodeFrame } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { KnownPictures } from "./known_pictures.ts";
import { LocalCheckpoint } from "./local_checkpoint.ts";
import type { GatheredChanges } from "./local_checkpoint.ts";
import type { LoggedServer } from "./logged_server.ts";
import { putBytes } from "../common/native_reply.ts";

/** How long a master may say nothing in the middle of a checkpoint, unless asked otherwise. */
export const MASTER_SILENT_MS_MAX = 30_000;

const NOT_UNDER_WAY = "this connection has no checkpoint under way here: it has been abandoned";

/** A part of a picture, as the message has it. */
export interface Gathered {
  /** The reply's fields. */
  readonly fields: Fields<"gathered">;
  /** The bytes of its runs. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** What a master does beside its local logger's work. */
export interface Master {
  /** Where its checkpoints go, absolute. */
  readonly directory: string;
  /** Takes one now. @throws DsmError saying why it could not. */
  take(): Promise<Fields<"taken">>;
  /** How far the one under way is. */
  readonly progress: Fields<"progressReply">;
  /** Takes none until what is returned is called. @param who for people. */
  suspend(who: string): () => void;
}

/** A checkpoint and whose it is. */
interface UnderWay {
  readonly checkpoint: LocalCheckpoint;
  readonly owner: Link;
  heardMs: number;
}

/** See the head of this file. */
export class LoggerRequests {
  /** Set once this logger is the master. */
  master: Master | undefined;
  readonly #server: LoggedServer;
  readonly #hasher: Hasher;
  readonly #masterSilentMsMax: number;
  readonly #resumes = new Map<Link, () => void>();
  readonly #open = new Set<Link>();
  #known: KnownPictures | undefined;
  #underWay: UnderWay | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** @param server whose region the pictures are of; @param masterSilentMsMax see the head of this file. */
  constructor(server: LoggedServer, hasher: Hasher, masterSilentMsMax: number) {
    this.#server = server;
    this.#hasher = hasher;
    this.#masterSilentMsMax = masterSilentMsMax;
  }

  /** Takes note of a connection. */
  opened(link: Link): void {
    this.#open.add(link);
  }

  /** Undoes what a connection that went has begun. */
  closed(link: Link): void {
    this.#open.delete(link);
    this.#resumes.get(link)?.();
    this.#resumes.delete(link);
    if (this.#underWay?.owner === link) this.#endCheckpoint();
  }

  /** The region is lost: nothing may touch it once this has resolved. */
  async lost(): Promise<void> {
    this.#known = undefined;
    this.#endCheckpoint();
    await this.#ended;
  }

  /** In how many ms a silent master is due to lose its checkpoint; Infinity when there is none. */
  nextTickMs(): number {
    return this.#underWay ? Math.max(0, this.#underWay.heardMs + this.#masterSilentMsMax - nowMs()) : Infinity;
  }

  /** Ends the checkpoint of a master that was silent for too long. */
  tick(): void {
    if (this.#underWay && this.nextTickMs() === 0) this.#endCheckpoint();
  }

  #endCheckpoint(): void {
    const ending = this.#underWay?.checkpoint;
    this.#underWay = undefined;
    if (ending) this.#ended = Promise.all([this.#ended, ending.end()]).then(() => {});
  }

  /** Answers one request; resolves when the next of its connection may be. */
  async serve(link: Link, header: Header): Promise<void> {
    if (this.#underWay?.owner === link) this.#underWay.heardMs = nowMs();
    if (header.name === "take") return void this.#reply(link, header.id, () => this.#take());
    await this.#reply(link, header.id, () => this.#answer(link, header));
  }

  async #reply(link: Link, id: number, answer: () => Promise<Answer> | Answer): Promise<void> {
    let said: Answer;
    try {
      said = await answer();
    } catch (error) {
      if (!(error instanceof DsmError) || error instanceof InvariantError) throw error;
      said = answerOf("error", { code: error instanceof SystemError ? error.code : "EIO", message: error.message });
    }
    if (!this.#open.has(link)) return;
    const region = this.#server.region;
    putBytes(link, said.encode(id, region?.incarnationHeld ?? 0, region?.epochHeld ?? 0));
    if (said.payload) putBytes(link, said.payload);
    link.flush();
  }

  #answer(link: Link, header: Header): Promise<Answer> | Answer {
    switch (header.name) {
      case "ping":
        return answerOf("pong", {});
      case "loggerInfo":
        return this.#info();
      case "prepare":
        return this.#prepare(link, header.fields.epoch);
      case "cut":
      case "release":
        this.#own(link, header.name).checkpoint[header.name](header.fields.epoch);
        return answerOf("done", {});
      case "gather":
        return this.#gather(link, header.fields);
      case "confirm":
        return this.#confirm(link, header.fields.epoch);
      case "abandon":
        return this.#letGo(link, () => answerOf("done", {}));
      case "progress":
        return answerOf("progressReply", this.#requireMaster(header.name).progress);
      case "suspend":
        this.#resumes.get(link)?.();
        this.#resumes.set(link, this.#requireMaster(header.name).suspend(peerName(link.peer)));
        return answerOf("done", {});
      default:
        throw new SystemError(header.name, "ENOSYS", `a logger does not answer ${header.name}`);
    }
  }

  #info(): Answer {
    const { region, reason, name } = this.#server;
    return answerOf("loggerInfoReply", {
      server: name,
      isMaster: this.master !== undefined,
      directory: this.master?.directory ?? "",
      pid: Deno.pid,
      size: region?.layout.size ?? 0,
      blockSize: region?.layout.blockSize ?? 0,
      cookie: region?.cookie ?? "",
      startCount: region?.word(FooterWord.startCount) ?? 0,
      reason,
    });
  }

  #requireRegion(call: string): Region {
    const { region, reason } = this.#server;
    if (!region) throw new SystemError(call, "ENXIO", reason);
    return region;
  }

  async #prepare(link: Link, epoch: number): Promise<Answer> {
    const busy = this.#underWay;
    if (busy?.owner === link) this.#endCheckpoint();
    else if (busy) {
      throw new SystemError(
        "prepare",
        "EBUSY",
        `the master at ${
          peerName(busy.owner.peer)
        } has checkpoint ${busy.checkpoint.epoch} under way; one master is enough`,
      );
    }
    await this.#ended;
    const region = this.#requireRegion("prepare");
    if (!this.#open.has(link)) throw new SystemError("prepare", "ECANCELED", "its master has gone");
    this.#known ??= new KnownPictures(region.layout.size, this.#hasher);
    const checkpoint = new LocalCheckpoint(region, epoch, this.#known, this.#hasher);
    this.#underWay = { checkpoint, owner: link, heardMs: nowMs() };
    return this.#info();
  }

  /** The checkpoint under way, which must be this connection's. */
  #own(link: Link, call: string): UnderWay {
    if (this.#underWay?.owner === link) return this.#underWay;
    throw new SystemError(call, "ECANCELED", NOT_UNDER_WAY);
  }

  async #gather(link: Link, { epoch, since }: Fields<"gather">): Promise<Answer> {
    const { fields, payload } = gatheredFrom(await this.#own(link, "gather").checkpoint.gather(epoch, since));
    return answerOf("gathered", fields, payload);
  }

  /** `gather` for the master in this process: by no connection, and the bytes are the scanner's own until the next call. */
  async gatherHere(epoch: number, since: number): Promise<Gathered> {
    const underWay = this.#underWay;
    if (!underWay) throw new SystemError("gather", "ECANCELED", NOT_UNDER_WAY);
    underWay.heardMs = nowMs();
    await turn(); // a connection would have given the others theirs
    return gatheredFrom(await underWay.checkpoint.gather(epoch, since));
  }

  async #confirm(link: Link, epoch: number): Promise<Answer> {
    this.#own(link, "confirm").checkpoint.confirm(epoch);
    return await this.#letGo(link, () => this.#info());
  }

  /** Ends this connection's checkpoint, if it has one. */
  async #letGo(link: Link, answer: () => Answer): Promise<Answer> {
    if (this.#underWay?.owner === link) this.#endCheckpoint();
    await this.#ended;
    return answer();
  }

  #requireMaster(call: string): Master {
    if (this.master) return this.master;
    throw new SystemError(call, "ENOTSUP", "this logger is not the master; dsm checkpoint take finds the one that is");
  }

  async #take(): Promise<Answer> {
    return answerOf("taken", await this.#requireMaster("take").take());
  }
}

function gatheredFrom({ since, next, runs, checksums, bytes }: GatheredChanges): Gathered {
  return { fields: { since, next, runs: encodeRuns(runs), checksums: encodeChecksums(checksums) }, payload: bytes };
}

/** A reply that waits for the id and epoch it is sent with. */
interface Answer {
  readonly payload: Uint8Array | undefined;
  encode(id: number, incarnation: number, epoch: number): Uint8Array;
}

function answerOf<N extends MessageName>(name: N, fields: Fields<N>, payload?: Uint8Array): Answer {
  return {
    payload,
    encode: (id, incarnation, epoch) => {
      return encodeFrame(name, { id, incarnation, epoch }, fields, payload?.length ?? 0);
    },
  };
}
