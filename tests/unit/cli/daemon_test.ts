/** How a daemon is stopped, seen from outside: each case is a process of its own. */
import { assertEquals } from "@std/assert";

const DAEMON = `
import { readiness, untilStopped } from ${JSON.stringify(new URL("../../../lib/cli/daemon.ts", import.meta.url).href)};
const waiting = untilStopped();
readiness("test", { host: "localhost", port: 1 });
console.log(await waiting);
`;

/** A running daemon: `line()` reads its next line of output. */
async function start(stdin: "piped" | "null") {
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", DAEMON], stdin, stdout: "piped" }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  const line = async (): Promise<string> => {
    while (!buffered.includes("\n")) {
      const { value, done } = await output.read();
      if (done) throw new Error(`the daemon ended after ${JSON.stringify(buffered)}`);
      buffered += value;
    }
    const end = buffered.indexOf("\n");
    const found = buffered.slice(0, end);
    buffered = buffered.slice(end + 1);
    return found;
  };
  const finish = async (): Promise<number> => {
    await output.cancel();
    const { code } = await child.status;
    return code;
  };
  assertEquals(await line(), "ready test localhost:1");
  return { child, line, finish };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`daemon: ${signal} stops it, and nothing keeps the process`, async () => {
    const { child, line, finish } = await start("null");
    child.kill(signal);
    assertEquals(await line(), signal);
    assertEquals(await finish(), 0);
  });
}

Deno.test("daemon: a line on standard input stops it, though the input stays open", async () => {
  const { child, line, finish } = await start("piped");
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode("q"));
  await input.write(new TextEncoder().encode("uit\n"));
  assertEquals(await line(), "a line on standard input");
  assertEquals(await finish(), 0);
  await input.close().catch(() => {}); // the reader is gone
});

Deno.test("daemon: the end of standard input does not stop it", async () => {
  const { child, line, finish } = await start("piped");
  await child.stdin.close();
  child.kill("SIGTERM");
  assertEquals(await line(), "SIGTERM");
  assertEquals(await finish(), 0);
});
