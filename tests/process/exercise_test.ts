/** The registry exercise: real processes, on the kernel's queues and over TCP, with programs in C, and whatever dies. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { IPC_STAT } from "../../lib/ipc/common/flags.ts";
import { KernelQueues } from "../../lib/node/queues/kernel_queues.ts";
import { BODY_SIZE_MAX, decodeAboutServer, encodeAboutServer, MessageType } from "../../roles/exercise/messages.ts";
import { compiled, dsmCommand, Program, runCommand } from "../support/processes.ts";
import { until } from "../support/until.ts";

const QUICK = ["--interval", "20ms"];
const exercise = (...args: string[]): string[] => dsmCommand("registry", "run", ...args);

/** What each process said, line by line, in its order. */
function saidBy(stdout: string): Map<string, string[]> {
  const said = new Map<string, string[]>();
  for (const line of stdout.trimEnd().split("\n")) {
    const [, name = "", what = ""] = /^(registry|server \d+|client \d+) {2,}(.*)$/.exec(line) ?? [];
    if (name !== "") said.set(name, [...said.get(name) ?? [], what]);
  }
  return said;
}

/** The ids of all queues that anybody told of. */
function queueIds(stdout: string): number[] {
  const ids = [...stdout.matchAll(/mailboxes (\d+) and (\d+)|bound to queue (\d+)|has queue (\d+)/g)];
  return [...new Set(ids.flatMap((match) => match.slice(1).filter((id) => id !== undefined).map(Number)))];
}

/** Waits until none of the kernel's queues is there any more. */
async function untilGone(ids: readonly number[]): Promise<void> {
  const kernel = new KernelQueues();
  for (const id of ids) {
    await until(`queue ${id} to be gone`, async () => {
      const error = await kernel.msgctl(id, IPC_STAT).catch((each) => each);
      return error instanceof SystemError && error.code === "EINVAL";
    });
  }
}

/** Sees that a whole run hangs together: who was asked what, who got what, what was the last. */
function checkRun(
  stdout: string,
  { servers, clients, messages }: Record<"servers" | "clients" | "messages", number>,
): void {
  const said = saidBy(stdout);
  const names = [...said.keys()].sort();
  assertEquals(names.filter((name) => name.startsWith("client")).length, clients, stdout);
  assertEquals(names.filter((name) => name.startsWith("server")).length, servers, stdout);
  let served = 0;
  for (let number = 1; number <= servers; number++) {
    const lines = said.get(`server ${number}`) ?? [];
    const values = lines.flatMap((line) => /^resource is (\d+)$/.exec(line)?.[1] ?? []);
    served += values.length;
    assert(values.every((value) => Number(value) >= 0 && Number(value) <= 10), values.join(" "));
    assertEquals(lines.at(-1), `final resource ${values.at(-1) ?? 0}`, stdout);
    assertMatch(stdout, new RegExp(`^server ${number} ended with resource ${values.at(-1) ?? 0}$`, "m"));
    assertMatch((said.get("registry") ?? []).join("\n"), new RegExp(`^bind: server ${number} has queue \\d+$`, "m"));
  }
  assertEquals(served, clients * messages, "every message has arrived");
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
  return text.trim().split(" ").filter(Boolean).map(Number);
}

/** The process among `pids` that was started with `words`. */
async function started(pids: readonly number[], words: string): Promise<number> {
  for (const pid of pids) {
    const line = (await Deno.readTextFile(`/proc/${pid}/cmdline`)).replaceAll("\0", " ");
    if (line.includes(words)) return pid;
  }
  throw new Error(`no process with ${words}`);
}

const isRunning = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
};

Deno.test("the exercise on the kernel's queues: every message arrives, the last one stays, no queue is left", async () => {
  const { code, stdout, stderr } = await runCommand(exercise(...QUICK));
  assertEquals(code, 0, stdout + stderr);
  checkRun(stdout, { servers: 2, clients: 3, messages: 3 });
  const ids = queueIds(stdout);
  assertEquals(ids.length, 4);
  await untilGone(ids);
});

Deno.test("the exercise over TCP: the same, and nothing is left of its registry", async () => {
  const numbers = { servers: 3, clients: 5, messages: 4 };
  const counts = Object.entries(numbers).flatMap(([name, count]) => [`--${name}`, `${count}`]);
  const { code, stdout, stderr } = await runCommand(exercise("--over", "tcp", ...counts, ...QUICK));
  assertEquals(code, 0, stdout + stderr);
  checkRun(stdout, numbers);
  assertMatch(stdout, /mailboxes \d+ and \d+ at 127\.0\.0\.1:\d+/);
});

Deno.test("--json: the final resource of each server, and the steps on stderr", async () => {
  const { code, stdout, stderr } = await runCommand(exercise("--json", "--clients", "1", ...QUICK));
  assertEquals(code, 0, stderr);
  const rows = JSON.parse(stdout) as { server: number; resource: number }[];
  assertEquals(rows.map(({ server }) => server), [1, 2]);
  assertMatch(stderr, /^client 1: service: \d+ to server [12]$/m);
});

