/**
 * One connection of the simple dialect: from a request's words to a call, and from what came of it to a reply.
 *
 *   - Reading and writing need an attachment of this very connection. A segment may be attached several times: the latest
 *     attachment is the one that is read through and detached first, the latest writable one is written through.
 *   - Every error is a number in the reply, and the connection goes on. What was wrong in words is for the log.
 */
import { ERRNO } from "../../base/errno.ts";
import { DsmError, InvariantError, PeerLostError, SystemError, TimeoutError } from "../../base/errors.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import { IPC_RMID, IPC_SET, IPC_STAT } from "../../ipc/common/flags.ts";
import type { SegmentStatus } from "../../ipc/segments/segment.ts";
import {
  decodeOwnership,
  encodeShmidDs,
  encodeStatus,
  putSimpleReply,
  SIMPLE_REPLY_SIZE,
  SIMPLE_REQUEST_SIZE,
  simpleRequest,
} from "../../wire/simple.ts";
import type { SimpleRequest } from "../../wire/simple.ts";
import type { LogSink } from "../common/log_sink.ts";
import type { ExchangeBytes } from "../memory/simple_calls.ts";
import type { AttachedSegment, SegmentCaller, SegmentSource } from "./segment_source.ts";

/** Attachments of one connection: no more than Linux lets there be segments. */
export const ATTACHED_COUNT_MAX = 4096;

const NOTHING = new Uint8Array(0);

/** What came of a call. */
interface Outcome {
  readonly result: number;
  /** Empty where what is given is in the exchange already. */
  readonly data: Uint8Array;
  /** Bytes given. */
  readonly dataSize: number;
}

/** See the head of this file. */
export class SimpleConnection {
  readonly #source: SegmentSource;
  readonly #caller: number;
  readonly #uid: number;
  readonly #log: LogSink;
  readonly #attached = new Map<number, AttachedSegment[]>();
  readonly #ending = new AbortController();
  #attachedCount = 0;
  #calls: SegmentCaller | undefined;
  #underWay: Promise<void> = Promise.resolve();

  /** @param caller its number. @param uid whose process is at the other end. */
  constructor(source: SegmentSource, caller: number, uid: number, log: LogSink) {
    this.#source = source;
    this.#caller = caller;
    this.#uid = uid;
    this.#log = log;
  }

  /** Carries out the request in `exchange`, of which the sizes have been checked, and puts the reply in its place. */
  serve(exchange: ExchangeBytes): Promise<void> {
    return this.#underWay = this.#serve(exchange);
  }

