/**
 * The program as one JavaScript file, its workers inside it.
 *
 * `deno bundle` follows imports but not workers. Each `new Worker(new URL("./x.ts", import.meta.url), …)` under lib/ is
 * bundled by itself and takes the place of its URL as a Blob, so that the file needs nothing beside it.
 */

/** A worker as the source names it. */
interface WorkerSource {
  /** The text between the quotes, such as `./x.ts`. */
  readonly literal: string;
  /** The module, relative to the root. */
  readonly file: string;
}

const WORKER_URL = /new URL\(\s*(["'])(\.{1,2}\/[^"']+\.ts)\1,\s*import\.meta\.url\s*\)/g;
const WORKER = new RegExp(String.raw`new Worker\(\s*${WORKER_URL.source}`, "g");

/** Bundles `entry`, a path relative to `root`, which is an absolute path. */
export async function bundleProgram(root: string, entry: string): Promise<string> {
  const workers = await findWorkers(root);
  return await bundleWithWorkers(root, entry, workers, []);
}

/** `parents` are the modules whose bundles this one goes into: a worker that starts itself has no end. */
async function bundleWithWorkers(
  root: string,
  entry: string,
  workers: readonly WorkerSource[],
  parents: readonly string[],
): Promise<string> {
  if (parents.includes(entry)) throw new Error(`${entry} starts itself as a worker: it cannot be put into one file`);
  const code = await bundle(root, entry);
  const urls = new Map<string, string>();
  for (const [, , literal = ""] of code.matchAll(WORKER_URL)) {
    const file = workers.find((each) => each.literal === literal)?.file;
    if (file === undefined || urls.has(literal)) continue;
    urls.set(literal, blobUrl(await bundleWithWorkers(root, file, workers, [...parents, entry])));
  }
  return code.replace(WORKER_URL, (whole: string, _quote: string, literal: string) => urls.get(literal) ?? whole);
}

async function bundle(root: string, entry: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "deno", entry],
    cwd: root,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`deno bundle ${entry}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function blobUrl(code: string): string {
  return `new URL(URL.createObjectURL(new Blob([${JSON.stringify(code)}], { type: "text/javascript" })))`;
}

/** Every worker that a module under lib/ starts. The bundle keeps only the literal, so one literal must mean one module. */
async function findWorkers(root: string): Promise<WorkerSource[]> {
  const found = new Map<string, string>();
  for (const file of modulesIn(root, "lib").sort()) {
    for (const [, , literal = ""] of (await Deno.readTextFile(`${root}/${file}`)).matchAll(WORKER)) {
      const worker = new URL(literal, `file:///${file}`).pathname.slice(1);
      const other = found.get(literal) ?? worker;
      if (other !== worker) throw new Error(`"${literal}" means ${other} and ${worker}: give one worker another name`);
      found.set(literal, worker);
    }
  }
  return [...found].map(([literal, file]) => ({ literal, file }));
}

function modulesIn(root: string, folder: string): string[] {
  return [...Deno.readDirSync(`${root}/${folder}`)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return modulesIn(root, `${folder}/${name}`);
    return name.endsWith(".ts") ? [`${folder}/${name}`] : [];
  });
}
