/** `ftok` of a file of this host. */
import { SystemError } from "../../base/errors.ts";
import { ftok as keyOf } from "../../ipc/common/ftok.ts";

/**
 * The key that C's `ftok` makes of the file `path` and of the last 8 bits of `id`.
 *
 * @throws SystemError ENOENT, EACCES: there is no such file, or none that may be looked at.
 */
export async function ftok(path: string, id: number): Promise<number> {
  try {
    const { ino, dev } = await Deno.stat(path);
    return keyOf(ino ?? 0, dev, id);
  } catch (error) {
    const code = error instanceof Deno.errors.PermissionDenied ? "EACCES" : "ENOENT";
    throw new SystemError("ftok", code, `cannot make a key of ${path}: ${code}; name a file that is there`, error);
  }
}
