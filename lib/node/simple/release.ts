/**
 * Connections of the simple dialect carry no epoch, so they must not carry what was learnt after a cut to a server before
 * its own: a reply leaves only when every server has made the latest cut that this process knows of, or after
 * RELEASE_MS_MAX, and then that checkpoint is void. (The classic dialect waits in lib/node/memory/waiting_room.ts, under
 * its guards; here the bytes may come from other servers too, and what counts is what their replies carried.)
 */
import { Deadline, pause } from "../../base/clock.ts";
import type { Region } from "../../memory/region.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { LogSink } from "../common/log_sink.ts";
import { RELEASE_MS_MAX, RELEASE_RETRY_MS, voidUnreleased } from "../memory/waiting_room.ts";

/**
 * Resolves when a reply may leave, and when `signal` is aborted.
 *
 * @param region of the server that sends it. @param known what this process knows of its cluster.
 */
export async function whenReleased(
  region: Region,
  known: Readonly<EpochWord>,
  log: LogSink,
  signal: AbortSignal,
): Promise<void> {
  const deadline = new Deadline(RELEASE_MS_MAX);
  while (!signal.aborted && mustWait(region, known)) {
    if (deadline.passed) return voidUnreleased(region, log);
    await pause(RELEASE_RETRY_MS, signal);
  }
}

/** Whether a cut that is known here, or made here, has not been made everywhere. One that is next is made here by this. */
function mustWait(region: Region, { incarnation, epoch }: Readonly<EpochWord>): boolean {
  return region.meet(incarnation, epoch) === "ahead" || region.isCutUnreleased;
}
