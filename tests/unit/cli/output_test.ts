/** Tables, styles, progress bars and readiness lines: what people and scripts read. */
import { assert, assertEquals } from "@std/assert";
import { readinessLine } from "../../../lib/cli/daemon.ts";
import { Progress, progressLine } from "../../../lib/cli/progress.ts";
import { style, unstyled } from "../../../lib/cli/style.ts";
import { table } from "../../../lib/cli/table.ts";

Deno.test("table: columns are aligned, numbers to the right, whatever is styled or wide", () => {
  const rows = [
    { host: "a", blockSize: 4096, up: true },
    { host: "日本", blockSize: 10, up: false },
  ];
  const { green, red } = style(true);
  const columns = [
    { key: "host" },
    { key: "blockSize" },
    { key: "up", show: ({ up }: { up: boolean }) => up ? green("yes") : red("no") },
  ] as const;
  assertEquals(unstyled(table(rows, columns)), "HOST  BLOCK SIZE  UP\na           4096  yes\n日本          10  no");
});

Deno.test("table: nothing to show is a line of titles, a missing value a dash", () => {
  assertEquals(table<{ a: string | null; b: number }>([], [{ key: "a" }, { key: "b" }]), "A  B");
  assertEquals(table([{ a: null, b: 1 }], [{ key: "a" }, { key: "b" }]), "A  B\n-  1");
});

Deno.test("style: codes only where there is colour", () => {
  assertEquals(style(false).red("x"), "x");
  assertEquals(style(true).red("x"), "\x1b[31mx\x1b[39m");
  assertEquals(unstyled(style(true).bold(style(true).cyan("x"))), "x");
});

Deno.test("progress: the line says how far, how fast, how long still, and fits", () => {
  const mib = 2 ** 20;
  assertEquals(
    progressLine("load", 31 * mib, 62 * mib, 1_000, 80),
    "load [####################--------------------]  50%  31.0MiB/s  1s left",
  );
  assert(progressLine("load", 0, 62 * mib, 1_000, 80).endsWith("]   0%  0B/s"));
  for (const columns of [10, 30, 50, 200]) {
    assert(progressLine("load", 31 * mib, 62 * mib, 1_000, columns).length < columns, `${columns} columns`);
  }
});

/** A terminal, or not, that remembers what was drawn, and a clock that the test moves. */
function makePlace(isTerminal: boolean) {
  const drawn: string[] = [];
  const clock = { ms: 0 };
  const writeSync = (bytes: Uint8Array): number => {
    drawn.push(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  const place = { terminal: { isTerminal: () => isTerminal, writeSync }, columns: () => 80, nowMs: () => clock.ms };
  return { drawn, clock, place };
}

Deno.test("progress: appears after a second, at most ten times a second, and leaves no trace", () => {
  const { drawn, clock, place } = makePlace(true);
  {
    using bar = new Progress("load", 100, place);
    for (clock.ms = 0; clock.ms < 1_200; clock.ms += 10) bar.update(50);
  }
  assertEquals(drawn.length, 3);
  assert(drawn[0]?.startsWith("\rload ["));
  assertEquals(drawn.at(-1), "\r\x1b[K");
});

Deno.test("progress: nothing where there is no terminal, nor for quick work", () => {
  const [piped, quick] = [makePlace(false), makePlace(true)];
  {
    using bar = new Progress("load", 100, piped.place);
    piped.clock.ms = 5_000;
    bar.update(50);
    using other = new Progress("load", 100, quick.place);
    quick.clock.ms = 999;
    other.update(50);
  }
  assertEquals([piped.drawn, quick.drawn], [[], []]);
});

Deno.test("readiness: role, endpoint, then fields, quoted where blanks would split them", () => {
  const endpoint = { host: "::1", port: 9734 };
  assertEquals(readinessLine("registry", endpoint), "ready registry [::1]:9734");
  assertEquals(
    readinessLine("server", endpoint, { shmkey: 1238, start: "fresh", path: "/a b", none: "" }),
    'ready server [::1]:9734 shmkey=1238 start=fresh path="/a b" none=""',
  );
});
