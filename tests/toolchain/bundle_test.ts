/** tools/bundle.ts: workers, workers of workers and FFI in them, from one file that stands alone. */
import { assertEquals, assertRejects } from "@std/assert";
import { bundleProgram } from "../../tools/bundle.ts";

/** Writes `files` under a new directory and hands it to `use`. */
async function withTree<T>(files: Readonly<Record<string, string>>, use: (root: string) => Promise<T>): Promise<T> {
  const root = await Deno.makeTempDir({ prefix: "dsm bundle " });
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${root}/${path}`, text);
    }
    return await use(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** Starts the worker at `path` and passes on what it answers, `more` added. */
const relay = (path: string, more: string) => `
const inner = new Worker(new URL("${path}", import.meta.url), { type: "module" });
const scope = self as unknown as { postMessage(value: string): void };
inner.onmessage = ({ data }) => { scope.postMessage(data + "${more}"); inner.terminate(); };
`;

Deno.test("bundle: workers at any depth are inside, and FFI works in them", async () => {
  const files = {
    "main.ts": 'import { ask } from "./lib/ask.ts";\nconsole.log(await ask());\n',
    "lib/ask.ts": `export function ask(): Promise<string> {
      const worker = new Worker(
        new URL("./node/relay.ts", import.meta.url),
        { type: "module" },
      );
      return new Promise((resolve) => worker.onmessage = ({ data }) => { resolve(data); worker.terminate(); });
    }`,
    "lib/node/relay.ts": relay("./pid.ts", " relayed"),
    "lib/node/pid.ts": `const libc = Deno.dlopen("libc.so.6", { getpid: { parameters: [], result: "i32" } });
      const scope = self as unknown as { postMessage(value: string): void };
      scope.postMessage(libc.symbols.getpid() === Deno.pid ? "own process" : "another process");`,
  };
  const code = await withTree(files, (root) => bundleProgram(root, "main.ts"));
  const output = await withTree({ "alone.js": code }, async (root) => {
    const args = ["run", "--no-config", "--allow-ffi", "--allow-read", `${root}/alone.js`];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    return [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  });
  assertEquals(output, ["own process relayed\n", ""]);
});

Deno.test("bundle: one name for two workers is refused, and so is a worker that starts itself", async () => {
  const start = 'new Worker(new URL("./loop.ts", import.meta.url), { type: "module" });\n';
  const main = { "main.ts": 'import "./lib/a/start.ts";\n' };
  const twice = { ...main, "lib/a/start.ts": start, "lib/a/loop.ts": "", "lib/b/start.ts": start, "lib/b/loop.ts": "" };
  await assertRejects(
    () => withTree(twice, (root) => bundleProgram(root, "main.ts")),
    Error,
    '"./loop.ts" means lib/a/loop.ts and lib/b/loop.ts: give one worker another name',
  );
  const endless = { ...main, "lib/a/start.ts": start, "lib/a/loop.ts": start };
  await assertRejects(
    () => withTree(endless, (root) => bundleProgram(root, "main.ts")),
    Error,
    "lib/a/loop.ts starts itself as a worker",
  );
});
