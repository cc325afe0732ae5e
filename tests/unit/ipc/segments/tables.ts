/** Spaces, tables and people for the tests of lib/ipc. */
import { assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../../../lib/base/errors.ts";
import { Space } from "../../../../lib/config/space.ts";
import { DEFAULT_LIMITS } from "../../../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../../../lib/ipc/segments/limits.ts";
import type { Principal } from "../../../../lib/ipc/common/permissions.ts";
import { SegmentTable } from "../../../../lib/ipc/segments/segment_table.ts";

/** What matters of a server here. */
export interface Server {
  readonly size: number;
  readonly blockSize: number;
  readonly isAlive?: boolean;
}

/** The space of those servers. */
export function spaceOf(servers: readonly Server[]): Space {
  return new Space(
    1,
    servers.map(({ size, blockSize, isAlive = true }, index) => ({
      host: "127.0.0.1",
      port: 9000 + index,
      size,
      blockSize,
      isAlive,
      reason: "",
    })),
  );
}

/** An empty table over those servers. */
export function tableOf(servers: readonly Server[], limits: Partial<Limits> = {}): SegmentTable {
  return new SegmentTable(spaceOf(servers), { limits: { ...DEFAULT_LIMITS, ...limits } });
}

/** Somebody, with a process of his own. */
export function principal(uid: number, gid: number, ...groups: number[]): Principal {
  return { uid, gid, groups, pid: 1000 + uid };
}

/** The error of a call, which must be refused with `code`. */
export function refused(code: string, run: () => unknown): SystemError {
  const error = assertThrows(run, SystemError);
  assertEquals(error.code, code);
  return error;
}
