/**
 * The highest epoch a master has ever begun, in a file of its own beside the checkpoints: written before anything of that
 * epoch exists anywhere, so that none is begun twice, whatever dies in between.
 */
import { CheckpointError } from "../base/errors.ts";
import type { EpochWord } from "../wire/epoch.ts";
import { codeOf, fileError, onFile } from "./file_error.ts";

const EPOCH_FILE = ".epoch";
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * The epoch last written to `directory`; zeros when none was.
 *
 * @throws CheckpointError when the file is not one; SystemError when it cannot be read.
 */
export async function readEpoch(directory: string): Promise<EpochWord> {
  const path = `${directory}/${EPOCH_FILE}`;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { incarnation: 0, epoch: 0 };
    throw fileError("read", path, error);
  }
  const found = parse(text);
  if (found) return found;
  throw new CheckpointError(`${path} does not name an epoch; remove it: the servers know their epochs themselves`);
}

function parse(text: string): EpochWord | undefined {
  try {
    const { incarnation, epoch } = JSON.parse(text) as Partial<EpochWord>;
    const isWord = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
    return isWord(incarnation) && isWord(epoch) ? { incarnation, epoch } : undefined;
  } catch {
    return undefined;
  }
}

/** Writes `word`, on the disk once this has resolved; makes `directory` when there is none. @throws SystemError. */
export async function writeEpoch(directory: string, word: EpochWord): Promise<void> {
  const path = `${directory}/${EPOCH_FILE}`;
  await onFile("write", path, async () => {
    await Deno.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    const temporary = `${path}.${Deno.pid}`;
    {
      using file = await Deno.open(temporary, { write: true, create: true, truncate: true, mode: FILE_MODE });
      await file.write(new TextEncoder().encode(`${JSON.stringify(word)}\n`));
      await file.syncData();
    }
    await Deno.rename(temporary, path);
    using folder = await Deno.open(directory);
    await folder.sync();
  });
}
