/**
 * What the simple dialect needs of whoever keeps the table of segments: a standalone server's own, or a cluster's.
 *
 * Errors are the library's, SystemError with Linux's names first of all; only the connection makes numbers of them.
 */
import type { Endpoint } from "../../base/units.ts";
import type { NewOwnership } from "../../ipc/segments/calls.ts";
import type { ShmctlResult } from "../../ipc/segments/shmctl.ts";

/** A segment as one connection has it attached. */
export interface AttachedSegment {
  /** Whether its bytes may be written. */
  readonly isWritable: boolean;
  /** Reads as many bytes from `offset` as `into` has. @throws SystemError EINVAL: beyond the segment, or gone. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Writes `bytes` at `offset`. @throws as `read`; SystemError EACCES: attached for reading only. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** `shmdt`. */
  detach(): Promise<void>;
}

/** System V's calls as one connection makes them. */
export interface SegmentCaller {
  /** `shmget`. */
  shmget(key: number, size: number, flags: number): Promise<number>;
  /** `shmat`. */
  shmat(id: number, flags: number): Promise<AttachedSegment>;
  /** `shmctl`. */
  shmctl(id: number, command: number, ownership?: NewOwnership): Promise<ShmctlResult>;
  /** The connection is over: what it has attached is detached. */
  end(): Promise<void>;
}

/** See the head of this file. */
export interface SegmentSource {
  /** See `SimpleCalls`. */
  readonly isStandalone: boolean;
  /**
   * The calls of user `uid` over connection `caller`; `signal` ends what is under way when the connection has ended.
   *
   * @throws SystemError ENOTCONN: nobody keeps a table for this server; PeerLostError: whoever does has gone.
   */
  open(caller: number, uid: number, signal: AbortSignal): Promise<SegmentCaller>;
  /** Resolves when the reply to a call just made may leave; see release.ts. */
  released(signal: AbortSignal): Promise<void>;
  /** See `SimpleCalls`. */
  adopted(config: Endpoint): void;
  /** What is under way for nobody in particular ends now. */
  interrupt(): void;
  /** See `SimpleCalls`. */
  close(isKept: boolean): Promise<void>;
}