Deno.test("programs in C are the servers, the clients, or both", async () => {
  const server = compiled("exercise_server");
  const client = compiled("exercise_client");
  for (const programs of [["--server-program", server], ["--client-program", client]]) {
    const { code, stdout, stderr } = await runCommand(exercise(...programs, ...QUICK));
    assertEquals(code, 0, stdout + stderr);
    checkRun(stdout, { servers: 2, clients: 3, messages: 3 });
    await untilGone(queueIds(stdout));
  }
});

Deno.test("a server that is not bound has queue -1; garbage is dropped; EXIT ends registry and servers", async () => {
  await using registry = new Program(dsmCommand("registry", "part", "registry"));
  const [, requests = "", results = ""] = await registry.saysOut(/^mailboxes (\d+) and (\d+)$/m);
  await using server = new Program(dsmCommand("registry", "part", "server", "7", requests, results));
  const [, queue = ""] = await server.saysOut(/^bound to queue (\d+)$/m);
  await registry.saysOut(/^bind: server 7/m);
  const kernel = new KernelQueues();
  const query = async (number: number): Promise<number | undefined> => {
    await kernel.msgsnd(Number(requests), MessageType.query, encodeAboutServer({ server: number, queue: 0 }));
    return decodeAboutServer((await kernel.msgrcv(Number(results), BODY_SIZE_MAX, number)).data)?.queue;
  };
  for (const [type, bytes] of [[MessageType.query, 3], [MessageType.bind, 8], [99, 8]] as const) {
    await kernel.msgsnd(Number(requests), type, new Uint8Array(bytes)); // too short; server 0; of no known type
  }
  await kernel.msgsnd(Number(queue), 77, new Uint8Array(8));
  assertEquals([await query(8), await query(7)], [-1, Number(queue)]);
  await kernel.msgsnd(Number(requests), MessageType.exit, new Uint8Array(0));
  assertEquals([(await registry.end()).code, (await server.end()).code], [0, 0], registry.stderr + server.stderr);
  assertMatch(server.stdout, /of type 77 that is no service: dropped\nfinal resource 0\n/);
  await untilGone([requests, results, queue].map(Number));
});

Deno.test("Ctrl-C in the middle: everybody goes, and so do the queues", async () => {
  await using parent = new Program(exercise("--interval", "60s"));
  await parent.saysOut(/service: \d+ to server/);
  const children = await childrenOf(parent.pid);
  parent.signal("SIGINT");
  assertEquals((await parent.end()).code, 1, parent.stderr);
  await untilGone(queueIds(parent.stdout));
  assertEquals(children.filter(isRunning), []);
});

for (const over of ["kernel", "tcp"]) {
  Deno.test(`kill -9 of the parent, over ${over}: everybody goes, and so do the queues`, async () => {
    await using parent = new Program(exercise("--interval", "60s", "--over", over));
    await parent.saysOut(/service: \d+ to server/);
    await until("all servers to be bound", () => queueIds(parent.stdout).length === 4);
    const children = await childrenOf(parent.pid);
    assertEquals(children.length, 6);
    parent.signal("SIGKILL");
    await until("all parts to end", () => !children.some(isRunning));
    if (over === "kernel") await untilGone(queueIds(parent.stdout));
  });
}

Deno.test("kill -9 of the registry or of a server: the run ends, says who died, and leaves no queue", async () => {
  const server = compiled("exercise_server");
  for (const victim of ["part --over kernel registry", "exercise_server server 1"]) {
    await using parent = new Program(exercise("--interval", "300ms", "--server-program", server));
    await until("all servers to be bound", () => queueIds(parent.stdout).length === 4);
    Deno.kill(await started(await childrenOf(parent.pid), victim), "SIGKILL");
    assertEquals((await parent.end(30_000)).code, 1, parent.stdout + parent.stderr);
    assertMatch(parent.stderr, /^dsm: (registry|server 1): killed by SIGKILL$/m);
    await untilGone(queueIds(parent.stdout));
  }
});

Deno.test("what the command line cannot mean is said", async () => {
  const both = await runCommand(exercise("--over", "tcp", "--server-program", "/bin/true"));
  assertEquals([both.code, both.stderr.split("\n").length], [2, 2]);
  assertMatch(both.stderr, /for the kernel's queues: --over kernel/);
  const none = await runCommand(exercise("--server-program", "/nonexistent/server"));
  assertEquals(none.code, 1);
  assertMatch(none.stderr, /cannot start \/nonexistent\/server/);
  await untilGone(queueIds(none.stdout));
  const part = await runCommand(dsmCommand("registry", "part", "client", "1"));
  assertEquals(part.code, 2);
  assertMatch(part.stderr, /is started with NUMBER REQUESTS RESULTS SERVERS MESSAGES INTERVAL_MS/);
  await assertRejects(() => new KernelQueues().msgctl(-1, IPC_STAT), SystemError, "EINVAL");
});
