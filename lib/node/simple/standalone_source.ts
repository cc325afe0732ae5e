/**
 * A table of segments of a server's own, over its own region: the plain shared memory server of the second ancestor.
 *
 *   - It is the table of a cluster (SegmentKeeper) over a space of one server, whose ranges are zeroed here, under their
 *     guards. What was stored before it was answered is there when a killed server is started again on its keys.
 *   - A segment's id is its key where that is free and positive, as the ancestor had it.
 *   - Attachments belong to connections, and none outlives the server. A region that goes in order takes its table along.
 */
import { Space } from "../../config/space.ts";
import type { Attached, NewOwnership } from "../../ipc/segments/calls.ts";
import { DEFAULT_LIMITS } from "../../ipc/segments/limits.ts";
import type { Principal } from "../../ipc/common/permissions.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import { isQuestion, shmctl } from "../../ipc/segments/shmctl.ts";
import type { ShmctlResult } from "../../ipc/segments/shmctl.ts";
import type { LogSink } from "../common/log_sink.ts";
import { groupsOf } from "../common/user_groups.ts";
import type { SimpleHome } from "../memory/simple_calls.ts";
import { SegmentKeeper } from "../config/segment_keeper.ts";
import { SegmentState } from "../config/segment_state.ts";
import { RegionBytes } from "./region_bytes.ts";
import type { AttachedSegment, SegmentCaller, SegmentSource } from "./segment_source.ts";

/** How a standalone server keeps its table. */
export interface StandaloneOptions {
  /** The file for the table; IN_MEMORY: it ends with the process. */
  readonly state: string;
  /** How long each operation keeps its guards, in ms. */
  readonly holdMs: number;
}

/** See the head of this file. */
export class StandaloneSource implements SegmentSource {
  /** See {@linkcode SegmentSource}. */
  readonly isStandalone = true;
  readonly #keeper: SegmentKeeper;
  readonly #bytes: RegionBytes;
  readonly #size: number;

  /** Reads the table. @throws SystemError EBUSY: another server has the file; EIO; CheckpointError: it is no table. */
  constructor({ region, waiter, host, port }: SimpleHome, { state, holdMs }: StandaloneOptions, log: LogSink) {
    const { size, blockSize } = region.layout;
    this.#size = size;
    this.#bytes = new RegionBytes(region, waiter, holdMs);
    const rows = SegmentState.open(state);
    try {
      // nothing of an earlier life is on its way: no lapse
      const options = { lowWaterMark: 0, limits: DEFAULT_LIMITS, lapseMs: 0, isKeyId: true };
      this.#keeper = new SegmentKeeper(rows, (_space, range) => this.#bytes.zero(range), options, log);
    } catch (error) {
      rows.close();
      throw error;
    }
    this.#keeper.layOut(new Space(1, [{ host, port, size, blockSize, isAlive: true, reason: "" }]), [region.cookie]);
    this.#keeper.begin();
  }

  /** See {@linkcode SegmentSource}. */
  open(caller: number, uid: number, signal: AbortSignal): Promise<SegmentCaller> {
    const who = { uid, ...groupsOf(uid), pid: 0 };
    return Promise.resolve(new StandaloneCaller(this.#keeper, this.#bytes, who, `simple ${caller}`, signal));
  }

  /** See {@linkcode SegmentSource}: outside of a cluster there are no cuts. */
  released(): Promise<void> {
    return Promise.resolve();
  }

  /** See {@linkcode SegmentSource}: it never is, its server refuses. */
  adopted(): void {}

  /** See {@linkcode SegmentSource}. */
  interrupt(): void {
    this.#bytes.interrupt();
  }

  /** See {@linkcode SegmentSource}. */
  async close(isKept: boolean): Promise<void> {
    if (!isKept) {
      this.#keeper.table.drop({ base: 0, size: this.#size });
      this.#keeper.store();
    }
    this.#keeper.end();
    await this.#keeper.close();
  }
}

class StandaloneCaller implements SegmentCaller {
  constructor(
    private readonly keeper: SegmentKeeper,
    private readonly bytes: RegionBytes,
    private readonly who: Principal,
    private readonly session: string,
    private readonly signal: AbortSignal,
  ) {}

  async shmget(key: number, size: number, flags: number): Promise<number> {
    return await this.keeper.shmget(this.who, key, size, flags);
  }

  shmat(id: number, flags: number): Promise<AttachedSegment> {
    return this.#stored(() => {
      const attached = this.keeper.table.shmat(this.who, this.session, id, flags, seconds());
      return new StandaloneAttachment(id, attached, this.bytes, this.signal, () => this.#shmdt(attached.attachment));
    });
  }

  #shmdt(attachment: number): Promise<void> {
    return this.#stored(() => this.keeper.table.shmdt(this.who, this.session, attachment, seconds()));
  }

  async shmctl(id: number, command: number, ownership?: NewOwnership): Promise<ShmctlResult> {
    const call = (): ShmctlResult => {
      return shmctl(this.keeper.table, this.who, { id, command, ...ownership && { ownership } }, seconds());
    };
    return isQuestion(command) ? call() : await this.#stored(call);
  }

  // deno-lint-ignore require-await -- so that what is thrown is a rejection
  async #stored<T>(call: () => T): Promise<T> {
    const result = call();
    this.keeper.store();
    return result;
  }

  end(): Promise<void> {
    this.keeper.endSession(this.session);
    return Promise.resolve();
  }
}

class StandaloneAttachment implements AttachedSegment {
  readonly isWritable: boolean;

  constructor(
    private readonly id: number,
    private readonly attached: Attached,
    private readonly bytes: RegionBytes,
    private readonly signal: AbortSignal,
    readonly detach: () => Promise<void>,
  ) {
    this.isWritable = attached.isWritable;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.bytes.read(this.#place("read", offset, into.length), into, this.signal);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (!this.isWritable) {
      throw refusal("write", "EACCES", `write in segment ${this.id}`, "it was attached with SHM_RDONLY");
    }
    await this.bytes.write(this.#place("write", offset, bytes.length), bytes, this.signal);
  }

  #place(call: string, offset: number, size: number): number {
    if (offset + size <= this.attached.size) return this.attached.base + offset;
    const what = `${call} ${size} bytes at ${offset} of segment ${this.id}`;
    throw refusal(call, "EINVAL", what, `it has ${this.attached.size}`);
  }
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}
