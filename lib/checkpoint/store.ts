/**
 * A directory of checkpoints: what is in it, and what may go.
 *
 *   - A checkpoint is there under its name or not at all. What is being written or removed has a temporary name, begins
 *     with a dot, and is never listed.
 *   - A directory that has a checkpoint's name or a manifest, but no valid one, is listed as damaged. It is not removed: it
 *     may be all that is left of something.
 */
import { CheckpointError, SystemError, UsageError } from "../base/errors.ts";
import { syncDirectory } from "../sys/files.ts";
import { codeOf, onFile } from "./file_error.ts";
import { decodeManifest, MANIFEST_FILE } from "./manifest.ts";
import type { Manifest } from "./manifest.ts";
import { isLeftover, parseCheckpointName, temporaryPrefix } from "./names.ts";

/** Where checkpoints are kept when nobody says. */
export const DEFAULT_DIRECTORY = "checkpoints";
/** The name that stands for the newest checkpoint. */
export const LATEST = "latest";
/** No manifest is longer: that is one of some 5 TiB of memory. */
const MANIFEST_SIZE_MAX = 256 * 1024 * 1024;

/** A checkpoint whose manifest is as it was written; its images need not be, see verify.ts. */
export interface Checkpoint {
  /** The directory's name. */
  readonly name: string;
  /** The directory. */
  readonly path: string;
  /** What it says of itself. */
  readonly manifest: Manifest;
}

/** A directory that should be a checkpoint, and is none. */
export interface DamagedCheckpoint {
  /** The directory's name. */
  readonly name: string;
  /** The directory. */
  readonly path: string;
  /** What is wrong with it. */
  readonly reason: string;
}

/** One directory among checkpoints; it is complete if it has a `manifest`. */
export type Listed = Checkpoint | DamagedCheckpoint;

/** Whether a listed directory is a complete checkpoint. */
export function isComplete(listed: Listed): listed is Checkpoint {
  return "manifest" in listed;
}

/**
 * Reads the manifest of the checkpoint at `path`.
 *
 * @throws CheckpointError naming the file and what is wrong with it, SystemError ENOENT when there is no such directory.
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const file = `${path}/${MANIFEST_FILE}`;
  await onFile("read", path, () => Deno.stat(path));
  try {
    const { size } = await Deno.stat(file);
    if (size > MANIFEST_SIZE_MAX) throw new CheckpointError(`it has ${size} bytes, which is no manifest`);
    return { name, path, manifest: await decodeManifest(await Deno.readFile(file)) };
  } catch (error) {
    const reason = error instanceof CheckpointError ? error.message : codeOf(error);
    if (reason === undefined) throw error;
    throw new CheckpointError(`${file}: ${reason === "ENOENT" ? "it is not there" : reason}`, error);
  }
}

/**
 * All checkpoints in `directory`, newest first: by incarnation and epoch, then by time; damaged ones by the time in their
 * name. None when there is no such directory.
 *
 * @throws SystemError: EACCES, ENOTDIR and others.
 */
export async function listCheckpoints(directory: string): Promise<Listed[]> {
  const listed = await Promise.all((await directoriesIn(directory)).map((name) => look(`${directory}/${name}`, name)));
  const found = listed.filter((each) => each !== undefined);
  const sorted: Listed[] = found.filter(isComplete).sort(newestFirst);
  for (const damaged of found.filter((each) => !isComplete(each))) {
    const index = sorted.findIndex((each) => timeOf(each) <= timeOf(damaged));
    sorted.splice(index < 0 ? sorted.length : index, 0, damaged);
  }
  return sorted;
}

