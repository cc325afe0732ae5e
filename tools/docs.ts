/**
 * The documents: `deno run -A tools/docs.ts` writes what is made from the code, `--check` (deno task docs) only looks.
 *
 *   - docs/PROTOCOL.md comes from docs/protocol.template.md and from the code: every `@NAME@` in the template stands for a
 *     constant, a table or bytes that the code itself encodes. Nothing of the protocol is typed twice.
 *   - include/distributed_shm.h comes from lib/wire/simple.ts.
 *   - `--check` fails when one of them is out of date, and for what README.md and docs/*.md mention and is not there:
 *     files, anchors, tasks, and names of code that a link says are in a file.
 */
import config from "../deno.json" with { type: "json" };
import { command } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import { checkDocument } from "./docs/check.ts";
import { renderProtocol } from "./docs/protocol.ts";
import { simpleHeader } from "./docs/simple.ts";
import { ROOT, runTask } from "./task.ts";

const TEMPLATE = "docs/protocol.template.md";
const RENEW = "deno run -A tools/docs.ts";

/** README.md and everything in docs/, relative to `root`. */
export async function documentsUnder(root: string): Promise<string[]> {
  const inDocs = await Array.fromAsync(Deno.readDir(`${root}/docs`), ({ name }) => `docs/${name}`);
  return ["README.md", ...inDocs.filter((name) => name.endsWith(".md")).sort()];
}

/** What is made from the code: each file, and what it is to be. */
async function made(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ["docs/PROTOCOL.md", await renderProtocol(await Deno.readTextFile(`${ROOT}/${TEMPLATE}`))],
    ["include/distributed_shm.h", simpleHeader()],
  ]);
}

async function check(wanted: ReadonlyMap<string, string>): Promise<string[]> {
  const stale: string[] = [];
  for (const [file, text] of wanted) {
    const present = await Deno.readTextFile(`${ROOT}/${file}`).catch(() => "");
    if (present !== text) stale.push(`${file}: out of date; renew it: ${RENEW}`);
  }
  const tasks = Object.keys(config.tasks);
  const found = await Promise.all((await documentsUnder(ROOT)).map((file) => checkDocument(ROOT, file, tasks)));
  return [...stale, ...found.flat()];
}

const docs = command({
  name: "docs",
  about: "write docs/PROTOCOL.md and include/distributed_shm.h, or check the documents",
  examples: [["deno task docs", "check the documents"], [RENEW, "renew what is made from the code"]],
  options: { check: { kind: "boolean", about: "write nothing; fail where a document is not true" } },
  async run(_args, options) {
    const wanted = await made();
    if (!options.check) {
      for (const [file, text] of wanted) {
        await Deno.writeTextFile(`${ROOT}/${file}`, text);
        print(`wrote ${file}`);
      }
      return 0;
    }
    const problems = await check(wanted);
    for (const problem of problems) say(problem);
    if (problems.length === 0) print("the documents are up to date");
    return problems.length === 0 ? 0 : 1;
  },
});

if (import.meta.main) await runTask(docs);
