/**
 * Writing a checkpoint: a temporary directory that becomes the checkpoint in one step, or goes.
 *
 *   - The order: images synced, manifest written and synced, directory synced, renamed, parent synced. Whoever sees the
 *     name sees everything, whatever ends this process in between.
 *   - Two drafts in one directory have directories of their own and know nothing of each other.
 *   - The sums are the caller's: it has the bytes of a whole MiB at hand, the draft sees only those that changed.
 */
import config from "../../deno.json" with { type: "json" };
import { invariant } from "../base/assert.ts";
import { CheckpointError } from "../base/errors.ts";
import type { TableRows } from "../ipc/segments/segment_rows.ts";
import { syncDirectory } from "../sys/files.ts";
import { Hasher } from "./checksum.ts";
import { onFile } from "./file_error.ts";
import { ImageWriter } from "./image_writer.ts";
import { encodeManifest, imageFile, MANIFEST_FILE } from "./manifest.ts";
import type { ImageRecord, Manifest } from "./manifest.ts";
import { checkpointName, temporaryPrefix } from "./names.ts";
import { removeLeftovers } from "./store.ts";
import type { Checkpoint } from "./store.ts";
import { zeroChecksums } from "./zeros.ts";

/** A server whose memory is to be written. */
export type DraftServer = Pick<ImageRecord, "name" | "base" | "size" | "blockSize" | "cookie" | "startCount">;

/** What a checkpoint is to be. */
export interface DraftRequest {
  /** The life of the cluster. */
  readonly incarnation: number;
  /** The checkpoint's number. */
  readonly epoch: number;
  /** When it is taken: ms since 1970. */
  readonly timeMs: number;
  /** The table of segments at the cut. */
  readonly table: TableRows;
  /** All servers, in the order of the space. */
  readonly servers: readonly DraftServer[];
  /** A complete checkpoint of the same directory on whose images others may be built. */
  readonly previous?: Checkpoint;
  /** Ends every write with its reason. */
  readonly signal?: AbortSignal;
}

/** What a server says when its part is done: the memory it was, and who serves it. */
export type Confirmation = Pick<ImageRecord, "cookie" | "startCount">;

/** A checkpoint that is being written: `await using draft = await Draft.begin(…)`. */
export class Draft implements AsyncDisposable {
  readonly #directory: string;
  readonly #temporary: string;
  readonly #request: DraftRequest;
  readonly #hasher: Hasher;
  readonly #images: (ImageWriter | undefined)[];
  #isOver = false;

  private constructor(directory: string, temporary: string, request: DraftRequest, hasher: Hasher) {
    this.#directory = directory;
    this.#temporary = temporary;
    this.#request = request;
    this.#hasher = hasher;
    this.#images = request.servers.map(() => undefined);
  }

  /**
   * Begins one in `directory`, which is made if need be, and removes what killed processes left there.
   *
   * @throws SystemError: EACCES, ENOSPC and others.
   */
  static async begin(directory: string, request: DraftRequest): Promise<Draft> {
    const hasher = await Hasher.create();
    return await onFile("write a checkpoint into", directory, async () => {
      await makeDirectory(directory);
      await removeLeftovers(directory);
      const temporary = await Deno.makeTempDir({ dir: directory, prefix: temporaryPrefix() });
      return new Draft(directory, temporary, request, hasher);
    });
  }

  /** Whether the image of the `server`th server can be built on the previous checkpoint's: the same memory, still whole. */
  canBeIncremental(server: number): boolean {
    return this.#base(server) !== undefined;
  }

