/** What can be asked about the servers of a cluster, as the library says it. */
import type { Way } from "./server_link.ts";

/** What a memory server tells of its region, and of what has passed through it since it started. */
export interface RegionInfo {
  /** Bytes of user data. */
  readonly size: number;
  /** Bytes per block. */
  readonly blockSize: number;
  /** Semaphores in the guard set; block i is guarded by number i modulo this. */
  readonly guardCount: number;
  /** How often a server has started on these bytes. */
  readonly startCount: number;
  /** The server's process. */
  readonly pid: number;
  /** Which transport serves. */
  readonly transport: string;
  /** Whether this program may attach it, if it is on the server's host. */
  readonly attachable: boolean;
  /** Why it may not; "" when it may. */
  readonly reason: string;
  /** The segment's id on its host. */
  readonly shmid: number;
  /** The guard set's id on its host. */
  readonly semid: number;
  /** What tells this memory from any other: 32 hexadecimal digits. */
  readonly cookie: string;
  /** Blocks found half written since the region was made. */
  readonly suspectCount: number;
  /** Connections now. */
  readonly connectionCount: number;
  /** Requests on the region served over TCP. */
  readonly operationCount: number;
  /** Bytes they touched. */
  readonly byteCount: number;
  /** Requests that had to wait for a guard. */
  readonly waitCount: number;
  /** How long the server has run, in ms. */
  readonly uptimeMs: number;
}

/** The blocks of one server that are not simply free. */
export interface BlockStates {
  /** Blocks of the region. */
  readonly blockCount: number;
  /** Rows `[guard, value, lastPid, waiterCount]`. */
  readonly guards: readonly (readonly (number | string | boolean)[])[];
  /** Rows `[block]`. */
  readonly suspects: readonly (readonly (number | string | boolean)[])[];
}

/** One server of a cluster. */
export interface ServerInfo {
  /** `host:port`. */
  readonly name: string;
  /** Address of its first byte. */
  readonly base: number;
  /** Bytes of its region; 0 while unknown. */
  readonly size: number;
  /** Bytes per block; 0 while unknown. */
  readonly blockSize: number;
  /** Whether the config server reaches it. */
  readonly isAlive: boolean;
  /** How this program reaches it; undefined when it does not. */
  readonly way: Way | undefined;
  /** Why it goes by TCP, or why it is not reached. */
  readonly reason: string;
  /** What the server tells of itself; undefined when it does not answer. */
  readonly region: RegionInfo | undefined;
}
