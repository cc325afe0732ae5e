/**
 * Checks the layers of the project: `deno run -A tools/check_layers.ts [ROOT]`.
 *
 *   - A module imports only from layers below its own, or from its own folder.
 *   - A folder inside another layer's folder is private to it.
 *   - The pure folders hold no socket, timer, clock, randomness or pointer, and import nothing that does.
 *   - Pointers and FFI stay in lib/sys; Deno.exit stays in main.ts.
 *
 * Imports come from `deno info`, workers from the `new Worker(new URL("./x.ts", import.meta.url))` that starts them. What
 * code mentions is looked for outside comments and strings. Prints `file:line: message` and fails where a rule is broken.
 */

/** The layers, lowest first; a file at the top is a layer of its own. */
const LAYERS: readonly string[] = [
  "lib/base",
  "lib/sys",
  "lib/wire",
  "lib/config",
  "lib/memory",
  "lib/ipc/common",
  "lib/ipc/segments",
  "lib/ipc/queues",
  "lib/registry",
  "lib/coherence",
  "lib/checkpoint",
  "lib/net",
  "lib/node/common",
  "lib/node/queues",
  "lib/node/registry_client",
  "lib/node/memory",
  "lib/node/cluster",
  "lib/node/logger",
  "lib/node/config",
  "lib/node/registry",
  "lib/node/simple",
  "lib/launch",
  "lib/cli",
  "roles",
  "mod.ts",
  "main.ts",
];

/** Layers that may import less than all below them. */
const ONLY: ReadonlyMap<string, readonly string[]> = new Map([
  ["lib/cli", ["lib/base"]],
  ["main.ts", LAYERS.filter((layer) => layer !== "mod.ts")],
]);

const PURE = ["lib/base", "lib/wire", "lib/config", "lib/ipc", "lib/registry", "lib/coherence"] as const;

/** Where the pure folders' clock, randomness and log come from; only impure code may import them. */
const IMPURE_FILES = ["lib/base/clock.ts", "lib/base/random.ts", "lib/base/log.ts"] as const;

/** What may be mentioned only in some places. */
interface Mention {
  readonly pattern: RegExp;
  readonly allowedIn: (file: string) => boolean;
  readonly rule: string;
}

const MENTIONS: readonly Mention[] = [
  {
    pattern: /\bDeno\.(?:dlopen|Unsafe\w+|Pointer\w+)/g,
    allowedIn: (file) => file.startsWith("lib/sys/"),
    rule: "belongs in lib/sys",
  },
  {
    pattern: /\bDeno\.exit\b/g,
    allowedIn: (file) => file === "main.ts",
    rule: "belongs in main.ts: return an exit status, or throw",
  },
  {
    pattern:
      /\b(?:Deno\.(?:listen|connect|serve)\w*|set(?:Timeout|Interval)|Date\.now|new Date\(\)|performance\.now|Math\.random|crypto\.(?:getRandomValues|randomUUID))/g,
    allowedIn: (file) => !isPure(file),
    rule: "has no place in a pure folder: have it handed in",
  },
];

/** One broken rule. */
interface Problem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** One module's import of another, both relative to the root. */
interface Import {
  readonly from: string;
  readonly to: string;
  readonly line: number;
}

function layerOf(file: string): string | undefined {
  return LAYERS.find((layer) => file === layer || file.startsWith(`${layer}/`));
}

function isPure(file: string): boolean {
  return PURE.some((folder) => file.startsWith(`${folder}/`)) && !IMPURE_FILES.some((each) => each === file);
}

/** Why `from` may not import `to`; undefined where it may. */
function objection(from: string, to: string): string | undefined {
  const [own, other] = [layerOf(from), layerOf(to)];
  if (own === undefined) return undefined; // said once for the file as a whole
  if (other === undefined) return `imports ${to}, which is in no layer`;
  if (isPure(from) && !isPure(to)) return `imports ${to}: a pure folder imports only pure ones`;
  if (own === other) return undefined;
  const allowed = ONLY.get(own) ?? LAYERS;
  if (LAYERS.indexOf(other) > LAYERS.indexOf(own)) return `imports ${to}: ${own} is below ${other}`;
  if (!allowed.includes(other)) return `imports ${to}: ${own} may not import ${other}`;
  const isInside = to.slice(other.length + 1).includes("/");
  return isInside ? `imports ${to}: what is in a folder of ${other} is private to ${other}` : undefined;
}