async function directoriesIn(directory: string): Promise<string[]> {
  return await onFile("read", directory, async () => {
    try {
      const entries = await Array.fromAsync(Deno.readDir(directory));
      return entries.filter(({ name, isDirectory }) => isDirectory && !name.startsWith(".")).map(({ name }) => name)
        .sort();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  });
}

/** What is at `path`; undefined when it has gone in the meantime, or has nothing to do with us (such as lost+found). */
async function look(path: string, name: string): Promise<Listed | undefined> {
  try {
    return await openCheckpoint(path);
  } catch (error) {
    if (error instanceof CheckpointError) {
      const isOurs = parseCheckpointName(name) !== undefined || await hasManifest(path);
      return isOurs ? { name, path, reason: error.message } : undefined;
    }
    if (error instanceof SystemError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function hasManifest(path: string): Promise<boolean> {
  return Deno.lstat(`${path}/${MANIFEST_FILE}`).then(() => true, () => false);
}

/** To the second, as damaged ones have it in their name. */
function timeOf(listed: Listed): number {
  if (!isComplete(listed)) return parseCheckpointName(listed.name)?.timeMs ?? -Infinity;
  return Math.floor(listed.manifest.timeMs / 1000) * 1000;
}

function newestFirst({ manifest: a }: Checkpoint, { manifest: b }: Checkpoint): number {
  return b.incarnation - a.incarnation || b.epoch - a.epoch || b.timeMs - a.timeMs;
}

/**
 * The checkpoint of that name, or the newest for {@linkcode LATEST}, and all that are older, newest first.
 *
 * @throws CheckpointError when there is none; UsageError for a path instead of a name.
 */
export async function checkpointsFrom(directory: string, name: string): Promise<readonly [Listed, ...Listed[]]> {
  if (name.includes("/")) {
    throw new UsageError(`${name} is a path; give the checkpoint's name, and its directory by --dir`);
  }
  const listed = await listCheckpoints(directory);
  const index = name === LATEST ? 0 : listed.findIndex((each) => each.name === name);
  const [first, ...older] = index < 0 ? [] : listed.slice(index);
  if (first !== undefined) return [first, ...older];
  const next = listed.length === 0
    ? `it has none at all; name another directory with --dir`
    : `see what there is: dsm checkpoint list --dir ${directory}`;
  throw new CheckpointError(`no checkpoint ${name === LATEST ? "" : `${name} `}in ${directory}; ${next}`);
}

/**
 * The checkpoint of that name, or the newest for {@linkcode LATEST}.
 *
 * @throws CheckpointError when there is none or its manifest is damaged; as {@linkcode checkpointsFrom}.
 */
export async function findCheckpoint(directory: string, name: string): Promise<Checkpoint> {
  const [found] = await checkpointsFrom(directory, name);
  if (!isComplete(found)) throw new CheckpointError(`the checkpoint ${found.name} is damaged: ${found.reason}`);
  return found;
}

/**
 * Removes all complete checkpoints but the newest `keep`, of which there is at least 1, and says which.
 *
 * @throws SystemError: EACCES and others.
 */
export async function pruneCheckpoints(directory: string, keep: number): Promise<Checkpoint[]> {
  const complete = (await listCheckpoints(directory)).filter(isComplete);
  const old = complete.slice(Math.max(1, keep));
  for (const { name, path } of old.toReversed()) {
    const temporary = `${directory}/${temporaryPrefix()}${name.replaceAll("-", "")}`;
    await onFile("remove", path, async () => {
      await Deno.rename(path, temporary);
      await syncDirectory(directory); // or a power cut could bring it back under its name, without its images
      await Deno.remove(temporary, { recursive: true });
    });
  }
  return old;
}

/** Removes the temporary directories that processes left when they were killed. */
export async function removeLeftovers(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith(".")) continue;
    const path = `${directory}/${name}`;
    const { mtime } = await Deno.stat(path).catch(() => ({ mtime: null }));
    if (mtime === null || !isLeftover(name, mtime.getTime(), Date.now())) continue;
    await Deno.remove(path, { recursive: true }).catch(() => {}); // somebody else's to remove, or just removed by them
  }
}
