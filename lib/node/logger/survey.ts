/**
 * Whether a checkpoint can be taken now: every server alive, every logger there and attached, all in one life of the
 * cluster. What is in the way is said by name.
 */
import { nowMs, pause } from "../../base/clock.ts";
import { DsmError, InvariantError, SystemError } from "../../base/errors.ts";
import { placeName } from "../../config/space.ts";
import type { LoggerLink, LoggerState } from "./logger_link.ts";
import type { LoggedPlace, Loggers } from "./loggers.ts";

/** How long is waited for what is only just starting. */
const PATIENCE_MS_MAX = 3_000;
const LOOK_MS = 50;

/** One server that is ready for a checkpoint. */
export interface SurveyedServer extends LoggedPlace {
  /** What its logger told. */
  readonly state: LoggerState;
}

/**
 * Asks everybody, again and again for PATIENCE_MS_MAX while something is in the way.
 *
 * @returns the servers in the order of the space, at least one.
 * @throws DsmError naming who or what is still in the way; the signal's reason.
 */
export async function survey(loggers: Loggers, signal: AbortSignal): Promise<SurveyedServer[]> {
  const endMs = nowMs() + PATIENCE_MS_MAX;
  for (;;) {
    try {
      return await look(loggers, Math.max(LOOK_MS, endMs - nowMs()), signal);
    } catch (error) {
      if (!(error instanceof DsmError) || error instanceof InvariantError || nowMs() >= endMs) throw error;
      await pause(LOOK_MS, signal);
      signal.throwIfAborted();
    }
  }
}

async function look(loggers: Loggers, timeoutMs: number, signal: AbortSignal): Promise<SurveyedServer[]> {
  const places = await loggers.places(signal);
  if (places.length === 0) throw refusal("ENXIO", "the config server names no server");
  const servers = await Promise.all(places.map(async (each): Promise<SurveyedServer> => {
    requireAlive(each);
    const state = await each.logger.info(signal, timeoutMs);
    requireReady(each, state);
    return { ...each, state };
  }));
  requireOneLife(servers);
  return servers;
}

function refusal(code: string, message: string): SystemError {
  return new SystemError("checkpoint", code, message);
}

function requireAlive({ place }: LoggedPlace): void {
  if (place.isAlive) return;
  throw refusal("EHOSTUNREACH", `server ${placeName(place)} does not answer: ${place.reason}; start it again`);
}

function requireReady(
  { place, logger }: { place: LoggedPlace["place"]; logger: LoggerLink },
  state: LoggerState,
): void {
  if (state.reason !== "") {
    throw refusal("ENXIO", `the logger at ${logger.name} can take no picture: ${state.reason}`);
  }
  if (state.size !== place.size) {
    throw refusal(
      "ESTALE",
      `the logger at ${logger.name} has ${state.size} bytes, its server ${place.size}; see that it is the logger of that ` +
        `server`,
    );
  }
}

function requireOneLife(servers: readonly SurveyedServer[]): void {
  const [first] = servers;
  for (const { state, logger } of servers) {
    if (state.incarnation === 0) {
      throw refusal(
        "EAGAIN",
        `server ${logger.server} has not joined the cluster yet; its config server will see to it`,
      );
    }
    if (state.incarnation !== first?.state.incarnation) {
      throw refusal(
        "ESTALE",
        `servers ${first?.logger.server} and ${logger.server} belong to different lives of the cluster; its config server ` +
          `will see to it`,
      );
    }
  }
}
