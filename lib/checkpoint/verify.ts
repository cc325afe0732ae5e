/**
 * Whether a checkpoint is as it was written.
 *
 *   - Every byte counts: the manifest by its own checksum, each image by its length and one checksum per MiB.
 *   - A MiB that is a hole is compared as zeros without being read.
 *   - Damage is a result, not an error: all of it is found, not only the first.
 */
import { CheckpointError, SystemError } from "../base/errors.ts";
import { CHECKED_SIZE, CHECKSUM_SIZE, Hasher } from "./checksum.ts";
import { codeOf } from "./file_error.ts";
import { ImageReader } from "./image_reader.ts";
import { checksumCount, MANIFEST_FILE, spaceSize } from "./manifest.ts";
import type { ImageRecord } from "./manifest.ts";
import { openCheckpoint } from "./store.ts";
import type { Checkpoint } from "./store.ts";
import { zeroChecksums } from "./zeros.ts";

/** Something that is not as it was written. */
export interface Finding {
  /** The server whose memory it was; "" for the manifest. */
  readonly server: string;
  /** The file in the checkpoint's directory. */
  readonly file: string;
  /** Offset in the file of the first byte that may be wrong. */
  readonly start: number;
  /** Offset after the last one. */
  readonly end: number;
  /** What is wrong. */
  readonly what: string;
}

/** What a verification may be told. */
export interface VerifyOptions {
  /** Called now and then with how many bytes have been looked at, and how many there are. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends it with its reason. */
  readonly signal?: AbortSignal;
}

/** One finding as a sentence. */
export function describe({ server, file, start, end, what }: Finding): string {
  return `${file}${server === "" ? "" : ` (server ${server})`}, bytes ${start} to ${end}: ${what}`;
}

/**
 * Looks at every byte of the checkpoint at `path`. It is sound when there is no finding.
 *
 * @throws SystemError ENOENT when there is no such directory; the signal's reason.
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<Finding[]> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(path);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const { size } = await Deno.stat(`${path}/${MANIFEST_FILE}`).catch(() => ({ size: 0 }));
    return [{ server: "", file: MANIFEST_FILE, start: 0, end: size, what: error.message }];
  }
  const { servers } = checkpoint.manifest;
  const findings: Finding[] = [];
  const total = spaceSize(checkpoint.manifest);
  for (const record of servers) {
    const onProgress = (done: number): void => options.onProgress?.(record.base + done, total);
    findings.push(...await verifyImage(checkpoint.path, record, { ...options, onProgress }));
  }
  return findings;
}

/** The same for one image in a checkpoint's directory. */
export async function verifyImage(
  directory: string,
  record: ImageRecord,
  options: VerifyOptions = {},
): Promise<Finding[]> {
  const finding = (start: number, end: number, what: string): Finding => {
    return { server: record.name, file: record.file, start, end, what };
  };
  const { size } = record;
  try {
    const stat = await Deno.lstat(`${directory}/${record.file}`);
    if (!stat.isFile) return [finding(0, size, "it is not a file")];
    await using image = await ImageReader.open(directory, record);
    const damaged = await damagedRanges(image, Math.min(size, stat.size), options);
    return [
      ...damaged.map(({ start, end }) => finding(start, end, "its bytes are not those that were written")),
      ...stat.size < size ? [finding(stat.size, size, `it ends at ${stat.size} instead of ${size}`)] : [],
      ...stat.size > size ? [finding(size, stat.size, `it goes on to ${stat.size} instead of ${size}`)] : [],
    ];
  } catch (error) {
    const code = error instanceof SystemError ? error.code : codeOf(error);
    if (code === undefined && !(error instanceof CheckpointError)) throw error;
    return [finding(0, size, code === "ENOENT" ? "it is not there" : `it cannot be read: ${(error as Error).message}`)];
  }
}

/** The MiBs whose checksum is another one, those side by side joined; those that lie beyond `presentSize` are left out. */
async function damagedRanges(
  image: ImageReader,
  presentSize: number,
  { onProgress, signal }: VerifyOptions,
): Promise<{ start: number; end: number }[]> {
  const { record } = image;
  const hasher = await Hasher.create();
  const zeros = zeroChecksums(record.size, hasher);
  const ranges = image.dataRanges();
  const buffer = new Uint8Array(CHECKED_SIZE);
  const damaged: { start: number; end: number }[] = [];
  for (let index = 0, next = 0; index < checksumCount(record.size); index++) {
    signal?.throwIfAborted();
    const start = index * CHECKED_SIZE;
    const end = Math.min(start + CHECKED_SIZE, record.size);
    if (end > presentSize) break;
    while ((ranges[next]?.end ?? Infinity) <= start) next++;
    const isHole = (ranges[next]?.start ?? Infinity) >= end;
    const found = isHole
      ? checksumAt(zeros, index)
      : await readChecksum(image, start, buffer.subarray(0, end - start), hasher);
    const wanted = checksumAt(record.checksums, index);
    if (found.some((byte, at) => byte !== wanted[at])) {
      const last = damaged.at(-1);
      if (last?.end === start) last.end = end;
      else damaged.push({ start, end });
    }
    onProgress?.(end, record.size);
  }
  return damaged;
}

function checksumAt(table: Uint8Array, index: number): Uint8Array {
  return table.subarray(index * CHECKSUM_SIZE, (index + 1) * CHECKSUM_SIZE);
}

async function readChecksum(
  image: ImageReader,
  offset: number,
  into: Uint8Array<ArrayBuffer>,
  hasher: Hasher,
): Promise<Uint8Array> {
  await image.read(offset, into);
  return hasher.digest(into);
}
