/**
 * The portable executable: a launcher in shell, the bundled program and the gzipped runtime in one file.
 *
 * For machines that cannot fetch the base binary of `deno compile`. It needs /bin/sh, gzip and a place to unpack to.
 */

/** What goes into a portable executable. */
export interface Portable {
  /** The version it is marked with. */
  readonly version: string;
  /** The program as one JavaScript file. */
  readonly code: string;
  /** Deno's permission flags. */
  readonly permissions: readonly string[];
}

/** The room that is kept for each number in the launcher, so that its size does not depend on them. */
const NUMBER_WIDTH = 10;

/** Writes the portable executable to `output`, an absolute path. */
export async function writePortable(portable: Portable, output: string): Promise<void> {
  const runtimeBytes = await Deno.readFile(Deno.execPath());
  const programBytes = new TextEncoder().encode(portable.code);
  const [program, runtime] = [await gzip(programBytes), await gzip(runtimeBytes)];
  const template = await Deno.readTextFile(new URL("portable.sh", import.meta.url));
  const texts = {
    VERSION: portable.version,
    TARGET: Deno.build.target,
    DENO: Deno.version.deno,
    RUNTIME: await digest(runtimeBytes),
    PROGRAM: await digest(programBytes),
    PERMISSIONS: portable.permissions.join(" "),
  };
  const launcher = (launcherSize: number) =>
    fill(template, texts, {
      SIZE: launcherSize + program.length + runtime.length,
      PROGRAM_AT: launcherSize + 1,
      PROGRAM_SIZE: program.length,
      RUNTIME_AT: launcherSize + program.length + 1,
    });
  const bytes = launcher(launcher(0).length);
  await Deno.writeFile(output, new Blob([bytes, program, runtime]).stream(), { mode: 0o755 });
}

function fill(
  template: string,
  texts: Readonly<Record<string, string>>,
  numbers: Readonly<Record<string, number>>,
): Uint8Array<ArrayBuffer> {
  const filled = template.replace(/@([A-Z_]+)@/g, (_, name: string) => {
    const value = texts[name] ?? numbers[name]?.toString().padEnd(NUMBER_WIDTH);
    if (value === undefined) throw new Error(`tools/portable.sh asks for @${name}@, which nobody knows`);
    return value;
  });
  return new TextEncoder().encode(filled);
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(hash).toHex().slice(0, 32);
}

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