  #base(server: number): ImageRecord | undefined {
    const { name, size, cookie } = this.#server(server);
    return this.#request.previous?.manifest.servers.find((each) => {
      return each.name === name && each.size === size && each.cookie === cookie;
    });
  }

  #server(server: number): DraftServer {
    const found = this.#request.servers[server];
    invariant(found !== undefined, `the draft has no server ${server}`);
    return found;
  }

  /**
   * Begins the image of the `server`th server: as zeros, or with `isIncremental` as the previous checkpoint has it.
   *
   * @throws CheckpointError when the previous image is not as it was, SystemError when it is gone: begin a full one then.
   */
  async startImage(server: number, isIncremental: boolean): Promise<void> {
    const { size } = this.#server(server);
    const base = isIncremental ? this.#base(server) : undefined;
    invariant(this.#images[server] === undefined, `image ${server} has begun already`);
    invariant(!isIncremental || base !== undefined, `image ${server} has nothing to be built on`);
    this.#request.signal?.throwIfAborted();
    const path = `${this.#temporary}/${imageFile(server)}`;
    this.#images[server] = base === undefined
      ? await ImageWriter.full(path, { size, checksums: zeroChecksums(size, this.#hasher) })
      : await ImageWriter.incremental(
        path,
        { size, checksums: base.checksums.slice() },
        `${this.#request.previous?.path}/${base.file}`,
      );
  }

  /**
   * Writes `bytes` at `offset` of a server's image, which is not before the end of what was written to it earlier.
   * Resolves when they may change again; what the disk refuses later is thrown by a later write, or by `complete`.
   *
   * @throws SystemError: ENOSPC, EIO and others; the signal's reason.
   */
  write(server: number, offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#request.signal?.aborted) return Promise.reject(this.#request.signal.reason);
    return this.#image(server).write(offset, bytes);
  }

  /**
   * Sets the checksum (CHECKSUM_SIZE bytes) of the `mebibyte`th MiB of a server's image. One that is not set is that of
   * zeros, or what the previous checkpoint has.
   */
  setChecksum(server: number, mebibyte: number, checksum: Uint8Array): void {
    this.#image(server).setChecksum(mebibyte, checksum);
  }

  #image(server: number): ImageWriter {
    const image = this.#images[server];
    invariant(image !== undefined, `image ${server} has not begun`);
    return image;
  }

  /**
   * Makes it a checkpoint, once every server has confirmed that it is the one it was. What goes wrong ends the draft.
   *
   * @param confirmed one for each server, in their order.
   * @throws CheckpointError when a server is another one now; SystemError: ENOSPC, EIO, ENOTEMPTY (somebody else wrote one of
   * the same second and epoch) and others; the signal's reason.
   */
  async complete(confirmed: readonly Confirmation[]): Promise<Checkpoint> {
    const { previous, signal, ...request } = this.#request;
    const name = checkpointName(request);
    const path = `${this.#directory}/${name}`;
    try {
      request.servers.forEach((server, index) => requireSame(server, confirmed[index]));
      const servers = await Promise.all(request.servers.map(async (server, index) => {
        return { ...server, file: imageFile(index), ...await this.#image(index).finish() };
      }));
      const isBuiltOnPrevious = previous !== undefined && servers.some(({ method }) => method !== "full");
      const manifest: Manifest = {
        ...request,
        software: `dsm ${config.version}`,
        previous: isBuiltOnPrevious ? { name: previous.name, epoch: previous.manifest.epoch } : null,
        servers,
      };
      await onFile("write", path, async () => {
        await writeSynced(`${this.#temporary}/${MANIFEST_FILE}`, await encodeManifest(manifest));
        await syncDirectory(this.#temporary);
        signal?.throwIfAborted();
        await Deno.rename(this.#temporary, path);
        this.#isOver = true;
        await syncDirectory(this.#directory);
      });
      return { name, path, manifest };
    } finally {
      await this.abandon();
    }
  }

  /** Removes what was written, unless it is complete. */
  async abandon(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await Promise.all(this.#images.map((image) => image?.close()));
    // what cannot be removed now goes when the next one begins
    await Deno.remove(this.#temporary, { recursive: true }).catch(() => {});
  }

  /** The same as {@linkcode Draft.abandon}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon();
  }
}

/** Makes `path` a directory that outlives a power cut. */
async function makeDirectory(path: string): Promise<void> {
  if (await Deno.stat(path).then(() => true, () => false)) return;
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  await syncDirectory(`${path}/..`);
}

function requireSame({ name, cookie, startCount }: DraftServer, confirmed: Confirmation | undefined): void {
  if (confirmed?.cookie === cookie && confirmed.startCount === startCount) return;
  const what = confirmed === undefined ? "did not confirm its part" : "was started anew while its memory was saved";
  throw new CheckpointError(`server ${name} ${what}: this checkpoint is void; the next one will try again`);
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
  await file.sync();
}
