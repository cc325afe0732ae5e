/**
 * Ports for a server and its logger, which is always on the next one: a pair that nobody has.
 *
 * The kernel gives one free port, never two in a row, and gives the same ones to everybody's outgoing connections; so the
 * pair is chosen at random below the kernel's own range, and proven by binding both.
 */
import { SystemError } from "../base/errors.ts";

const PORT_MIN = 10_000;
/** Where the kernel's own choice begins when it does not say. */
const EPHEMERAL_MIN = 32_768;
const PORT_END = 65_536;
/** Below this many ports of our own it is better to choose among all. */
const ROOM_MIN = 2_000;
const TRIES_MAX = 100;

/** The first of two ports in a row that are free on `host`. @throws SystemError EADDRINUSE when none is found. */
export function freePortPair(host: string): number {
  const end = ephemeralMin() - PORT_MIN < ROOM_MIN ? PORT_END : ephemeralMin();
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = PORT_MIN + 2 * Math.floor(Math.random() * (end - PORT_MIN) / 2);
    if (isPairFree(host, port)) return port;
  }
  throw new SystemError("bind", "EADDRINUSE", `no two free ports in a row from ${PORT_MIN} to ${end} on ${host}`);
}

/** Whether `port` and the one after it can be bound on `host`. */
export function isPairFree(host: string, port: number): boolean {
  try {
    using _first = Deno.listen({ hostname: host, port });
    using _second = Deno.listen({ hostname: host, port: port + 1 });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}

function ephemeralMin(): number {
  try {
    const [first] = Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range").split("\t");
    return Number(first);
  } catch {
    return EPHEMERAL_MIN; // no /proc
  }
}
