/**
 * What every role that stays running owes the people and scripts that start it: a line that says it is ready, and an
 * orderly end.
 */
import { type Endpoint, formatEndpoint } from "../base/units.ts";
import { print } from "./output.ts";

/** What a readiness line says beside where the role listens. */
export type ReadinessFields = Readonly<Record<string, string | number>>;

/** Prints `ready ROLE HOST:PORT name=value …` to stdout; a value with blanks is quoted as in JSON. */
export function readiness(role: string, endpoint: Endpoint, fields: ReadinessFields = {}): void {
  print(readinessLine(role, endpoint, fields));
}

/** The line that {@linkcode readiness} prints. */
export function readinessLine(role: string, endpoint: Endpoint, fields: ReadinessFields = {}): string {
  const pairs = Object.entries(fields).map(([name, value]) => {
    const text = String(value);
    return `${name}=${text === "" || /[\s"]/.test(text) ? JSON.stringify(text) : text}`;
  });
  return ["ready", role, formatEndpoint(endpoint), ...pairs].join(" ");
}

/** What may end the wait of {@linkcode untilStopped}. */
export interface StopOptions {
  /** Ends it from within the program; its reason becomes the reason. */
  readonly signal?: AbortSignal;
}

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

/**
 * Resolves, with the reason for people, when SIGTERM or SIGINT arrives, a line comes on standard input, or `signal` is
 * aborted. The end of standard input stops nothing.
 *
 * Afterwards a second signal has its usual effect again, so that a stop that hangs can be ended.
 */
export async function untilStopped({ signal }: StopOptions = {}): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const listeners = STOP_SIGNALS.map((name) => [name, () => resolve(name)] as const);
  const onAbort = () => resolve(reasonOf(signal));
  for (const [name, listener] of listeners) Deno.addSignalListener(name, listener);
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  const input = ownsStandardInput() ? Deno.stdin.readable.getReader() : undefined;
  if (input !== undefined) whenLineArrives(input, () => resolve("a line on standard input"));
  try {
    return await promise;
  } finally {
    for (const [name, listener] of listeners) Deno.removeSignalListener(name, listener);
    signal?.removeEventListener("abort", onAbort);
    await input?.cancel();
  }
}

function reasonOf(signal: AbortSignal | undefined): string {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason.message : String(reason);
}

const NEWLINE = "\n".charCodeAt(0);

/** Calls `stop` when a line has arrived; one that the end of the input cuts short counts, an empty end does not. */
async function whenLineArrives(input: ReadableStreamDefaultReader<Uint8Array>, stop: () => void): Promise<void> {
  let sawText = false;
  try {
    for (;;) {
      const { done, value } = await input.read();
      if (done) break;
      if (value.includes(NEWLINE)) return stop();
      sawText ||= value.length > 0;
    }
  } catch {
    return; // standard input that cannot be read has no line to give
  }
  if (sawText) stop();
}

/**
 * Whether reading standard input is ours to do. A program in the background that reads its terminal is stopped by the
 * kernel (SIGTTIN), so `dsm server &` must leave it alone.
 */
function ownsStandardInput(): boolean {
  if (!Deno.stdin.isTerminal()) return true;
  try {
    const stat = Deno.readTextFileSync("/proc/self/stat");
    // after the name in brackets: state, parent, process group, session, terminal, its foreground process group
    const [, , processGroup, , , foregroundGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return processGroup === foregroundGroup;
  } catch {
    return true; // no /proc: not Linux
  }
}
