/** tools/check_layers.ts: what it accepts, and every kind of tree it must refuse. */
import { assertEquals } from "@std/assert";
import { checkLayers } from "../../tools/check_layers.ts";

/** The problems of a tree made of `files`, paths to contents. */
async function problemsOf(files: Readonly<Record<string, string>>): Promise<string[]> {
  const root = await Deno.makeTempDir({ prefix: "dsm layers " });
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${root}/${path}`, text);
    }
    return await checkLayers(await Deno.realPath(root));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const EMPTY = "export {};\n";

Deno.test("layers: a tree that keeps the rules has no problem", async () => {
  const problems = await problemsOf({
    "main.ts": 'import "./roles/server.ts";\nDeno.exit(0);\n',
    "mod.ts": 'export * from "./lib/node/cluster/cluster.ts";\n',
    "roles/server.ts":
      'import "../lib/cli/command.ts";\nimport "../lib/node/cluster/cluster.ts";\nimport "./server/start.ts";\n',
    "roles/server/start.ts": EMPTY,
    "lib/cli/command.ts": 'import "../base/clock.ts";\nsetTimeout(() => {}, 1);\n',
    "lib/node/cluster/cluster.ts":
      'import "./inner/part.ts";\nnew Worker(new URL("./inner/part.ts", import.meta.url));\n',
    "lib/node/cluster/inner/part.ts": 'import "../../../sys/libc.ts";\n',
    "lib/sys/libc.ts": 'Deno.dlopen("", {});\n',
    "lib/base/clock.ts": "Date.now();\n",
    "lib/wire/frame.ts": 'import "../base/errors.ts";\n// Date.now() in a comment\nconst text = "Math.random";\n',
    "lib/base/errors.ts": EMPTY,
  });
  assertEquals(problems, []);
});

Deno.test("layers: an import upwards is refused, types included", async () => {
  const problems = await problemsOf({
    "lib/base/errors.ts": EMPTY,
    "lib/memory/region.ts": `${EMPTY}\nimport type {} from "../node/memory/server.ts";\n`,
    "lib/node/memory/server.ts": 'import "../../../roles/server.ts";\nimport "../../base/errors.ts";\n',
    "roles/server.ts": EMPTY,
  });
  assertEquals(problems, [
    "lib/memory/region.ts:3: imports lib/node/memory/server.ts: lib/memory is below lib/node/memory",
    "lib/node/memory/server.ts:1: imports roles/server.ts: lib/node/memory is below roles",
  ]);
});

Deno.test("layers: the inside of another layer's folder is private to it", async () => {
  const problems = await problemsOf({
    "lib/net/tls/handshake.ts": EMPTY,
    "lib/node/memory/server.ts": 'import "../../net/tls/handshake.ts";\n',
  });
  assertEquals(problems, [
    "lib/node/memory/server.ts:1: imports lib/net/tls/handshake.ts: what is in a folder of lib/net is private to lib/net",
  ]);
});

Deno.test("layers: the command line layer knows only the base, and main.ts not the library", async () => {
  const problems = await problemsOf({
    "lib/cli/parse.ts": 'import "../config/file.ts";\n',
    "lib/config/file.ts": EMPTY,
    "main.ts": 'import "./mod.ts";\n',
    "mod.ts": EMPTY,
  });
  assertEquals(problems, [
    "lib/cli/parse.ts:1: imports lib/config/file.ts: lib/cli may not import lib/config",
    "main.ts:1: imports mod.ts: main.ts may not import mod.ts",
  ]);
});

Deno.test("layers: a pure folder neither does impure things nor imports what does", async () => {
  const problems = await problemsOf({
    "lib/base/clock.ts": EMPTY,
    "lib/sys/libc.ts": EMPTY,
    "lib/wire/frame.ts": 'import "../base/clock.ts";\nimport "../sys/libc.ts";\nconst at = Date.now();\n',
    "lib/ipc/queues/queue.ts": "setTimeout(() => {}, Math.random());\n",
    "lib/coherence/home.ts": "await Deno.connectTls({ port: 1 });\n",
  });
  assertEquals(problems, [
    "lib/coherence/home.ts:1: Deno.connectTls has no place in a pure folder: have it handed in",
    "lib/ipc/queues/queue.ts:1: setTimeout has no place in a pure folder: have it handed in",
    "lib/ipc/queues/queue.ts:1: Math.random has no place in a pure folder: have it handed in",
    "lib/wire/frame.ts:1: imports lib/base/clock.ts: a pure folder imports only pure ones",
    "lib/wire/frame.ts:2: imports lib/sys/libc.ts: a pure folder imports only pure ones",
    "lib/wire/frame.ts:3: Date.now has no place in a pure folder: have it handed in",
  ]);
});

Deno.test("layers: pointers stay in lib/sys and Deno.exit in main.ts", async () => {
  const problems = await problemsOf({
    "lib/memory/region.ts": "export type Address = Deno.PointerValue;\nDeno.UnsafePointer.of(new Uint8Array(1));\n",
    "roles/server.ts": "Deno.exit(1);\n",
  });
  assertEquals(problems, [
    "lib/memory/region.ts:1: Deno.PointerValue belongs in lib/sys",
    "lib/memory/region.ts:2: Deno.UnsafePointer belongs in lib/sys",
    "roles/server.ts:1: Deno.exit belongs in main.ts: return an exit status, or throw",
  ]);
});

Deno.test("layers: a worker counts as an import, and a folder nobody knows is named", async () => {
  const problems = await problemsOf({
    "lib/helpers/misc.ts": EMPTY,
    "lib/memory/region.ts": 'new Worker(new URL("../node/memory/loop.ts", import.meta.url), { type: "module" });\n',
    "lib/node/memory/loop.ts": EMPTY,
  });
  assertEquals(problems, [
    "lib/helpers/misc.ts:1: is in no layer: add its folder to tools/check_layers.ts",
    "lib/memory/region.ts:1: imports lib/node/memory/loop.ts: lib/memory is below lib/node/memory",
  ]);
});
