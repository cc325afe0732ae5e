/** File systems that a test mounts for itself: small ones to be filled, odd ones to be tried. */
import { assert } from "@std/assert";
import { TempDir, works } from "./machine.ts";

/** Whether this process may mount at all. */
export const mayMount: boolean = works("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt");

/** A file system of its own, mounted on a temporary directory while `use` runs. @param mount the commands that mount it. */
export async function withMount<T>(mount: (path: string) => string[][], use: (dir: TempDir) => Promise<T>): Promise<T> {
  await using dir = new TempDir();
  const run = async (args: readonly string[]): Promise<void> => {
    const [program = "", ...rest] = args;
    const { success, stderr } = await new Deno.Command(program, { args: rest }).output();
    assert(success, `${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  };
  const mounted = { path: dir.file("mounted"), file: (name: string) => dir.file(`mounted/${name}`) } as TempDir;
  await Deno.mkdir(mounted.path);
  for (const args of mount(dir.path)) await run(args);
  try {
    return await use(mounted);
  } finally {
    await run(["umount", mounted.path]);
  }
}

/** A tmpfs of `size`, such as `1m`. */
export function small(size: string): (path: string) => string[][] {
  return (path) => [["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", `${path}/mounted`]];
}
