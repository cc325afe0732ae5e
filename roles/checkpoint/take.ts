/** `dsm checkpoint take`: one more checkpoint, now. */
import { pause } from "../../lib/base/clock.ts";
import { command } from "../../lib/cli/command.ts";
import { print } from "../../lib/cli/output.ts";
import { Progress } from "../../lib/cli/progress.ts";
import { findMaster } from "../../lib/node/logger/find_master.ts";
import { readCredentials } from "../../lib/node/common/credentials.ts";
import type { LoggerLink } from "../../lib/node/logger/logger_link.ts";
import { Loggers } from "../../lib/node/logger/loggers.ts";

/** How long a checkpoint may take, the one before it included. */
const TAKE_MS_MAX = 30 * 60_000;
const LOOK_MS = 100;

/** See the head of this file. */
export const take = command({
  name: "take",
  about: "take a checkpoint now, and print its directory",
  details:
    `The global logger takes it; everything that was written before this command began is in it. Needs a logger for
every server: dsm logger --help.`,
  examples: [
    ["dsm checkpoint take", "prints the directory once the checkpoint is complete"],
    ['cp -r "$(dsm checkpoint take)" /backup', "each is complete by itself"],
  ],
  async run(_args, _options, shared) {
    await using loggers = new Loggers(shared.config, { incarnation: 0, epoch: 0 }, readCredentials(shared));
    const over = new AbortController();
    const master = await findMaster(loggers, over.signal);
    const drawing = showProgress(master, over.signal);
    const taken = await master.take(over.signal, TAKE_MS_MAX).finally(() => {
      over.abort();
      return drawing;
    });
    print(shared.json ? JSON.stringify([taken]) : taken.directory);
    return 0;
  },
});

/** Draws how far it is, until `signal` is aborted. */
async function showProgress(master: LoggerLink, signal: AbortSignal): Promise<void> {
  let bar: Progress | undefined;
  while (!signal.aborted) {
    // when it does not answer, the request for the checkpoint itself says why
    const progress = await master.progress(signal).catch(() => undefined);
    if (progress && progress.totalSize > 0) {
      bar ??= new Progress("checkpoint", progress.totalSize);
      bar.update(progress.doneSize);
    }
    await pause(LOOK_MS, signal);
  }
  bar?.[Symbol.dispose]();
}
