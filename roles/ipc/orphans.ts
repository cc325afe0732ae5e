/** `dsm ipcrm --orphans`: what a cluster that crashed has left in this host's kernel. */
import { SystemError } from "../../lib/base/errors.ts";
import { formatSize } from "../../lib/base/units.ts";
import { say } from "../../lib/cli/output.ts";
import { printRows } from "../../lib/cli/table.ts";
import { keyText } from "../../lib/ipc/common/refusal.ts";
import { findOrphans, removeOrphan } from "../../lib/memory/abandoned.ts";
import type { Orphan } from "../../lib/memory/abandoned.ts";

/** Which orphans, and what becomes of them. */
export interface OrphansRequest {
  /** Only these ids and the keys below; all orphans where neither is given. */
  readonly ids: readonly number[];
  /** Only these keys. */
  readonly keys: readonly number[];
  /** Whether they are removed. */
  readonly remove: boolean;
  /** For programs. */
  readonly json: boolean;
}

/** An orphan, and whether it is gone. */
interface Row extends Orphan {
  readonly removed: boolean;
}

/** Shows orphans, and removes them if asked. @returns the exit status: 1 when one that was to go is still there. */
export function orphans({ ids, keys, remove, json }: OrphansRequest): number {
  const isAny = ids.length + keys.length === 0;
  const found = findOrphans(({ id, key }) => isAny || ids.includes(id) || keys.includes(key));
  const rows: Row[] = found.map((orphan) => ({ ...orphan, removed: remove && isRemoved(orphan) }));
  if (rows.length > 0 || json) show(rows, json);
  const staying = rows.filter(({ removed }) => !removed).length;
  if (rows.length === 0) say("no orphans: no region of dsm is without a server here");
  else if (!remove) {
    say(`${rows.length} without a server; a server started with its keys takes one over, --yes removes`);
  } else if (staying > 0) say(`${staying} not removed: attached, in use again, or another user's`);
  return remove && staying > 0 ? 1 : 0;
}

function isRemoved(orphan: Orphan): boolean {
  try {
    return removeOrphan(orphan);
  } catch (error) {
    if (error instanceof SystemError && (error.code === "EPERM" || error.code === "EACCES")) return false;
    throw error;
  }
}

function show(rows: readonly Row[], json: boolean): void {
  printRows(rows.map((row) => ({ ...row })), [
    { key: "key", show: ({ key }) => keyText(key) },
    { key: "id" },
    { key: "size", show: ({ size }) => formatSize(size) },
    { key: "serverPid" },
    { key: "nattch" },
    { key: "removed", show: ({ removed }) => removed ? "yes" : "no" },
  ], { json });
}
