/** Which of a cluster's loggers is the global one. */
import { DsmError, InvariantError, SystemError } from "../../base/errors.ts";
import type { LoggerLink } from "./logger_link.ts";
import type { Loggers } from "./loggers.ts";

/** How long a logger may take to say what it is. */
const INFO_MS_MAX = 1_500;

/**
 * Asks every logger of the cluster.
 *
 * @throws SystemError ENOENT when none that answers is the master; what the config server's silence throws.
 */
export async function findMaster(loggers: Loggers, signal: AbortSignal): Promise<LoggerLink> {
  const places = await loggers.places(signal);
  const found = await Promise.all(places.map(async ({ logger }) => {
    try {
      return (await logger.info(signal, INFO_MS_MAX)).isMaster ? logger : undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DsmError) || error instanceof InvariantError) throw error;
      return undefined;
    }
  }));
  const master = found.find((logger) => logger !== undefined);
  if (master) return master;
  throw new SystemError(
    "checkpoint",
    "ENOENT",
    `none of the ${places.length} servers has the global logger beside it, or it does not answer; start one there: ` +
      `dsm logger 1 PORT SHMKEY SEMKEY (PORT is its server's plus 1)`,
  );
}
