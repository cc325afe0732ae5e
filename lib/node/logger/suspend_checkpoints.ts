/** Keeping the global logger quiet while the space is overwritten: a picture of half a restore is of no use to anybody. */
import { SystemError } from "../../base/errors.ts";
import type { Endpoint } from "../../base/units.ts";
import type { Credentials } from "../../net/credentials.ts";
import { findMaster } from "./find_master.ts";
import { Loggers } from "./loggers.ts";

/**
 * Has the global logger of the cluster of `config` take no checkpoint until what is returned is disposed of, or this process
 * ends. Where there is none that answers, there is nothing to be done.
 *
 * @throws PeerLostError or TimeoutError when the config server does not answer, SystemError when the logger refuses.
 */
export async function suspendCheckpoints(config: Endpoint, credentials: Credentials): Promise<AsyncDisposable> {
  const loggers = new Loggers(config, { incarnation: 0, epoch: 0 }, credentials);
  const { signal } = new AbortController();
  try {
    await (await findMaster(loggers, signal)).suspend(signal);
  } catch (error) {
    if (!(error instanceof SystemError && error.code === "ENOENT")) {
      await loggers[Symbol.asyncDispose]();
      throw error;
    }
  }
  return loggers;
}
