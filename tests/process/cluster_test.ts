/** `dsm up`, `down`, `status`, `blocks`: a whole cluster on this machine. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { HeldBlock } from "../support/holder.ts";
import { dsm, Keys, ready, startDsm, TempDir, TestCluster, writeConfig } from "../support/processes.ts";
import type { Program, Ran } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** A `dsm up` with state, ports and keys of its own. */
class Up implements AsyncDisposable {
  readonly dir: TempDir = new TempDir();
  readonly program: Program;
  config = "";

  constructor(...args: string[]) {
    const all = ["up", "--port", "0", "--base-port", "0", "--size", "64KiB", ...args];
    this.program = startDsm(all, { env: this.env, cwd: this.dir.path });
  }

  get env(): Record<string, string> {
    return { XDG_STATE_HOME: this.dir.path, TMPDIR: this.dir.path, NO_COLOR: "1" };
  }

  /** The directories it works in. */
  get directories(): string[] {
    return [...Deno.readDirSync(this.dir.path)].map(({ name }) => name).filter((name) => name.startsWith("dsm-up-"));
  }

  async ready(): Promise<void> {
    const { host, port } = await ready(this.program);
    this.config = `${host}:${port}`;
  }

  run(...args: string[]): Promise<Ran> {
    return dsm(args, { env: { ...this.env, DSM_CONFIG: this.config } });
  }