/** Every module of the layers, relative to `root`. */
function modulesUnder(root: string): string[] {
  const walk = (path: string): string[] =>
    [...Deno.readDirSync(`${root}/${path}`)].flatMap(({ name, isDirectory }) => {
      if (isDirectory) return walk(`${path}/${name}`);
      return name.endsWith(".ts") ? [`${path}/${name}`] : [];
    });
  const entries = [...Deno.readDirSync(root)];
  const folders = entries.filter(({ name, isDirectory }) => isDirectory && (name === "lib" || name === "roles"));
  const files = entries.filter(({ name }) => LAYERS.includes(name) && name.endsWith(".ts"));
  return [...files.map(({ name }) => name), ...folders.flatMap(({ name }) => walk(name))].sort();
}

/** The part of `deno info --json` that is read here; lines count from 0. */
interface ModuleGraph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly code?: Resolution;
      readonly type?: Resolution;
    }[];
  }[];
}

interface Resolution {
  readonly specifier?: string;
  readonly span: { readonly start: { readonly line: number } };
}

/** The imports among the project's own modules. */
async function importsOf(root: string, modules: readonly string[]): Promise<Import[]> {
  const base = `file://${encodeURI(root)}/`;
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      entry,
      modules.map((each) => `import ${JSON.stringify(base + encodeURI(each))};\n`).join(""),
    );
    const graph = await moduleGraph(root, entry);
    return graph.modules.flatMap(({ specifier, dependencies = [] }) => {
      const from = decodeURI(specifier.slice(base.length));
      if (!specifier.startsWith(base) || !modules.includes(from)) return [];
      return dependencies.flatMap(({ code, type }) => {
        const found = code ?? type;
        const to = found?.specifier;
        if (found === undefined || !to?.startsWith(base)) return [];
        return [{ from, to: decodeURI(to.slice(base.length)), line: found.span.start.line + 1 }];
      });
    }).filter(({ to }) => to.endsWith(".ts") && !to.startsWith("third_party/"));
  } finally {
    await Deno.remove(entry);
  }
}

async function moduleGraph(root: string, entry: string): Promise<ModuleGraph> {
  const config = `${root}/deno.json`;
  const hasConfig = await Deno.stat(config).then(() => true, () => false);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", ...hasConfig ? ["--config", config] : ["--no-config"], entry],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`deno info: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** The workers that `text`, the source of `from`, starts. */
function workersOf(from: string, text: string): Import[] {
  const pattern = /new Worker\(\s*new URL\(\s*"(\.{1,2}\/[^"]+\.ts)",\s*import\.meta\.url/g;
  return [...text.matchAll(pattern)].map((match) => ({
    from,
    to: new URL(match[1] ?? "", `file:///${from}`).pathname.slice(1),
    line: lineAt(text, match.index),
  }));
}

/** What `text`, the source of `file`, mentions though it may not. */
function mentionsOf(file: string, text: string): Problem[] {
  const code = withoutCommentsAndStrings(text);
  return MENTIONS.filter(({ allowedIn }) => !allowedIn(file)).flatMap(({ pattern, rule }) =>
    [...code.matchAll(pattern)].map((match) => ({
      file,
      line: lineAt(text, match.index),
      message: `${match[0]} ${rule}`,
    }))
  );
}

/** `text` with blanks in place of comments and quoted strings, every other character where it was. */
function withoutCommentsAndStrings(text: string): string {
  const pattern = /\/\/.*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;
  return text.replace(pattern, (match) => match.replace(/[^\n]/g, " "));
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

/** Every broken rule of the tree at `root`, an absolute path. */
export async function checkLayers(root: string): Promise<string[]> {
  const modules = modulesUnder(root);
  const texts = modules.map((file) => [file, Deno.readTextFileSync(`${root}/${file}`)] as const);
  const imports = [...await importsOf(root, modules), ...texts.flatMap(([file, text]) => workersOf(file, text))];
  const problems = [
    ...texts.flatMap(([file, text]) => mentionsOf(file, text)),
    ...imports.flatMap(({ from, to, line }) => {
      const message = objection(from, to);
      return message === undefined ? [] : [{ file: from, line, message }];
    }),
    ...modules.filter((file) => layerOf(file) === undefined).map((file) => ({
      file,
      line: 1,
      message: "is in no layer: add its folder to tools/check_layers.ts",
    })),
  ];
  return problems
    .sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line)
    .map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

if (import.meta.main) {
  const problems = await checkLayers(await Deno.realPath(Deno.args[0] ?? new URL("..", import.meta.url)));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) Deno.exit(1);
  console.log("the layers hold");
}
