/** `dsm client`: one-shot commands, and the prompt's commands from a pipe. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { dsmCommand, have, runCommand, TempDir, TestCluster, testWhere } from "../support/processes.ts";
import type { Ran } from "../support/processes.ts";

const SIZE = 65536;

/** What the prompt answers to those lines. */
function talk(cluster: TestCluster, ...lines: string[]): Promise<Ran> {
  return cluster.client([], { stdin: lines.map((line) => `${line}\n`).join("") });
}

Deno.test("what is written is read back, in every form", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const written = await cluster.client(["write", `${SIZE - 2}`, "hello"]);
  assertEquals(written, { ...written, code: 0, stdout: "", stderr: "" });
  const range = [`${SIZE - 2}`, `${SIZE + 3}`];
  assertEquals((await cluster.client(["read", ...range])).stdout, "hello\n");
  assertEquals((await cluster.client(["read", ...range, "--raw"])).stdout, "hello");
  assertEquals((await cluster.client(["read", ...range, "--hex"])).stdout, "68656c6c6f\n");
  assertEquals(JSON.parse((await cluster.client(["read", ...range, "--json"])).stdout), [
    { start: SIZE - 2, end: SIZE + 3, text: "hello", hex: "68656c6c6f" },
  ]);
  assertEquals(JSON.parse((await cluster.client(["write", "4", "äö", "--json"])).stdout), [{
    start: 4,
    end: 8,
    size: 4,
  }]);
  assertEquals((await cluster.client(["read", "3", "9"])).stdout, "\\x00äö\\x00\n");
  assertEquals((await cluster.client(["read", "5", "7"])).stdout, "\\xa4\\xc3\n");
});

Deno.test("write - takes standard input, all byte values of it", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const bytes = crypto.getRandomValues(new Uint8Array(40_000));
  assertEquals((await cluster.client(["write", `${SIZE - 20_000}`, "-"], { stdin: bytes })).code, 0);
  const raw = await cluster.client(["read", `${SIZE - 20_000}`, `${SIZE + 20_000}`, "--raw"]);
  assertEquals(raw.bytes.toHex() === bytes.toHex(), true);
  assertEquals((await cluster.client(["write", "0", "-"], { stdin: "" })).code, 0);
});

Deno.test("fill sets a range over servers to one byte", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  assertEquals((await cluster.client(["fill", `${SIZE - 3}`, `${SIZE + 3}`, "x"])).code, 0);
  assertEquals((await cluster.client(["read", `${SIZE - 4}`, `${SIZE + 4}`])).stdout, "\\x00xxxxxx\\x00\n");
  assertEquals((await cluster.client(["fill", `${SIZE}`, `${SIZE + 1}`, "65"])).code, 0);
  assertEquals((await cluster.client(["read", `${SIZE - 1}`, `${SIZE + 2}`])).stdout, "xAx\n");
});

Deno.test("info says how each server is reached, as a table and as flat JSON", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const table = (await cluster.client(["info"])).stdout;
  for (const server of cluster.servers) assertMatch(table, new RegExp(`${server.address} .*64\\.0KiB.*memory`));
  assertMatch(table, /128KiB on 2 servers/);
  const rows = JSON.parse((await cluster.client(["info", "--json"])).stdout);
  assertEquals(
    rows.map((row: Record<string, unknown>) => [row["server"], row["base"], row["size"], row["alive"], row["way"]]),
    [
      [cluster.server(0).address, 0, SIZE, true, "memory"],
      [cluster.server(1).address, SIZE, SIZE, true, "memory"],
    ],
  );
  for (const row of rows) {
    for (const value of Object.values(row)) assert(value === null || typeof value !== "object", "rows are flat");
  }
});

// ---- the prompt, from a pipe

Deno.test("r, w and q from a pipe, with positions and without", async () => {
  await using cluster = await TestCluster.start({ servers: 2 });
  const { code, stdout, stderr } = await talk(
    cluster,
    ...["w 0 5 hello", "r 0 5", "r", "1", "4", "w", `${SIZE - 1}`, `${SIZE + 2}`, "two", `r ${SIZE - 1} ${SIZE + 2}`],
    ...["read 0 2", "write 7 a text of any length", "r 7 27", "fill 0 3 -", "r 0 5", "", "q", "r 0 5"],
  );
  assertEquals([code, stdout, stderr], [0, "hello\nell\ntwo\nhe\na text of any length\n---lo\n", ""]);
});

