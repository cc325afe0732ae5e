/** `dsm ipcs`, `ipcmk` and `ipcrm`: against util-linux on this host, on orphans, and on a cluster. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { connect } from "../../lib/node/cluster/cluster.ts";
import { setSize } from "../../lib/sys/semaphores.ts";
import { createSegment, findSegment } from "../../lib/sys/shared_memory.ts";
import {
  dsm,
  dsmCommand,
  have,
  Keys,
  runCommand,
  TempDir,
  TestCluster,
  TestServer,
  testWhere,
  works,
} from "../support/processes.ts";
import type { Ran } from "../support/processes.ts";

const NO_KEY = "0x00000001";

/** The lines of `ipcs` that are about segment `id`, and its headings. */
function linesOf(text: string, id: number): string[] {
  return text.split("\n").filter((line) => /^-|shmid/.test(line) || line.split(/\s+/).includes(`${id}`));
}

function parsed(ran: Ran): Record<string, unknown>[] {
  assertEquals(ran.stderr, "");
  return JSON.parse(ran.stdout);
}

// ---- this host

testWhere(have("ipcs"), "no util-linux here", "ipcs --host prints what util-linux prints", async () => {
  using keys = new Keys();
  const id = createSegment(keys.shm, 12_345, 0o640) as number;
  for (const view of [[], ["-t"], ["-p"], ["-c"]]) {
    const [ours, theirs] = await Promise.all([
      dsm(["ipcs", "-m", ...view, "--host"]),
      runCommand(["ipcs", "-m", ...view]),
    ]);
    assertEquals([ours.code, ours.stderr], [0, ""]);
    assertEquals(linesOf(ours.stdout, id), linesOf(theirs.stdout, id));
    assertEquals(linesOf(ours.stdout, id).length, 3);
  }
  for (const whole of [["-l"], ["-i", `${id}`]]) {
    const theirs = await runCommand(["ipcs", "-m", ...whole]);
    assertEquals((await dsm(["ipcs", "-m", ...whole, "--host"])).stdout, theirs.stdout);
  }
  assertMatch((await dsm(["ipcs", "-m", "-u", "--host"])).stdout, /^segments allocated \d+\npages allocated \d+\n/m);
});

Deno.test("ipcmk --host and ipcrm --host: several at once, each with its own answer", async () => {
  using keys = new Keys();
  const made = await dsm(["ipcmk", "-M", "4KiB", "-p", "0600", "--key", `${keys.shm}`, "--host"]);
  const first = findSegment(keys.shm) as number;
  assertEquals([made.code, made.stdout], [0, `Shared memory id: ${first}\n`]);
  const again = await dsm(["ipcmk", "-M", "4KiB", "--key", `${keys.shm}`, "--host"]);
  assertEquals([again.code, again.stdout], [1, ""]);
  assertMatch(again.stderr, /EEXIST/);
  const [fresh] = parsed(await dsm(["ipcmk", "-M", "5000", "--host", "--json"]));
  assertEquals([findSegment(fresh?.["key"] as number), fresh?.["size"]], [fresh?.["id"], 5000]);
  const removed = await dsm([
    "ipcrm",
    "-m",
    `${fresh?.["id"]}`,
    "-M",
    NO_KEY,
    "-M",
    `${keys.shm}`,
    "-M",
    "0",
    "--host",
  ]);
  assertEquals([removed.code, removed.stdout], [1, ""]);
  assertEquals(removed.stderr, `dsm: invalid key (${NO_KEY})\ndsm: illegal key (0)\n`);
  assertEquals([keys.leftovers(), findSegment(fresh?.["key"] as number)], [[], undefined]);
  assertEquals((await dsm(["ipcrm", "-m", `${first}`, "--host"])).stderr, `dsm: invalid id (${first})\n`);
  assertEquals((await dsm(["ipcs", "-i", `${first}`, "--host"])).stderr, `dsm: id ${first} not found\n`);
});

Deno.test("what makes no sense together is refused before anything is done", async () => {
  const refused: [string[], RegExp][] = [
    [["ipcrm"], /say what to remove/],
    [["ipcrm", "-a", "--host"], /everybody on this host/],
    [["ipcrm", "-m", "1", "--yes"], /--orphans/],
    [["ipcs", "-t", "-p"], /--time and --pid/],
    [["ipcs", "-i", "1", "-t"], /--time/],
    [["ipcs", "-a", "-i", "1"], /either -m or -q/],
    [["ipcmk"], /-M SIZE or -Q/],
    [["ipcrm", "--all-queues", "--host"], /everybody on this host/],
    [["ipcrm", "-Q", "1", "--orphans"], /leave out the queues/],
  ];
  await Promise.all(refused.map(async ([args, says]) => {
    const { code, stdout, stderr } = await dsm(args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, says);
  }));
});

// ---- orphans

Deno.test("ipcrm --orphans: a killed server's region is shown, and with --yes it is gone; a living one's never is", async () => {
  await using server = await TestServer.start(["--size", "64KiB"]);
  const { keys } = server;
  const only = ["ipcrm", "--orphans", "-M", `${keys.shm}`, "--json"];
  assertEquals((await dsm([...only, "--yes"])).stdout, "[]\n");
  await server.program.kill();
  const id = findSegment(keys.shm);
  const liveness = keys.liveness() as number;
  const shown = await dsm(only);
  const expected = { id, key: keys.shm, size: 65_536, serverPid: server.program.pid, nattch: 0, removed: false };
  const [{ cookie, ...orphan } = { cookie: "" }] = JSON.parse(shown.stdout);
  assertEquals([shown.code, orphan, cookie.length], [0, expected, 32]);
  assertMatch(shown.stderr, /--yes removes/);
  assertEquals(keys.leftovers().length, 2);
  // a server that comes back is worth more than what it left
  await server.restart();
  assertEquals((await dsm([...only, "--yes"])).stdout, "[]\n");
  assertEquals((await server.program.stop()).code, 0);
  await server.restart();
  await server.program.kill();
  const removed = await dsm([...only.slice(0, -1), "--yes"]);
  assertEquals([removed.code, removed.stderr], [0, ""]);
  assertMatch(removed.stdout, /^ +KEY .*\n0x[0-9a-f]{8} .* yes\n$/);
  assertEquals([keys.leftovers(), setSize(liveness)], [[], undefined]);
});

