/** How a client comes to the memory: straight into it where it may, over TCP where it may not. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { dsmCommand, have, runCommand, TempDir, TestCluster, testWhere, works } from "../support/processes.ts";

const FILE_SIZE = 3 * 2 ** 20;
const IS_ROOT = Deno.uid() === 0;

interface Traced {
  /** Bytes read or written straight from or to the attached segments. */
  readonly intoMemory: number;
  /** Bytes moved by calls of that size anywhere else. */
  readonly elsewhere: number;
  /** Bytes that went through sockets. */
  readonly onSockets: number;
}

/** What strace saw of a client, of all its threads: `raw=` prints addresses instead of contents. */
function readTrace(trace: string): Traced {
  const segments = [...trace.matchAll(/^shmat\(.*= (0x[0-9a-f]+)$/gm)].map(([, address]) => {
    // a test's segments are larger than the file's part in them, and far from everything else
    return { from: BigInt(address ?? 0), to: BigInt(address ?? 0) + 4n * 2n ** 20n };
  });
  let [intoMemory, elsewhere, onSockets] = [0, 0, 0];
  for (const line of trace.split("\n")) {
    const [, call, , address, , result] =
      /\b(read|write|pread64|pwrite64|sendto|recvfrom|sendmsg|recvmsg|writev|readv)\((\w+), (0x[0-9a-f]+)(.*)\) += (\w+)/
        .exec(line) ?? [];
    if (!call || !result) continue;
    const size = Number(result);
    if (/^(send|recv|writev|readv)/.test(call)) onSockets += size;
    else if (segments.some(({ from, to }) => BigInt(address ?? 0) >= from && BigInt(address ?? 0) < to)) {
      intoMemory += size;
    } else if (size >= 4096) elsewhere += size;
  }
  return { intoMemory, elsewhere, onSockets };
}

const CALLS = "read,write,pread64,pwrite64,sendto,recvfrom,sendmsg,recvmsg,writev,readv";
const CAN_TRACE = have("strace") && works("strace", "-o", "/dev/null", "true");

async function traced(cluster: TestCluster, ...args: string[]): Promise<Traced> {
  // a file for each thread: in one file strace cuts a call in two when another thread's comes in between
  await using traces = new TempDir();
  const { code, stderr } = await runCommand([
    ...["strace", "-ff", "-o", traces.file("trace"), "-e", `trace=${CALLS},shmat`, "-e", `raw=${CALLS}`],
    ...dsmCommand("client", ...args, "--config", cluster.address),
  ]);
  assertEquals(code, 0, stderr);
  const files = await Array.fromAsync(Deno.readDir(traces.path), ({ name }) => Deno.readTextFile(traces.file(name)));
  return readTrace(files.join("\n"));
}

testWhere(
  CAN_TRACE,
  "no strace here",
  "load and save go straight between file and shared memory: two copies, none on a socket",
  async () => {
    await using dir = new TempDir();
    await using cluster = await TestCluster.start({ servers: 2, args: ["--size", "4MiB"] });
    await Deno.writeFile(dir.file("in"), new Uint8Array(FILE_SIZE).fill(0x5a));
    const start = 2 ** 21; // over both servers
    const untraced = await traced(cluster, "info");
    const load = await traced(cluster, "load", dir.file("in"), `${start}`);
    const save = await traced(cluster, "save", `${start}`, `${start + FILE_SIZE}`, dir.file("out"));
    for (const [what, seen] of Object.entries({ load, save })) {
      assertEquals(seen.intoMemory, FILE_SIZE, what);
      assert(seen.onSockets < 64 * 1024, `${what}: ${seen.onSockets} bytes on sockets`);
      // the program's own modules are read by info just as well
      assert(seen.elsewhere - untraced.elsewhere < 256 * 1024, `${what}: ${seen.elsewhere} bytes elsewhere`);
    }
    assertEquals((await runCommand(["cmp", dir.file("in"), dir.file("out")])).code, 0);
    // the trace would have shown it: over TCP every byte is on a socket
    const overTcp = await traced(cluster, "load", dir.file("in"), `${start}`, "--no-attach");
    assertEquals(overTcp.intoMemory, 0);
  },
);

/** `dsm client` under another command, such as one that changes namespaces. */
async function clientUnder(wrapper: readonly string[], cluster: TestCluster, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand([
    ...wrapper,
    ...dsmCommand("client", ...args, "--config", cluster.address),
  ]);
  assertEquals(code, 0, stderr);
  return stdout;
}

/** Writes and reads by TCP, and says why. */
async function assertFallsBack(wrapper: readonly string[], cluster: TestCluster, reason: RegExp): Promise<void> {
  await clientUnder(wrapper, cluster, "write", "65530", "over the edge");
  assertEquals(await clientUnder(wrapper, cluster, "read", "65530", "65543"), "over the edge\n");
  const rows = JSON.parse(await clientUnder(wrapper, cluster, "info", "--json"));
  assertEquals(rows.map((row: { way: string }) => row.way), ["tcp", "tcp"]);
  for (const { note } of rows) assertMatch(note, reason);
  assertMatch(await clientUnder(wrapper, cluster, "info"), reason);
  // and a client on this side sees what it wrote, through memory
  assertEquals((await cluster.client(["read", "65530", "65543"])).stdout, "over the edge\n");
}

testWhere(
  works("unshare", "-i", "true"),
  "namespaces are not allowed here",
  "a client in another IPC namespace goes by TCP, and info says why",
  async () => {
    await using cluster = await TestCluster.start({ servers: 2 });
    await assertFallsBack(["unshare", "-i"], cluster, /not on this host, or in another IPC namespace/);
  },
);

const SMALL = ["--size", "64KiB"];

// nobody, who may read root's files (this checkout may be among them) but not root's memory
const AS_NOBODY = [
  "setpriv",
  "--euid=65534",
  "--egid=65534",
  "--clear-groups",
  "--inh-caps=+dac_override",
  "--ambient-caps=+dac_override",
];

testWhere(
  IS_ROOT && works(...AS_NOBODY, "true"),
  "changing the user is not allowed here",
  "a client of another user goes by TCP, and info says why",
  async () => {
    await using cluster = await TestCluster.start({ servers: 2, args: [...SMALL, "--open"], configArgs: ["--open"] });
    await assertFallsBack(AS_NOBODY, cluster, /belongs to another user \(EACCES\)/);
  },
);

testWhere(
  IS_ROOT && works(...AS_NOBODY, "true"),
  "changing the user is not allowed here",
  "--mode lets another user's client attach",
  async () => {
    const args = [...SMALL, "--open", "--mode", "0666"];
    await using cluster = await TestCluster.start({ servers: 1, args, configArgs: ["--open"] });
    const rows = JSON.parse(await clientUnder(AS_NOBODY, cluster, "info", "--json"));
    assertEquals(rows[0].way, "memory");
    await clientUnder(AS_NOBODY, cluster, "write", "0", "shared");
    assertEquals((await cluster.client(["read", "0", "6"])).stdout, "shared\n");
  },
);

Deno.test("--no-attach goes by TCP on the server's own host", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  await clientUnder([], cluster, "write", "0", "x", "--no-attach");
  const rows = JSON.parse(await clientUnder([], cluster, "info", "--json", "--no-attach"));
  assertEquals(rows.map((row: { way: string; note: string }) => [row.way, row.note]), [
    ["tcp", "attaching was not asked for"],
    ["tcp", "attaching was not asked for"],
  ]);
});
