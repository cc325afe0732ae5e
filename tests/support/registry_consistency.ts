/**
 * A registry and its clients at work as processes while both are killed, and the history of it all: so that what the
 * simulation shows of the service holds for the whole, with the client that ships, real sockets and a real file.
 *
 * A client's session is known by its name here: it has one as long as it lives, because a registry that is started again at
 * once takes up all that have anything to lose.
 */
import { fail } from "@std/assert";
import { Random } from "../../lib/base/random.ts";
import { IPC_CREAT, IPC_NOWAIT } from "../../lib/ipc/common/flags.ts";
import type { NameEvent } from "../../lib/registry/names.ts";
import type { LoadLine } from "../process/programs/registry_load.ts";
import { Program, ROOT } from "./processes.ts";
import { TestRegistry } from "./registry.ts";
import { RegistryHistory } from "./registry_models.ts";
import type { NameCall, Wanted } from "./registry_models.ts";
import { until } from "./until.ts";

const CLIENTS = 3;
const CALLS = 14;
const QUEUE_KEY = 7;
/** How often something is killed in a run, and how long the load goes on before each, in ms. */
const KILLS = 4;
const KILL_AFTER_MS_MAX = 150;
/** How long the load may go on after the last kill; who waits for a message then is killed too. */
const WIND_DOWN_MS = 300;

interface Client {
  readonly name: string;
  readonly program: Program;
}

/** See the head of this file. @returns the history; what is killed when is the seed's, what is under way then is not. */
export async function registryRun(seed: number): Promise<RegistryHistory> {
  const random = new Random(seed);
  const history = new RegistryHistory();
  await using registry = await TestRegistry.start(["--transport", random.pick(["epoll", "deno"])]);
  const clients: Client[] = [];
  let started = 0;
  const start = (): void => {
    const name = `c${++started}`;
    const args = [registry.address, `${random.word()}`, `${CALLS}`, name];
    const program = new Program(
      [Deno.execPath(), "run", "-A", "--no-check", `${ROOT}tests/process/programs/registry_load.ts`, ...args],
    );
    clients.push({ name, program });
  };
  const watcher = registry.client();
  const events: NameEvent[] = [];
  const over = new AbortController();
  const watching = (async () => {
    for await (const event of watcher.watch({ since: 0, signal: over.signal })) events.push(event);
  })().catch((error) => over.signal.aborted || Promise.reject(error));
  try {
    for (let i = 0; i < CLIENTS; i++) start();
    await until("the clients to begin", () => clients.every(({ program }) => program.stdout !== ""), 20_000);
    for (let kill = 0; kill < KILLS; kill++) {
      await new Promise((resolve) => setTimeout(resolve, random.below(KILL_AFTER_MS_MAX)));
      if (random.isOneIn(2)) {
        await registry.program.kill();
        await registry.restart();
      } else {
        await random.pick(clients).program.kill();
        start();
      }
    }
    const done = (): boolean => clients.every(({ program }) => program.hasExited);
    await until("the clients to end", done, WIND_DOWN_MS).catch(() => {}); // one may wait for a message for ever
    await Promise.all(clients.map(({ program }) => program.hasExited ? undefined : program.kill()));
    await drain(registry, history, clients);
    const { revision } = await watcher.info();
    await until("the watch to have come so far", () => events.length >= revision);
    history.watched.push(events);
    return history;
  } finally {
    over.abort();
    await watching;
    await Promise.all(clients.map(({ program }) => program[Symbol.asyncDispose]()));
  }
}

/** Notes what the clients said; once all their sessions have ended, takes out what is left and looks at all names. */
async function drain(registry: TestRegistry, history: RegistryHistory, clients: readonly Client[]): Promise<void> {
  const client = registry.client();
  await until("the sessions to end", async () => {
    const { sessionCount, absentCount } = await client.info();
    return sessionCount === 2 && absentCount === 0; // this one, and the watch
  }, 20_000);
  let last = 0;
  for (const { name, program } of clients) {
    if (program.hasExited && program.stderr.includes("rror")) fail(`client ${name}: ${program.stderr}`);
    last = Math.max(last, note(history, name, linesOf(program.stdout)));
  }
  let time = last + 1;
  for (const { name, program } of clients) history.addEnd(name, linesOf(program.stdout).at(-1)?.at ?? 0, time);
  const queue = await client.queues.calls.msgget(QUEUE_KEY, IPC_CREAT | 0o600);
  const wanted = { type: 0, isOther: false };
  for (let message: string | null = ""; message !== null;) {
    const received = client.queues.calls.msgrcv(queue, 100, 0, { flags: IPC_NOWAIT, acknowledge: "later" });
    message = await received.then(({ text }) => text, () => null);
    const call = { kind: "receive", wanted, session: "drain", message } as const;
    history.addQueue("queue", { call, start: ++time, end: ++time });
  }
  for (const name of history.names.keys()) {
    const value = (await client.query(name))?.value;
    history.addName(name, { call: { kind: "query", value }, start: ++time, end: ++time });
  }
}

/** All whole lines: a client that was killed may have left half of one. */
function linesOf(text: string): LoadLine[] {
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

/** Notes what one client did. @returns the time of its last line. */
function note(history: RegistryHistory, session: string, lines: readonly LoadLine[]): number {
  for (const { id, at: start, call } of lines) {
    if (!call) continue;
    const answer = lines.find((line) => line.id === id && line.result);
    const result = answer?.result ?? { unknown: true };
    const isUnknown = result["unknown"] === true;
    if (result["unknown"] === false) continue; // certainly not carried out
    const times = { start, end: isUnknown ? Infinity : answer?.at ?? Infinity };
    switch (call["kind"]) {
      case "send":
        history.addQueue("queue", {
          call: { kind: "send", message: String(call["message"]), type: Number(call["type"]) },
          ...times,
        });
        break;
      case "receive": {
        const wanted = call["wanted"] as Wanted;
        const message = isUnknown ? {} : { message: result["code"] === "ENOMSG" ? null : String(result["message"]) };
        history.addQueue("queue", { call: { kind: "receive", wanted, session, ...message }, ...times });
        break;
      }
      case "acknowledge":
        history.addQueue("queue", {
          call: { kind: "acknowledge", message: String(call["message"]), session },
          ...times,
        });
        break;
      case "query":
        if (isUnknown) break;
        history.addName(String(call["name"]), {
          call: { kind: "query", value: result["value"] === null ? undefined : String(result["value"]) },
          ...times,
        });
        break;
      default: {
        const { name, kind, ...rest } = call;
        const { code, revision } = result;
        const known = isUnknown ? {} : { result: code ?? "done", ...(revision === undefined ? {} : { revision }) };
        history.addName(String(name), { call: { kind, session, ...rest, ...known } as unknown as NameCall, ...times });
      }
    }
  }
  return lines.at(-1)?.at ?? 0;
}