testWhere(
  works("unshare", "-i", "true"),
  "namespaces are not allowed here",
  "ipcrm --orphans touches nothing else",
  async () => {
    await using dir = new TempDir();
    const self = dsmCommand().map((word) => `'${word}'`).join(" ");
    const script = `
    ipcmk -M 278528
    ${self} server 0 77 78 --size 1MiB >"$0" 2>&1 & server=$!
    ${self} server 0 79 80 --size 1MiB >"$0.2" 2>&1 & living=$!
    until grep -q ^ready "$0" && grep -q ^ready "$0.2"; do sleep 0.05; done
    kill -9 $server; wait $server
    ${self} ipcrm --orphans --yes
    ${self} ipcs -m --host --json
    kill $living; wait $living`;
    const { stdout } = await runCommand(["unshare", "-i", "sh", "-c", script, dir.file("out")]);
    const lines = stdout.trim().split("\n");
    assertMatch(lines.find((line) => line.startsWith("0x")) ?? "", /^0x0000004d .* yes$/);
    const left: { key: number; size: number }[] = JSON.parse(lines.at(-1) ?? "");
    assertEquals(left.filter(({ size }) => size !== 278_528).map(({ key }) => key), [79]);
    assertEquals(left.length, 2);
  },
);

// ---- a cluster

Deno.test("ipcmk, ipcs and ipcrm on a cluster, one after the other", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const ask = (...args: string[]): Promise<Ran> => dsm([...args, "--config", cluster.address]);
  const made = await ask("ipcmk", "-M", "5000", "-p", "0640", "--key", "1238");
  assertMatch(made.stdout, /^Shared memory id: \d+\n$/);
  const id = Number(made.stdout.split(" ").at(-1));
  const [other] = parsed(await ask("ipcmk", "-M", "8KiB", "--json"));
  assertNotEquals(other?.["id"], id);

  const list = (await ask("ipcs", "-m")).stdout;
  assertMatch(list, /^\n------ Shared Memory Segments --------\nkey {8}shmid /);
  assertMatch(list, new RegExp(`^0x000004d6 ${id} +\\S+ +640 +5000 +0 `, "m"));
  const [segment, ...others] = parsed(await ask("ipcs", "--json")).filter((each) => each["id"] === id);
  assertEquals(others, []);
  const { key, size, perms, nattch, uid, atime } = segment ?? {};
  assertEquals([key, size, perms, nattch, uid, atime], [1238, 5000, "0640", 0, Deno.uid(), null]);
  assert(Number(segment?.["base"]) >= 0 && String(segment?.["ctime"]).endsWith("Z"));
  assertMatch((await ask("ipcs", "-m", "-t")).stdout, /Not set {14}Not set/);
  assertMatch((await ask("ipcs", "-m", "-i", `${id}`)).stdout, new RegExp(`segment shmid=${id}\n`, "i"));
  assertMatch((await ask("ipcs", "-m", "-u")).stdout, /^segments allocated 2\npages allocated 4\n$/m);
  assertMatch((await ask("ipcs", "-m", "-l")).stdout, /^max number of segments = \d+$/m);

  const taken = await ask("ipcmk", "-M", "4KiB", "--key", "1238");
  assertEquals([taken.code, taken.stdout], [1, ""]);
  const wrong = await ask("ipcrm", "-M", NO_KEY, "-M", "1238", "-m", "99999999");
  assertEquals([wrong.code, wrong.stderr], [1, `dsm: invalid id (99999999)\ndsm: invalid key (${NO_KEY})\n`]);
  assertEquals(parsed(await ask("ipcs", "--json")).map((each) => each["id"]), [other?.["id"]]);
  await ask("ipcmk", "-M", "1");
  const all = await ask("ipcrm", "-a");
  assertEquals([all.code, all.stdout, all.stderr], [0, "", ""]);
  assertEquals(parsed(await ask("ipcs", "--json")), []);
});

Deno.test("a segment of the cluster that is attached stays until it is detached, and ipcs says so", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const ask = (...args: string[]): Promise<Ran> => dsm([...args, "--config", cluster.address]);
  await using program = await connect({ config: cluster.address });
  const attachment = await program.segments.create({ key: 77, size: 100, mode: 0o600 });
  const [before] = parsed(await ask("ipcs", "--json"));
  assertEquals([before?.["nattch"], before?.["cpid"], before?.["lpid"]], [1, Deno.pid, Deno.pid]);
  assertMatch((await ask("ipcs", "-m", "-p")).stdout, new RegExp(` ${Deno.pid} +${Deno.pid} +$`, "m"));
  assertEquals((await ask("ipcrm", "-M", "77")).code, 0);
  assertMatch((await ask("ipcs", "-m")).stdout, /^0x00000000 .* 100 +1 +dest +$/m);
  await program.shmdt(attachment);
  assertEquals(parsed(await ask("ipcs", "--json")), []);
});

Deno.test("without a config server the tools say whom they asked", async () => {
  const { code, stderr } = await dsm(["ipcs", "-m", "--config", "127.0.0.1:1"]);
  assertEquals(code, 1);
  assertMatch(stderr, /127\.0\.0\.1:1/);
});