Deno.test("blanks in a text stay where they are, at its end too", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const { code, stdout, stderr } = await talk(
    cluster,
    "w 0 8  two  x ",
    "r 0 8",
    "write 10 end ",
    "r 10 15",
    "w",
    "20",
    "23",
    " a ",
    "r 20 23",
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout, " two  x \nend \\x00\n a \n");
});

Deno.test("a text of another length than its range is refused, and nothing is written", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const { code, stdout, stderr } = await talk(cluster, "w 0 5 hello", "w 0 5 four", "w 0 3 four", "r 0 5");
  assertEquals([code, stdout], [1, "hello\n"]);
  assertEquals(stderr.match(/has 4 bytes.*nothing was written/g)?.length, 2);
});

Deno.test("mistakes at the prompt are told, and the conversation goes on", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const { code, stdout, stderr } = await talk(
    cluster,
    ...[
      "raed 0 5",
      "r 5 0",
      "r x 5",
      `r 0 ${SIZE + 1}`,
      "w 0",
      "fill 0 3 toolong",
      "r -1 5",
      "write 3",
      "w 0 2 ok",
      "r 0 2",
    ],
  );
  assertEquals(code, 1);
  assertEquals(stdout, "ok\n");
  for (
    const says of [/did you mean read/, /start \(5\) is after/, /not x/, /EINVAL/, /toolong/, /not -1/, /write what/]
  ) {
    assertMatch(stderr, says);
  }
  for (const line of stderr.trim().split("\n")) assertMatch(line, /^dsm: /);
});

Deno.test("a pipe that ends in the middle of a question ends the conversation", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const { code, stdout } = await talk(cluster, "w 0 2 ok", "r 0 2", "r", "0");
  assertEquals([code, stdout], [0, "ok\n"]);
});

Deno.test("help and info at the prompt", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  const { code, stdout } = await talk(cluster, "help", "info");
  assertEquals(code, 0);
  for (const word of ["r [START END]", "fill START END BYTE", "info", "q"]) assert(stdout.includes(word), word);
  assertMatch(stdout, new RegExp(cluster.server(0).address));
});

Deno.test("five piped prompts at once, as the first ancestor's README ends", async () => {
  await using cluster = await TestCluster.start({
    servers: 3,
    args: ["--size", "10", "--block-size", "2", "--fill", "-"],
  });
  const ran = await Promise.all([0, 1, 2, 3, 4].map((i) => {
    const [start, end] = [i * 6, i * 6 + 6];
    const lines = Array.from(
      { length: 30 },
      (_, n) => [`w ${start} ${end} ${i}${`${n}`.padStart(5, "-")}`, `r ${start} ${end}`],
    );
    return talk(cluster, ...lines.flat(), "q");
  }));
  for (const [i, { code, stdout, stderr }] of ran.entries()) {
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, Array.from({ length: 30 }, (_, n) => `${i}${`${n}`.padStart(5, "-")}\n`).join(""));
  }
  assertEquals((await cluster.client(["read", "0", "30"])).stdout, "0---291---292---293---294---29\n");
});

// ---- at a terminal

testWhere(
  have("python3"),
  "no python3 here",
  "a prompt at a terminal: history by the up arrow, completion by tab",
  async () => {
    await using cluster = await TestCluster.start({ servers: 1 });
    await cluster.client(["write", "0", "hello"]);
    const steps = [
      ["expect", "dsm> "],
      ["send", "read 0 5\r"],
      ["expect", "hello"],
      ["expect", "dsm> "],
      ["send", "\x1b[A"],
      ["expect", "read 0 5"],
      ["send", "\r"],
      ["expect", "hello"],
      ["expect", "dsm> "],
      ["send", "inf\t"],
      ["expect", "info"],
      ["send", "\r"],
      ["expect", "64KiB on 1 server"],
      ["expect", "dsm> "],
      // editing: one character to the left, and a blank is put in between
      ["send", "read 05\x1b[D \r"],
      ["expect", "hello"],
      ["expect", "dsm> "],
      ["send", "r\r"],
      ["expect", "start: "],
      ["send", "1\r"],
      ["expect", "end: "],
      ["send", "3\r"],
      ["expect", "el"],
      ["expect", "dsm> "],
      ["send", "q\r"],
    ];
    const ran = await runCommand(
      ["python3", "tests/process/programs/terminal.py", ...dsmCommand("client", "--config", cluster.address)],
      { stdin: JSON.stringify(steps) },
    );
    assertEquals(ran.code, 0, ran.stdout + ran.stderr);
  },
);