  async #serve(exchange: ExchangeBytes): Promise<void> {
    const view = new DataView(exchange.buffer);
    try {
      const { result, data, dataSize } = await this.#carryOut(simpleRequest(view, 0), exchange, view);
      putSimpleReply(view, 0, result, 0, dataSize);
      exchange.set(data, SIMPLE_REPLY_SIZE);
    } catch (error) {
      putSimpleReply(view, 0, -1, errnoOf(error, this.#ending.signal), 0);
      this.#log("debug", `simple connection ${this.#caller}: ${(error as Error).message}`);
    }
    await this.#source.released(this.#ending.signal);
  }

  async #carryOut(request: SimpleRequest, exchange: ExchangeBytes, view: DataView): Promise<Outcome> {
    const { name, shmid, flags, offset, size } = request;
    switch (name) {
      case "CMD_CREATE_SEGMENT":
        return only(await this.#create(shmid, flags, view.getBigUint64(SIMPLE_REQUEST_SIZE, true)));
      case "CMD_ATTACH_SEGMENT":
        await this.#attach(shmid, flags);
        return only(0);
      case "CMD_DETACH_SEGMENT":
        await this.#detach(shmid);
        return only(0);
      case "CMD_READ_DATA":
        await this.#attachment(shmid).read(offset, exchange.subarray(SIMPLE_REPLY_SIZE, SIMPLE_REPLY_SIZE + size));
        return { result: size, data: NOTHING, dataSize: size };
      case "CMD_WRITE_DATA":
        await this.#writable(shmid).write(offset, exchange.subarray(SIMPLE_REQUEST_SIZE, SIMPLE_REQUEST_SIZE + size));
        return only(size);
      case "CMD_GET_STATUS":
        return given(encodeStatus(await this.#stat(shmid)));
      case "CMD_REMOVE_SEGMENT":
        return await this.#shmctl(shmid, IPC_RMID, view);
      case "CMD_SHMCTL":
        return await this.#shmctl(shmid, flags, view);
      case undefined:
        throw new InvariantError("a request without a command was refused before it came here");
    }
  }

  async #open(): Promise<SegmentCaller> {
    return this.#calls ??= await this.#source.open(this.#caller, this.#uid, this.#ending.signal);
  }

  async #create(key: number, flags: number, size: bigint): Promise<number> {
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw refusal("shmget", "EINVAL", `make a segment of ${size} bytes`, "there is no space as large as that");
    }
    return await (await this.#open()).shmget(key, Number(size), flags);
  }

  async #attach(id: number, flags: number): Promise<void> {
    if (this.#attachedCount >= ATTACHED_COUNT_MAX) {
      throw refusal("shmat", "EMFILE", `attach segment ${id}`, `${ATTACHED_COUNT_MAX} are attached; detach some first`);
    }
    const attached = await (await this.#open()).shmat(id, flags);
    this.#attachedCount++;
    const before = this.#attached.get(id);
    if (before) before.push(attached);
    else this.#attached.set(id, [attached]);
  }

  async #detach(id: number): Promise<void> {
    const attached = this.#attachment(id);
    const all = this.#attached.get(id) ?? [];
    all.splice(all.lastIndexOf(attached), 1);
    if (all.length === 0) this.#attached.delete(id);
    this.#attachedCount--;
    await attached.detach();
  }

  /** The latest attachment of segment `id`. @throws SystemError EINVAL: there is none. */
  #attachment(id: number): AttachedSegment {
    const attached = this.#attached.get(id)?.at(-1);
    if (attached) return attached;
    throw refusal("shmat", "EINVAL", `use segment ${id}`, "it is not attached over this connection; attach it first");
  }

  #writable(id: number): AttachedSegment {
    return this.#attached.get(id)?.findLast(({ isWritable }) => isWritable) ?? this.#attachment(id);
  }

  async #stat(id: number): Promise<SegmentStatus> {
    const { status } = await (await this.#open()).shmctl(id, IPC_STAT);
    if (status) return status;
    throw new InvariantError("IPC_STAT gives a status");
  }

  async #shmctl(id: number, command: number, view: DataView): Promise<Outcome> {
    switch (command) {
      case IPC_STAT:
        return given(encodeShmidDs(await this.#stat(id)));
      case IPC_SET: {
        const { buffer } = view;
        const ownership = decodeOwnership(new DataView(buffer, SIMPLE_REQUEST_SIZE));
        await (await this.#open()).shmctl(id, IPC_SET, ownership);
        return only(0);
      }
      case IPC_RMID:
        await (await this.#open()).shmctl(id, IPC_RMID);
        return only(0);
      default:
        throw refusal("shmctl", "EINVAL", `do command ${command} on segment ${id}`, "0, 1 and 2 are known here");
    }
  }

  /** The connection is over: what is under way ends, and what it attached is detached. */
  async end(): Promise<void> {
    this.#ending.abort();
    await this.#underWay;
    await this.#calls?.end();
  }
}

function only(result: number): Outcome {
  return { result, data: NOTHING, dataSize: 0 };
}

function given(data: Uint8Array): Outcome {
  return { result: 0, data, dataSize: data.length };
}

/** Linux's number for what went wrong. @throws what is no error of a call. */
function errnoOf(error: unknown, ending: AbortSignal): number {
  if (ending.aborted && error === ending.reason) return ERRNO.EINTR;
  if (!(error instanceof DsmError) || error instanceof InvariantError) throw error;
  if (error instanceof SystemError) return error.errno ?? ERRNO.EIO;
  if (error instanceof PeerLostError) return ERRNO.EHOSTDOWN;
  return error instanceof TimeoutError ? ERRNO.ETIMEDOUT : ERRNO.EIO;
}
