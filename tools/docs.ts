/**
 * The documents: `deno run -A tools/docs.ts` writes docs/PROTOCOL.md, `--check` (deno task docs) only looks.
 *
 *   - docs/PROTOCOL.md comes from docs/protocol.template.md and from the code: every `@NAME@` in the template stands for a
 *     constant, a table or bytes that the code itself encodes. Nothing of the protocol is typed twice.
 *   - `--check` fails when docs/PROTOCOL.md is out of date, and for what README.md and docs/*.md mention and is not there:
 *     files, anchors, tasks, and names of code that a link says are in a file.
 */
import config from "../deno.json" with { type: "json" };
import { command } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import { checkDocument } from "./docs/check.ts";
import { renderProtocol } from "./docs/protocol.ts";
import { ROOT, runTask } from "./task.ts";

const TEMPLATE = "docs/protocol.template.md";
const OUTPUT = "docs/PROTOCOL.md";
const RENEW = "deno run -A tools/docs.ts";

/** README.md and everything in docs/, relative to `root`. */
export async function documentsUnder(root: string): Promise<string[]> {
  const inDocs = await Array.fromAsync(Deno.readDir(`${root}/docs`), ({ name }) => `docs/${name}`);
  return ["README.md", ...inDocs.filter((name) => name.endsWith(".md")).sort()];
}

async function check(wanted: string): Promise<string[]> {
  const present = await Deno.readTextFile(`${ROOT}/${OUTPUT}`).catch(() => "");
  const stale = present === wanted ? [] : [`${OUTPUT}: out of date; renew it: ${RENEW}`];
  const tasks = Object.keys(config.tasks);
  const found = await Promise.all((await documentsUnder(ROOT)).map((file) => checkDocument(ROOT, file, tasks)));
  return [...stale, ...found.flat()];
}

const docs = command({
  name: "docs",
  about: "write docs/PROTOCOL.md, or check the documents",
  examples: [["deno task docs", "check the documents"], [RENEW, "renew docs/PROTOCOL.md"]],
  options: { check: { kind: "boolean", about: "write nothing; fail where a document is not true" } },
  async run(_args, options) {
    const wanted = await renderProtocol(await Deno.readTextFile(`${ROOT}/${TEMPLATE}`));
    if (!options.check) {
      await Deno.writeTextFile(`${ROOT}/${OUTPUT}`, wanted);
      print(`wrote ${OUTPUT}`);
      return 0;
    }
    const problems = await check(wanted);
    for (const problem of problems) say(problem);
    if (problems.length === 0) print("the documents are up to date");
    return problems.length === 0 ? 0 : 1;
  },
});

if (import.meta.main) await runTask(docs);