  /** The servers' processes, as they say themselves. */
  async pids(): Promise<number[]> {
    const { stdout } = await this.run("status", "--json");
    return JSON.parse(stdout).map((row: { pid: number }) => row.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.program.hasExited) await this.program[Symbol.asyncDispose]();
    if (this.config !== "") await this.run("down");
    await this.dir[Symbol.asyncDispose]();
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

/** Segments and sets that those processes made or used last, of /proc/sysvipc. */
function segmentsOf(pids: readonly number[]): string[] {
  return Deno.readTextFileSync("/proc/sysvipc/shm").split("\n").filter((row) => {
    const creator = Number(row.trim().split(/\s+/)[4]);
    return pids.includes(creator);
  });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`up --local 3 serves one space; ${signal} stops all of it and leaves nothing`, async () => {
    await using up = new Up("--local", "3");
    await up.ready();
    assertMatch(up.program.stdout, /^ready up 127\.0\.0\.1:\d+ servers=3 registry=127\.0\.0\.1:\d+\n$/);
    const pids = await up.pids();
    assertEquals(new Set(pids).size, 3);
    assertEquals(segmentsOf(pids).length, 3);
    assertEquals((await up.run("client", "write", "65530", "across servers")).code, 0);
    assertEquals((await up.run("client", "read", "65530", "65544")).stdout, "across servers\n");
    up.program.signal(signal);
    assertEquals(await up.program.end(), { code: 0, signal: null });
    assertEquals(pids.filter(isRunning), []);
    assertEquals(segmentsOf(pids), []);
    assertMatch(up.program.stderr, /^\[server:\d+\] .*stopping/m);
  });
}

Deno.test("a server of up that is killed is told of, and the command told starts it again with its bytes", async () => {
  await using up = new Up("--local", "2");
  await up.ready();
  await up.run("client", "write", "65536", "precious");
  const [, second = 0] = await up.pids();
  Deno.kill(second, "SIGKILL");
  const [, command = ""] = await up.program.saysErr(/killed by SIGKILL; start it again: dsm (server .*)/);
  const status = await until("the loss to show", async () => {
    const ran = await up.run("status");
    return ran.code === 1 ? ran : undefined;
  });
  assertMatch(status.stdout, /down/);
  await using again = startDsm(command.split(" "));
  assertEquals((await ready(again)).fields["start"], "taken-over");
  assertEquals((await up.run("client", "read", "65536", "65544")).stdout, "precious\n");
  await until("status to be content", async () => (await up.run("status")).code === 0);
  // the one started by hand is its owner's: up leaves it alone
  await up.program.stop();
  assertEquals(isRunning(again.pid), true);
  assertEquals(await again.stop(), { code: 0, signal: null });
  assertEquals(segmentsOf([second, again.pid]), []);
});

Deno.test("a server killed and not started again leaves nothing once up has stopped", async () => {
  await using up = new Up("--local", "2");
  await up.ready();
  const pids = await up.pids();
  Deno.kill(pids[0] ?? 0, "SIGKILL");
  await up.program.saysErr(/start it again/);
  assertEquals(segmentsOf(pids).length, 2);
  assertEquals((await up.program.stop()).code, 0);
  assertEquals(segmentsOf(pids), []);
});

Deno.test("up reads config.txt with its extras, and two servers with one key are refused", async () => {
  await using dir = new TempDir();
  using one = new Keys();
  using two = new Keys();
  const ports = [0, 1].map(() => freePortPair("127.0.0.1"));
  const line = (i: number, keys: Keys): string =>
    `127.0.0.1:${ports[i]} shm=${keys.shm} sem=${keys.sem} size=${i + 1}MiB block=8KiB`;
  await Deno.writeTextFile(dir.file("config.txt"), `2\n${line(0, one)}\n${line(1, two)}\n`);
  const env = { XDG_STATE_HOME: dir.path };
  {
    await using up = startDsm(["up", "--port", "0"], { cwd: dir.path, env });
    const { port } = await ready(up);
    const rows = JSON.parse((await dsm(["status", "--json"], { env: { DSM_CONFIG: `127.0.0.1:${port}` } })).stdout);
    assertEquals(
      rows.map((row: Record<string, unknown>) => [row["server"], row["base"], row["size"], row["blockSize"]]),
      [
        [`127.0.0.1:${ports[0]}`, 0, 2 ** 20, 8192],
        [`127.0.0.1:${ports[1]}`, 2 ** 20, 2 ** 21, 8192],
      ],
    );
    assertEquals(one.leftovers().length, 2);
    assertEquals((await up.stop()).code, 0);
    assertEquals([...one.leftovers(), ...two.leftovers()], []);
  }
  await Deno.writeTextFile(dir.file("config.txt"), `2\n${line(0, one)}\n${line(1, one)}\n`);
  const refused = await dsm(["up", "--port", "0"], { cwd: dir.path, env });
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertMatch(refused.stderr, new RegExp(`${one.shm}.*shm=`));
  assertEquals(one.leftovers(), []);
});

Deno.test("an up that cannot start says why, exits 1 and leaves nothing, the cluster in its way least of all", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const server = cluster.server(0);
  server.keys.withRegion((region) => region.data.fill(4));
  await using dir = new TempDir();
  using other = new Keys();
  await Deno.writeTextFile(
    dir.file("config.txt"),
    `2\n127.0.0.1:1024 shm=${other.shm} sem=${other.sem} size=64KiB\n` +
      `127.0.0.1:${server.port} shm=${server.keys.shm} sem=${server.keys.sem} size=64KiB\n`,
  );
  const { code, stdout, stderr } = await dsm(["up", "--port", "0"], {
    cwd: dir.path,
    env: { XDG_STATE_HOME: dir.path },
  });
  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, new RegExp(`server:${server.port}.*EADDRINUSE`));
  assertEquals(other.leftovers(), []);
  assertEquals(server.keys.withRegion((region) => region.data.every((byte) => byte === 4)), true);
  assertEquals((await cluster.client(["read", "0", "1", "--hex"])).stdout, "04\n");
});

