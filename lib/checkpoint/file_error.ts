/** What the kernel refuses about files, as an error for people: which file, which errno, what to do next. */
import { SystemError } from "../base/errors.ts";

/** What to do about an errno, where there is something. */
const NEXT: Readonly<Record<string, string>> = {
  ENOSPC: "free some space there, or remove old checkpoints: dsm checkpoint prune --keep N",
  EDQUOT: "your quota there is used up: remove old checkpoints: dsm checkpoint prune --keep N",
  EIO: "the disk failed; dmesg tells more. Use another directory: --dir DIR",
  EACCES: "it belongs to somebody else (ls -ld); run dsm as its owner, or use another directory: --dir DIR",
  EPERM: "it belongs to somebody else (ls -ld); run dsm as its owner, or use another directory: --dir DIR",
  EROFS: "it is mounted read-only; use another directory: --dir DIR",
  ENOENT: "see which checkpoints there are: dsm checkpoint list",
  ENOTEMPTY: "there is one of that second and epoch already: another logger writes there too",
  ENOTDIR: "name a directory: --dir DIR",
  EMFILE: "this process has too many files open (ulimit -n)",
};

/**
 * The error of something that was being done to `path`: `what` is "write", "read" and so on. What is not an errno, such as
 * an error of ours or the reason of a signal, stays what it is.
 */
export function fileError(what: string, path: string, error: unknown): unknown {
  const code = codeOf(error);
  if (code === undefined) return error;
  const next = NEXT[code];
  return new SystemError(what, code, `cannot ${what} ${path}: ${code}${next ? `; ${next}` : ""}`, error);
}

/** The errno's name in an error of Deno's or of `node:fs`; undefined when it is another kind of error. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof SystemError || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/** Does `work` on `path`, and turns what goes wrong into a {@linkcode fileError}. */
export async function onFile<T>(what: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(what, path, error);
  }
}
