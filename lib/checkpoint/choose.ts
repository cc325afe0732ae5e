/**
 * Which checkpoint to restore: one is looked at in whole before a byte of it is used.
 *
 * A damaged one is refused. To take an older one instead is for the user to say: it is another state of the program.
 */
import { CheckpointError } from "../base/errors.ts";
import type { ImageRecord } from "./manifest.ts";
import { checkpointsFrom, findCheckpoint, isComplete } from "./store.ts";
import type { Checkpoint, Listed } from "./store.ts";
import { describe, verify, verifyImage } from "./verify.ts";
import type { VerifyOptions } from "./verify.ts";

/** How many findings an error tells in full. */
const TOLD_COUNT_MAX = 3;

/** What may be told when choosing. */
export interface ChoiceOptions {
  /** Whether the newest sound one before it does as well. */
  readonly mayFallBack?: boolean;
  /** Hears why one was passed over. */
  readonly onRefused?: (reason: string) => void;
  /** How to look at one; for a progress bar of its own. */
  readonly verify?: typeof verify;
  /** Ends it with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * The checkpoint of that name, or the newest for `latest`, verified.
 *
 * @throws CheckpointError naming server, file and byte range when it is damaged (with `mayFallBack`: all older ones as well),
 * or when there is none.
 */
export async function soundCheckpoint(
  directory: string,
  name: string,
  options: ChoiceOptions = {},
): Promise<Checkpoint> {
  const { mayFallBack = false, onRefused, verify: look = verify, signal } = options;
  for (const listed of await checkpointsFrom(directory, name)) {
    const damage = await damageOf(listed, look, signal);
    if (isComplete(listed) && damage === undefined) return listed;
    const reason = `the checkpoint ${listed.name} is damaged: ${damage}`;
    if (!mayFallBack) throw new CheckpointError(`${reason}; --previous takes the newest sound one before it`);
    onRefused?.(reason);
  }
  throw new CheckpointError(
    `no checkpoint in ${directory} is sound; dsm checkpoint verify NAME shows what is left of one`,
  );
}

async function damageOf(listed: Listed, look: typeof verify, signal?: AbortSignal): Promise<string | undefined> {
  if (!isComplete(listed)) return listed.reason;
  const findings = await look(listed.path, signal === undefined ? {} : { signal });
  return findings.length === 0 ? undefined : toldInShort(findings.map(describe));
}

function toldInShort(sentences: readonly string[]): string {
  const told = sentences.slice(0, TOLD_COUNT_MAX).join("; ");
  return sentences.length > TOLD_COUNT_MAX ? `${told}; and ${sentences.length - TOLD_COUNT_MAX} more` : told;
}

/**
 * The image a server starts with: the one of its own `host:port`, or the one at `index` of the layout when that is given;
 * verified, the others are not looked at. Open it with ImageReader.open(checkpoint.path, record).
 *
 * @throws CheckpointError when there is no such image or it is damaged.
 */
export async function soundImage(
  directory: string,
  name: string,
  server: string,
  index?: number,
  options?: VerifyOptions,
): Promise<{ readonly checkpoint: Checkpoint; readonly record: ImageRecord }> {
  const checkpoint = await findCheckpoint(directory, name);
  const { servers } = checkpoint.manifest;
  const record = index === undefined ? servers.find((each) => each.name === server) : servers[index];
  if (record === undefined) {
    const names = servers.map((each, at) => `${at} ${each.name}`).join(", ");
    const wanted = index === undefined ? `of ${server}` : index;
    throw new CheckpointError(
      `the checkpoint ${checkpoint.name} has no image ${wanted}; give one of ${names} by --image`,
    );
  }
  const findings = await verifyImage(checkpoint.path, record, options);
  if (findings.length === 0) return { checkpoint, record };
  throw new CheckpointError(`the checkpoint ${checkpoint.name} is damaged: ${toldInShort(findings.map(describe))}`);
}
