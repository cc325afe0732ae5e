/** Segments for who does not think in System V's flags: made, opened and listed by name of what is wanted. */
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE } from "../../ipc/common/flags.ts";
import { SHM_INFO, SHM_RDONLY, SHM_STAT_ANY } from "../../ipc/segments/flags.ts";
import type { SegmentStatus } from "../../ipc/segments/segment.ts";
import type { RequestOptions } from "../../net/request.ts";
import { listByIndex } from "../common/list_by_index.ts";
import type { SegmentAttachment } from "./segment_attachment.ts";
import type { SegmentCalls } from "./segment_calls.ts";

/** A new segment. */
export interface NewSegment {
  /** Bytes. */
  readonly size: number;
  /** What others find it by. Default: nothing, it is found by its id only. */
  readonly key?: number;
  /** Who may do what, as for files. Default: 0o600, its owner only. */
  readonly mode?: number;
}

/** How a segment is to be opened. */
export interface OpenOptions extends RequestOptions {
  /** Whether it is only to be read. Default: false. */
  readonly isReadOnly?: boolean;
}

const MODE = 0o600;

/** See the head of this file; `Cluster.segments`. */
export class Segments {
  readonly #calls: SegmentCalls;
  readonly #withDefaults: (options?: RequestOptions) => RequestOptions;

  /** Use `Cluster.segments`. */
  constructor(calls: SegmentCalls, withDefaults: (options?: RequestOptions) => RequestOptions) {
    this.#calls = calls;
    this.#withDefaults = withDefaults;
  }

  /** Makes a segment, zeroed, and attaches it. @throws SystemError EEXIST: the key is taken; as `Cluster.shmget`. */
  async create(
    { size, key = IPC_PRIVATE, mode = MODE }: NewSegment,
    options?: RequestOptions,
  ): Promise<SegmentAttachment> {
    const asked = this.#withDefaults(options);
    const id = await this.#calls.shmget(key, size, IPC_CREAT | IPC_EXCL | mode, asked);
    return await this.#calls.shmat(id, 0, asked);
  }

  /** Attaches the segment under `key`. @throws SystemError ENOENT: there is none; as `Cluster.shmat`. */
  async open(key: number, { isReadOnly = false, ...options }: OpenOptions = {}): Promise<SegmentAttachment> {
    const asked = this.#withDefaults(options);
    const id = await this.#calls.shmget(key, 0, 0, asked);
    return await this.#calls.shmat(id, isReadOnly ? SHM_RDONLY : 0, asked);
  }

  /** All segments, by their indexes, as everybody may see them. @throws TimeoutError, PeerLostError. */
  async list(options?: RequestOptions): Promise<SegmentStatus[]> {
    const asked = this.#withDefaults(options);
    const { value: last } = await this.#calls.shmctl(0, SHM_INFO, undefined, asked);
    return await listByIndex(last, async (index) => {
      return (await this.#calls.shmctl(index, SHM_STAT_ANY, undefined, asked)).status;
    });
  }
}
