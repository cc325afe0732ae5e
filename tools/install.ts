/**
 * Installs dsm: `deno run -A tools/install.ts [--prefix DIR] [--links]`.
 *
 * With `--links` the names of the older programs become symbolic links to it. What stands under such a name and is not a
 * link to dsm is never touched: `server` or `client` may well be somebody else's.
 */
import { command } from "../lib/cli/command.ts";
import { print, say } from "../lib/cli/output.ts";
import { ANCESTOR_NAMES } from "../roles/table.ts";
import { build } from "./compile.ts";
import { absolute, runTask } from "./task.ts";

/** What became of one link. */
export interface LinkResult {
  /** The link's path. */
  readonly path: string;
  /** Whether it leads to dsm now. */
  readonly linked: boolean;
}

/** Makes each of `names` in `folder` a link to `dsm` there, unless something else has that name. */
export async function linkNames(folder: string, names: readonly string[]): Promise<LinkResult[]> {
  return await Promise.all(names.map(async (name) => {
    const path = `${folder}/${name}`;
    try {
      await Deno.symlink("dsm", path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      const target = await Deno.readLink(path).catch(() => undefined); // not a link
      return { path, linked: target === "dsm" };
    }
    return { path, linked: true };
  }));
}

const install = command({
  name: "install",
  about: "build dsm and install it",
  examples: [
    ["deno task install", "as ~/.local/bin/dsm"],
    ["deno task install --prefix /usr/local --links", "as /usr/local/bin/dsm, with links named server, client, …"],
  ],
  options: {
    prefix: { kind: "string", about: "the directory above bin; ~/.local unless given", optional: true },
    links: { kind: "boolean", about: `also link ${ANCESTOR_NAMES.join(", ")}` },
  },
  async run(_args, { prefix, links }) {
    const folder = `${absolute(prefix ?? `${Deno.env.get("HOME") ?? ""}/.local`)}/bin`;
    await Deno.mkdir(folder, { recursive: true });
    const how = await build(`${folder}/dsm`, { portable: false });
    print(`installed ${folder}/dsm ${how}`);
    const results = links ? await linkNames(folder, ANCESTOR_NAMES) : [];
    for (const { path, linked } of results) {
      if (linked) print(`linked ${path}`);
      else say(`left ${path} alone: it is not a link to dsm`);
    }
    const onPath = (Deno.env.get("PATH") ?? "").split(":").includes(folder);
    if (!onPath) say(`${folder} is not on your PATH`);
    return results.every(({ linked }) => linked) ? 0 : 1;
  },
});

if (import.meta.main) await runTask(install);