Deno.test("up in the background: ready when it returns, each time; down ends it", async () => {
  await using dir = new TempDir();
  const env = { XDG_STATE_HOME: dir.path };
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  const place = ["--port", `${port}`, "--registry-port", "0", "--base-port", "0", "--dir", dir.file("checkpoints")];
  const detached = ["up", "--local", "2", "-d", ...place, "--size", "64KiB"];
  const client = (...args: string[]) => dsm(["client", ...args, "--config", `127.0.0.1:${port}`], { env });
  const pidsSeen: number[] = [];
  for (let round = 0; round < 2; round++) {
    const up = await dsm(detached, { env });
    assertEquals(up.code, 0, up.stderr);
    assertMatch(up.stdout, new RegExp(`^ready up 127\\.0\\.0\\.1:${port} servers=2 registry=127\\.0\\.0\\.1:\\d+\n$`));
    // at once: a client would try again for a while
    (await Deno.connect({ port })).close();
    assertEquals((await client("write", "0", "x")).code, 0);
    const rows = JSON.parse((await dsm(["status", "--json", "--config", `127.0.0.1:${port}`])).stdout);
    const pids: number[] = rows.map((row: { pid: number }) => row.pid);
    pidsSeen.push(...pids);
    const down = await dsm(["down", "--config", `127.0.0.1:${port}`], { env });
    assertEquals([down.code, down.stdout], [0, ""], down.stderr);
    assertEquals(pids.filter(isRunning), []);
    assertEquals(segmentsOf(pids), []);
  }
  assertEquals(new Set(pidsSeen).size, 4);
  const nothing = await dsm(["down", "--config", `127.0.0.1:${port}`], { env });
  assertEquals(nothing.code, 1);
  assertMatch(nothing.stderr, new RegExp(`^dsm: no cluster .*127\\.0\\.0\\.1:${port}`));
});

Deno.test("down ends what a killed up has left, killed servers' memory too", async () => {
  await using up = new Up("--local", "2");
  await up.ready();
  const pids = await up.pids();
  await up.program.kill();
  // its roles go on without it
  assertEquals((await up.run("client", "write", "0", "still")).code, 0);
  Deno.kill(pids[1] ?? 0, "SIGKILL");
  await until("it to be gone", () => !isRunning(pids[1] ?? 0));
  assertEquals([segmentsOf(pids).length, up.directories.length], [2, 1]);
  assertEquals((await up.run("down")).code, 0);
  assertEquals(pids.filter(isRunning), []);
  assertEquals([segmentsOf(pids), up.directories], [[], []]);
});

Deno.test("status --watch --json prints one document a line, until it is stopped", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await using watching = startDsm(["status", "--watch", "--json", "--config", cluster.address]);
  await watching.saysOut(/\n.*\n/);
  assertEquals(await watching.stop(), { code: 0, signal: null });
  const documents = watching.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert(documents.length >= 2);
  for (const rows of documents) {
    assertEquals(
      rows.map((row: { server: string }) => row.server),
      cluster.servers.map((each) => each.address),
    );
  }
});

Deno.test("blocks maps what is held, waited for and suspect", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const blocks = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await dsm(["blocks", ...args, "--config", cluster.address], {
      env: { NO_COLOR: "1" },
    });
    assertEquals(code, 0, stderr);
    return stdout;
  };
  assertMatch(await blocks(), /16 blocks\n\.{16}\n/);
  assertEquals(JSON.parse(await blocks("--json")), []);
  using held = new HeldBlock(cluster.server(0).keys, 5);
  assertMatch(await blocks(), /16 blocks\n\.{5}#\.{10}\n/);
  await using waiting = startDsm(["client", "read", "20480", "20481", "--timeout", "20s", "--config", cluster.address]);
  await until("it to wait", () => held.waiters > 0);
  assertMatch(await blocks(), /16 blocks\n\.{5}W\.{10}\n/);
  assertEquals(JSON.parse(await blocks("--json")), [{ block: 5, state: "waited", lastPid: Deno.pid, waiters: 1 }]);
  held.release();
  assertEquals(await waiting.end(), { code: 0, signal: null });
  const none = await dsm(["blocks", "7", "--config", cluster.address]);
  assertEquals(none.code, 2);
});

Deno.test("up's mistakes on the command line", async () => {
  for (const args of [["up", "--local", "0"], ["up", "config.txt", "--local", "2"], ["up", "--local", "many"]]) {
    const { code, stdout, stderr } = await dsm(args);
    assertEquals([code, stdout], [2, ""], stderr);
  }
  await using dir = new TempDir();
  const missing = await dsm(["up"], { cwd: dir.path });
  assertEquals(missing.code, 1);
  assertMatch(missing.stderr, /^dsm: config\.txt: there is no such file/);
  await writeConfig(dir.file("config.txt"), ["192.0.2.1:9734"]);
  const elsewhere = await dsm(["up"], { cwd: dir.path });
  assertNotEquals(elsewhere.code, 0);
  assertMatch(elsewhere.stderr, /not on this host|none of its servers/);
});