testWhere(have("python3"), "no python3 here", "Ctrl-C and Ctrl-D leave the prompt", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  for (const key of ["\x03", "\x04"]) {
    const ran = await runCommand(
      ["python3", "tests/process/programs/terminal.py", ...dsmCommand("client", "--config", cluster.address)],
      { stdin: JSON.stringify([["expect", "dsm> "], ["send", key]]) },
    );
    assertMatch(ran.stdout, /ended: (0|130)\n/, ran.stdout + ran.stderr);
  }
});

// ---- files

for (const way of ["--attach", "--no-attach"]) {
  Deno.test(`load and save move megabytes over two servers and back (${way})`, async () => {
    await using dir = new TempDir();
    await using cluster = await TestCluster.start({ servers: 2, args: ["--size", "4MiB"] });
    const bytes = new Uint8Array(5 * 2 ** 20 + 12_345);
    for (let at = 0; at < bytes.length; at += 65536) {
      crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65536, bytes.length)));
    }
    await Deno.writeFile(dir.file("in"), bytes);
    const start = 1_000_001;
    const loaded = await cluster.client(["load", dir.file("in"), `${start}`, "--json", way]);
    assertEquals(JSON.parse(loaded.stdout), [{ start, end: start + bytes.length, size: bytes.length }], loaded.stderr);
    const saved = await cluster.client(["save", `${start}`, `${start + bytes.length}`, dir.file("out"), way]);
    assertEquals([saved.code, saved.stdout, saved.stderr], [0, "", ""]);
    const back = await Deno.readFile(dir.file("out"));
    assert(back.length === bytes.length && back.every((byte, i) => byte === bytes[i]), "the file came back changed");
    // nothing beside it was touched
    assertEquals((await cluster.client(["read", `${start - 2}`, `${start}`, "--hex"])).stdout, "0000\n");
    // both ways agree
    const other = way === "--attach" ? "--no-attach" : "--attach";
    await cluster.client(["save", `${start}`, `${start + bytes.length}`, dir.file("other"), other]);
    assertEquals((await runCommand(["cmp", dir.file("in"), dir.file("other")])).code, 0);
  });
}

Deno.test("load and save with ranges and files that are none", async () => {
  await using dir = new TempDir();
  await using cluster = await TestCluster.start({ servers: 1 });
  await Deno.writeTextFile(dir.file("small"), "precious");
  const missing = await cluster.client(["load", dir.file("nowhere"), "0"]);
  assert(missing.code !== 0);
  assertMatch(missing.stderr, /^dsm: cannot open .*nowhere/);
  const folder = await cluster.client(["load", dir.path, "0"]);
  assert(folder.code !== 0);
  const over = await cluster.client(["load", dir.file("small"), `${SIZE - 3}`]);
  assertEquals(over.code, 1);
  assertMatch(over.stderr, /cannot write 8 bytes at 65533: EINVAL/);
  assertEquals((await cluster.client(["read", `${SIZE - 3}`, `${SIZE}`, "--hex"])).stdout, "000000\n");
  // a range that cannot be read does not cost the file that is there
  const save = await cluster.client(["save", "0", `${SIZE + 1}`, dir.file("small")]);
  assertEquals(save.code, 1);
  assertMatch(save.stderr, /cannot read 65537 bytes at 0: EINVAL/);
  assertEquals(await Deno.readTextFile(dir.file("small")), "precious");
  assertEquals((await cluster.client(["save", "5", "5", dir.file("empty")])).code, 0);
  assertEquals((await Deno.stat(dir.file("empty"))).size, 0);
});
