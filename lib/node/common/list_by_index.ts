/** All System V objects of a kind, which are found by asking for each index there may be. */
import { SystemError } from "../../base/errors.ts";

/** Questions under way at once. */
const LIST_COUNT_MAX = 256;

/**
 * What `statusAt` tells of each index up to `last`.
 *
 * @param statusAt SHM_STAT_ANY or its like; EINVAL where there is nothing.
 */
export async function listByIndex<Status>(
  last: number,
  statusAt: (index: number) => Promise<Status | undefined>,
): Promise<Status[]> {
  const all: Status[] = [];
  for (let first = 0; first <= last; first += LIST_COUNT_MAX) {
    const count = Math.min(LIST_COUNT_MAX, last + 1 - first);
    const found = await Promise.all(Array.from({ length: count }, (_, i) => unlessNone(statusAt(first + i))));
    all.push(...found.flatMap((status) => status ?? []));
  }
  return all;
}

async function unlessNone<Status>(asked: Promise<Status | undefined>): Promise<Status | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof SystemError && error.code === "EINVAL") return undefined;
    throw error;
  }
}
