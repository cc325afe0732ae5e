/** What a test finds on this machine: the repository, a directory of its own, other programs. Nothing here needs FFI. */
import { isFfiAvailable } from "../../lib/sys/libc.ts";

/** Whether C functions can be called. Asked before any test begins, so that none is blamed for the library this loads. */
export const HAS_FFI: boolean = isFfiAvailable();

/** The repository's root, with a slash at its end. */
export const ROOT: string = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** A directory of this test's own. */
export class TempDir implements AsyncDisposable {
  readonly path: string;
  constructor() {
    this.path = Deno.makeTempDirSync({ prefix: "dsm-test-" });
  }
  /** The path of a file in it. */
  file(name: string): string {
    return `${this.path}/${name}`;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Whether a program of that name can be run. */
export function have(program: string): boolean {
  try {
    return new Deno.Command("which", { args: [program], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** Whether `command` works here, such as one that makes a namespace. */
export function works(...command: string[]): boolean {
  const [program = "", ...args] = command;
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null", stdin: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** Registers a test that needs something of this machine; where that is not there a line says so. */
export function testWhere(isThere: boolean, lacking: string, name: string, run: () => Promise<void>): void {
  if (!isThere) console.log(`skipped: ${name} (${lacking})`);
  Deno.test({ name, ignore: !isThere, fn: run });
}
