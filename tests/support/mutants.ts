/**
 * Mutants: a rule of the source broken in a copy of the tree, to see a test find it.
 *
 * A mutant is a change of one place; a place that is no longer there fails the test, so a mutant cannot come to nothing
 * unseen.
 */
import { assert, assertStrictEquals } from "@std/assert";
import { ROOT, runCommand, TempDir } from "./processes.ts";

/** One place that is changed. */
export interface Change {
  /** In which file. */
  readonly file: string;
  /** What it reads, in one place only. */
  readonly from: string;
  /** What it is to read. */
  readonly to: string;
}

const TREE = [
  "lib",
  "roles",
  "tests/process/programs",
  "tests/support",
  "tests/sys",
  "tests/unit/registry",
  "third_party",
];
const FILES = ["main.ts", "mod.ts", "deno.json", "deno.lock"];

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(from)) {
    if (entry.isDirectory) await copyTree(`${from}/${entry.name}`, `${to}/${entry.name}`);
    else await Deno.copyFile(`${from}/${entry.name}`, `${to}/${entry.name}`);
  }
}

/** A copy of the tree with that change. */
export async function mutatedTree({ file, from, to }: Change): Promise<TempDir> {
  const tree = new TempDir();
  for (const folder of TREE) await copyTree(`${ROOT}${folder}`, tree.file(folder));
  for (const each of FILES) await Deno.copyFile(`${ROOT}${each}`, tree.file(each));
  const source = await Deno.readTextFile(tree.file(file));
  assertStrictEquals(source.split(from).length, 2, `${file} has not just one place that reads: ${from}`);
  await Deno.writeTextFile(tree.file(file), source.replace(from, () => to));
  return tree;
}

/** Fails unless `test` fails in the tree at `root`, and says so where `pattern` looks for it. */
export async function requireFailure(root: string, test: string, pattern = /\d+ failed/): Promise<void> {
  const ran = await runCommand([Deno.execPath(), "test", "-A", "--no-check", test], { cwd: root });
  assert(ran.code !== 0 && pattern.test(ran.stdout), `${test} does not see it: ${ran.stdout}${ran.stderr}`);
}
