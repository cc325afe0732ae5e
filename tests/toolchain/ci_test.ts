/** .ci/run: its sums and its exit status, with a stand-in for npx that answers as each case says. */
import { assertEquals } from "@std/assert";

const SCRIPT = new URL("../../.ci/run", import.meta.url);

/** What the parts of a run say: a task's output and status by its name, and the smoke test's. */
interface Case {
  readonly gates?: Readonly<Record<string, number>>;
  readonly tests: { readonly output: string; readonly status: number };
  readonly smoke?: { readonly output: string; readonly status: number };
}

/** The last lines of .ci/run, from the first complaint on, and its exit status. */
async function runCi({ gates = {}, tests, smoke }: Case): Promise<{ lines: string[]; code: number }> {
  const root = await Deno.makeTempDir({ prefix: "dsm ci " });
  try {
    for (const folder of [".ci", "bin", "tests"]) await Deno.mkdir(`${root}/${folder}`);
    await Deno.copyFile(SCRIPT, `${root}/.ci/run`);
    await Deno.writeTextFile(`${root}/README.md`, "Two commands:\n\n    npx -y deno@9.9.9 task test\n");
    const answers = Object.entries(gates).map(([gate, status]) => `"-y deno@9.9.9 task ${gate}") exit ${status} ;;\n`);
    const npx = `#!/bin/sh\ncase "$*" in\n${answers.join("")}` +
      `"-y deno@9.9.9 task test") printf '${tests.output}\\n'; exit ${tests.status} ;;\nesac\n`;
    await Deno.writeTextFile(`${root}/bin/npx`, npx, { mode: 0o755 });
    if (smoke !== undefined) {
      await Deno.writeTextFile(`${root}/tests/smoke.sh`, `printf '${smoke.output}\\n'; exit ${smoke.status}\n`);
    }
    const { code, stdout } = await new Deno.Command(`${root}/.ci/run`, {
      env: { PATH: `${root}/bin:${Deno.env.get("PATH")}` },
      stderr: "null",
    }).output();
    const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
    return { lines: lines.filter((line) => line.startsWith("FAILED: ")).concat(lines.at(-1) ?? ""), code };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const TESTS = { output: "ok | 7 passed (3 steps) | 0 failed (2s)", status: 0 };
const SMOKE = { output: "all well\\n4 passed, 0 failed", status: 0 };

Deno.test("ci: gates, tests and smoke are summed", async () => {
  assertEquals(await runCi({ tests: TESTS, smoke: SMOKE }), { lines: ["16 passed, 0 failed"], code: 0 });
});

Deno.test("ci: every failure is counted, and named again at the end", async () => {
  const tests = { output: "FAILED | 5 passed | 2 failed (2s)", status: 1 };
  const smoke = { output: "3 passed, 1 failed", status: 1 };
  const lines = [
    "FAILED: gate lint",
    "FAILED: gate docs",
    "FAILED: tests: 2 failed",
    "FAILED: smoke: 1 failed",
    "11 passed, 5 failed",
  ];
  assertEquals(await runCi({ gates: { lint: 1, docs: 1 }, tests, smoke }), { lines, code: 1 });
});

Deno.test("ci: a suite that dies, runs nothing or is missing has failed", async () => {
  const died = { output: "error: type checking failed", status: 1 };
  assertEquals(await runCi({ tests: died, smoke: SMOKE }), {
    lines: ["FAILED: tests: exit status 1", "9 passed, 1 failed"],
    code: 1,
  });
  const nothing = { output: "ok | 0 passed | 0 failed (1ms)", status: 0 };
  assertEquals(await runCi({ tests: nothing }), {
    lines: ["FAILED: tests: no test ran", "FAILED: smoke: exit status 127", "5 passed, 2 failed"],
    code: 1,
  });
});
