/**
 * A cluster as a program sees it: one space of bytes, whatever servers it lies on.
 *
 *   - A range that lies on several servers is asked of all of them at once. It is atomic on each server (up to 64 MiB),
 *     not over all.
 *   - A server that is down fails its own ranges only.
 */
import { Deadline, nowMs, pause } from "../../base/clock.ts";
import { PeerLostError, SystemError, TimeoutError, UsageError } from "../../base/errors.ts";
import { formatEndpoint, parseEndpoint } from "../../base/units.ts";
import { placeName, Space } from "../../config/space.ts";
import type { Piece, Place } from "../../config/space.ts";
import type { QueueChange } from "../../ipc/queues/calls.ts";
import type { MsgctlResult } from "../../ipc/queues/msgctl.ts";
import type { NewOwnership } from "../../ipc/segments/calls.ts";
import type { ShmctlResult } from "../../ipc/segments/shmctl.ts";
import type { Attachment } from "../../memory/attachment.ts";
import type { WordWidth } from "../../memory/region.ts";
import { Channel, TIMEOUT_MS } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { RequestOptions } from "../../net/request.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { OPERATION_SIZE_MAX } from "../../wire/messages.ts";
import type { Fields } from "../../wire/messages.ts";
import { readCredentials } from "../common/credentials.ts";
import type { CallOptions, MsgrcvOptions } from "../queues/message_queues.ts";
import type { QueueMessage } from "../queues/queue_message.ts";
import type { Queues } from "../queues/queues.ts";
import { Registry } from "../registry_client/registry.ts";
import type { SegmentAttachment } from "./segment_attachment.ts";
import { SegmentCalls } from "./segment_calls.ts";
import { Segments } from "./segments.ts";
import { ServerLink } from "./server_link.ts";
import type { BlockStates, RegionInfo, ServerInfo } from "./server_info.ts";

export type { RequestOptions } from "../../net/request.ts";
export type { BlockStates, RegionInfo, ServerInfo } from "./server_info.ts";

/** Where the config server is when nobody says. */
export const DEFAULT_CONFIG = "127.0.0.1:9740";

/** How to connect to a cluster. */
export interface ConnectOptions {
  /** The config server, `host:port`. Default: DSM_CONFIG, else 127.0.0.1:9740. */
  readonly config?: string;
  /** The registry, `host:port`, which is asked when it is first needed. Default: DSM_REGISTRY, else 127.0.0.1:9750. */
  readonly registry?: string;
  /** The file of the secret to prove to servers beyond this host. Default: DSM_SECRET_FILE, else none. */
  readonly secret?: string | undefined;
  /** The file of the certificates (PEM) that servers' must come from: every connection is TLS. Default: DSM_TLS_CA, else none. */
  readonly tlsCa?: string | undefined;
  /** Whether regions on this host are attached rather than asked over TCP. Default: true. */
  readonly attach?: boolean;
  /** How long each request may take, in ms, unless it says itself. Default: 10,000. */
  readonly timeoutMs?: number;
  /** How long the config server may take to answer at first, in ms. Default: `timeoutMs`. */
  readonly connectTimeoutMs?: number;
  /** Ends the attempt to connect. */
  readonly signal?: AbortSignal;
}

/** How often the layout is asked for again while some server's size is not known. */
const LAYOUT_RETRY_MS = 50;
/** How long to wait for sizes that are not known before going on without them. */
const LAYOUT_MS_MAX = 2_000;
/** How long one `wait` stays with a server before it is asked anew. */
const WAIT_MS_MAX = 5_000;

/** A connection to a cluster. Make one with {@linkcode connect}. */
export class Cluster implements AsyncDisposable {
  readonly #config: Channel;
  readonly #epoch: EpochWord;
  readonly #credentials: Credentials;
  readonly #mayAttach: boolean;
  readonly #timeoutMs: number;
  readonly #defaults: RequestOptions;
  readonly #links: ServerLink[] = [];
  readonly #calls: SegmentCalls;
  /** Segments of the space, made, opened and listed. */
  readonly segments: Segments;
  /** Names, so that programs find one another. */
  readonly registry: Registry;
  #space: Space = new Space(0, []);

  /** Use {@linkcode connect}. */
  constructor(config: Channel, epoch: EpochWord, credentials: Credentials, options: ConnectOptions) {
    this.#config = config;
    this.#epoch = epoch;
    this.#credentials = credentials;
    this.#mayAttach = options.attach ?? true;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#defaults = { timeoutMs: this.#timeoutMs };
    this.#calls = new SegmentCalls(config, this);
    this.segments = new Segments(this.#calls, (options) => this.#options(options));
    const { registry, secret, tlsCa } = options;
    this.registry = new Registry(
      { timeoutMs: this.#timeoutMs, secret, tlsCa, ...(registry === undefined ? {} : { registry }) },
      epoch,
    );
  }

  /** Message queues, made, opened and listed. */
  get queues(): Queues {
    return this.registry.queues;
  }

  /** Bytes of the space that can be addressed. */
  get size(): number {
    return this.#space.size;
  }

  /** The servers and their places, as known since the last refresh. */
  get places(): readonly Place[] {
    return this.#space.places;
  }

  /**
   * The regions attached so far, by server; undefined where there is none. Their methods are synchronous and count
   * offsets from the start of the region.
   */
  get attachments(): readonly (Attachment | undefined)[] {
    return this.#links.map((link) => link.attachment);
  }

  /** Asks the config server for the layout again. @throws TimeoutError, PeerLostError. */
  async refresh(options?: RequestOptions): Promise<void> {
    const { header } = await this.#config.request("layout", {}, true, this.#options(options)).catch((error) => {
      const isNotOne = error instanceof SystemError && error.code === "ENOSYS";
      throw isNotOne ? this.#notConfig(error) : error;
    });
    if (header.name !== "layoutReply") throw this.#notConfig();
    this.#space = Space.fromRows(header.fields.revision, header.fields.servers);
    for (const place of this.#space.places.slice(this.#links.length)) {
      this.#links.push(new ServerLink(place.host, place.port, this.#epoch, this.#credentials, this.#mayAttach));
    }
  }

  #notConfig(cause?: SystemError): SystemError {
    return new SystemError(
      "layout",
      "EPROTO",
      `${this.#config.name} is not a config server${this.#config.role ? ` but a ${this.#config.role}` : ""}; ` +
        `name one with --config or DSM_CONFIG`,
      cause,
    );
  }

  #options(options?: RequestOptions): RequestOptions {
    if (!options) return this.#defaults;
    return options.timeoutMs === undefined ? { ...options, timeoutMs: this.#timeoutMs } : options;
  }

  #link(server: number): ServerLink {
    return this.#links[server] as ServerLink;
  }

  /** The pieces of a range; when it is beyond the space, the space is looked at again first: it may have grown. */
  async #pieces(address: number, size: number, call: string, options: RequestOptions): Promise<Piece[]> {
    if (address + size > this.#space.size) await this.refresh(options);
    return this.#space.pieces(address, size, call).flatMap(splitPiece);
  }

  /**
   * Reads `size` bytes from `address`.
   *
   * @throws SystemError EINVAL (not all in the space), TimeoutError or PeerLostError (naming the server), or the reason
   * of the signal.
   */
  read(address: number, size: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>> {
    const asked = this.#options(options);
    const one = this.#onlyServer(address, size);
    if (one >= 0) return this.#link(one).read(address - (this.#space.places[one] as Place).base, size, asked);
    return this.#readPieces(address, size, asked);
  }

  /** The one server a small range lies on, or -1 when it takes a closer look. */
  #onlyServer(address: number, size: number): number {
    if (!(address >= 0 && size >= 0 && size <= OPERATION_SIZE_MAX && address + size <= this.#space.size)) return -1;
    if (!Number.isSafeInteger(address) || !Number.isSafeInteger(size) || size === 0) return -1;
    const server = this.#space.serverAt(address);
    const place = this.#space.places[server] as Place;
    return address + size <= place.base + place.size ? server : -1;
  }

  async #readPieces(address: number, size: number, options: RequestOptions): Promise<Uint8Array<ArrayBuffer>> {
    const pieces = await this.#pieces(address, size, "read", options);
    const bytes = new Uint8Array(size);
    await Promise.all(pieces.map(async (piece) => {
      bytes.set(await this.#link(piece.server).read(piece.offset, piece.size, options), piece.at);
    }));
    return bytes;
  }

  /**
   * Writes `bytes` at `address`. Do not change them before the promise resolves.
   *
   * @throws as {@linkcode Cluster.read}.
   */
  write(address: number, bytes: Uint8Array, options?: RequestOptions): Promise<void> {
    const asked = this.#options(options);
    const one = this.#onlyServer(address, bytes.length);
    if (one >= 0) return this.#link(one).write(address - (this.#space.places[one] as Place).base, bytes, asked);
    return this.#writePieces(address, bytes, asked);
  }

  async #writePieces(address: number, bytes: Uint8Array, options: RequestOptions): Promise<void> {
    const pieces = await this.#pieces(address, bytes.length, "write", options);
    await Promise.all(pieces.map((piece) => {
      return this.#link(piece.server).write(piece.offset, bytes.subarray(piece.at, piece.at + piece.size), options);
    }));
  }

  /** Sets `size` bytes from `address` to `byte` (0 to 255). @throws as {@linkcode Cluster.read}; UsageError. */
  async fill(address: number, size: number, byte: number, options?: RequestOptions): Promise<void> {
    if (!Number.isInteger(byte) || byte < 0 || byte > 255) throw new UsageError(`a byte is from 0 to 255, not ${byte}`);
    const asked = this.#options(options);
    const pieces = await this.#pieces(address, size, "fill", asked);
    await Promise.all(pieces.map((piece) => this.#link(piece.server).fill(piece.offset, piece.size, byte, asked)));
  }

  async #word(address: number, width: WordWidth, call: string, options: RequestOptions): Promise<Piece> {
    const pieces = await this.#pieces(address, width, call, options);
    const [piece] = pieces;
    if (!piece || pieces.length > 1 || piece.offset % width !== 0) {
      throw new SystemError(
        call,
        "EINVAL",
        `cannot ${call} ${width} bytes at ${address}: EINVAL; a word lies at a multiple of its width on one server`,
      );
    }
    return piece;
  }

  /**
   * Adds to a little-endian word: 32 bits for a number, 64 for a bigint. Atomic with all other writers of its block.
   *
   * @returns the word before, unsigned.
   * @throws as {@linkcode Cluster.read}; PeerLostError with `outcome: "unknown"` when the connection broke and nobody can
   * know whether it was added: it never is added twice.
   */
  fetchAdd(address: number, operand: number, options?: RequestOptions): Promise<number>;
  /** The same with 64 bits. */
  fetchAdd(address: number, operand: bigint, options?: RequestOptions): Promise<bigint>;
  async fetchAdd(address: number, operand: number | bigint, options?: RequestOptions): Promise<number | bigint> {
    const width = widthOf(operand);
    const asked = this.#options(options);
    const piece = await this.#word(address, width, "fetchAdd", asked);
    const word = await this.#link(piece.server).fetchAdd(piece.offset, width, BigInt(operand), asked);
    return width === 4 ? Number(word) : word;
  }

  /**
   * Makes a little-endian word `replacement` if it is `expected`: 32 bits for numbers, 64 for bigints.
   *
   * @returns the word before, unsigned: it was replaced if that is `expected`.
   * @throws as {@linkcode Cluster.fetchAdd}.
   */
  compareExchange(address: number, expected: number, replacement: number, options?: RequestOptions): Promise<number>;
  /** The same with 64 bits. */
  compareExchange(address: number, expected: bigint, replacement: bigint, options?: RequestOptions): Promise<bigint>;
  async compareExchange(
    address: number,
    expected: number | bigint,
    replacement: number | bigint,
    options?: RequestOptions,
  ): Promise<number | bigint> {
    const width = widthOf(expected);
    if (widthOf(replacement) !== width) {
      throw new UsageError("expected and replacement are both numbers or both bigints");
    }
    const asked = this.#options(options);
    const piece = await this.#word(address, width, "compareExchange", asked);
    const link = this.#link(piece.server);
    const word = await link.compareExchange(piece.offset, width, BigInt(expected), BigInt(replacement), asked);
    return width === 4 ? Number(word) : word;
  }

  /**
   * Waits until the little-endian word at `address` satisfies `predicate`. Nothing is polled over the network: the server
   * answers when the word changes. Values that come and go between two looks may be missed.
   *
   * @param options `width: 8` for a 64-bit word given as a bigint; without `timeoutMs` it waits until the signal.
   * @returns the value that satisfied it.
   * @throws TimeoutError; the signal's reason; as {@linkcode Cluster.read}.
   */
  waitUntil(
    address: number,
    predicate: (value: number) => boolean,
    options?: RequestOptions & { readonly width?: 4 },
  ): Promise<number>;
  /** The same with 64 bits. */
  waitUntil(
    address: number,
    predicate: (value: bigint) => boolean,
    options: RequestOptions & { readonly width: 8 },
  ): Promise<bigint>;
  async waitUntil(
    address: number,
    predicate: ((value: number) => boolean) | ((value: bigint) => boolean),
    options: RequestOptions & { readonly width?: 4 | 8 } = {},
  ): Promise<number | bigint> {
    const width = options.width ?? 4;
    const piece = await this.#word(address, width, "waitUntil", this.#options(options));
    const link = this.#link(piece.server);
    const deadline = new Deadline(options.timeoutMs ?? Infinity);
    const signal = options.signal ? { signal: options.signal } : {};
    let bytes = await link.read(piece.offset, width, this.#options(options));
    for (;;) {
      const value = wordIn(bytes, width);
      if ((predicate as (value: number | bigint) => boolean)(value)) return value;
      if (deadline.passed) {
        throw new TimeoutError(`the word at ${address} did not become what was waited for; it is ${value}`);
      }
      const waitMs = Math.min(WAIT_MS_MAX, Math.ceil(deadline.leftMs));
      bytes = await link.wait(piece.offset, bytes, waitMs, { ...signal, timeoutMs: waitMs + this.#timeoutMs });
    }
  }

  /**
   * Lends the bytes of a range, piece by piece in order, to `transfer`: the region's own bytes where it is attached, a
   * copy that is written back where it is not. So a file goes to and from shared memory with no buffer in between.
   *
   * @param lent "r" to read them, "w" to overwrite all of them.
   * @param stepSize the most bytes lent at once.
   * @throws as {@linkcode Cluster.read}; whatever `transfer` throws.
   */
  async lend(
    address: number,
    size: number,
    lent: "r" | "w",
    transfer: (bytes: Uint8Array<ArrayBuffer>, at: number) => void,
    stepSize: number = 1024 * 1024,
    options?: RequestOptions,
  ): Promise<void> {
    const asked = this.#options(options);
    for (const piece of await this.#pieces(address, size, lent === "r" ? "read" : "write", asked)) {
      const link = this.#link(piece.server);
      for (let done = 0; done < piece.size; done += stepSize) {
        const offset = piece.offset + done;
        const step = Math.min(stepSize, piece.size - done);
        const at = piece.at + done;
        if (await link.lend(offset, step, lent, (bytes) => transfer(bytes, at), asked)) continue;
        const bytes = lent === "r" ? await link.read(offset, step, asked) : new Uint8Array(step);
        transfer(bytes, at);
        if (lent === "w") await link.write(offset, bytes, asked);
      }
    }
  }

  /**
   * System V's `shmget`: the id of the segment under `key`, or with IPC_CREAT of a new one, zeroed; `size` in bytes.
   *
   * @throws SystemError ENOENT, EEXIST, EACCES, EINVAL, ENOSPC and ENOMEM as Linux has them, EAGAIN: somebody else is just
   * making it; TimeoutError or PeerLostError with `outcome: "unknown"` where it may have been made.
   */
  shmget(key: number, size: number, flags: number, options?: RequestOptions): Promise<number> {
    return this.#calls.shmget(key, size, flags, this.#options(options));
  }

  /**
   * System V's `shmat`: attaches segment `id`, for reading only with SHM_RDONLY. It is detached by `shmdt`, by
   * `await using`, and at the latest when this connection ends.
   *
   * @throws SystemError EACCES; EINVAL: no such segment; as {@linkcode Cluster.shmget}.
   */
  shmat(id: number, flags = 0, options?: RequestOptions): Promise<SegmentAttachment> {
    return this.#calls.shmat(id, flags, this.#options(options));
  }

  /** System V's `shmdt`. @throws SystemError EINVAL: it is not attached; as {@linkcode Cluster.shmget}. */
  shmdt(attachment: SegmentAttachment, options?: RequestOptions): Promise<void> {
    return this.#calls.shmdt(attachment, this.#options(options));
  }

  /**
   * System V's `shmctl` with its commands IPC_STAT, IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK, IPC_INFO, SHM_INFO, SHM_STAT
   * and SHM_STAT_ANY; `ownership` is for IPC_SET.
   *
   * @throws SystemError EINVAL, EACCES, EPERM, ENOMEM and EFAULT as Linux has them; as {@linkcode Cluster.shmget}.
   */
  shmctl(id: number, command: number, ownership?: NewOwnership, options?: RequestOptions): Promise<ShmctlResult> {
    return this.#calls.shmctl(id, command, ownership, this.#options(options));
  }

  /**
   * System V's `msgget`: the id of the message queue under `key`, or with IPC_CREAT of a new one. Queues are the registry's.
   *
   * @throws SystemError ENOENT, EEXIST, EACCES and ENOSPC as Linux has them; TimeoutError or PeerLostError with
   * `outcome: "unknown"` where it may have been made.
   */
  msgget(key: number, flags: number, options?: RequestOptions): Promise<number> {
    return this.queues.calls.msgget(key, flags, options);
  }

  /**
   * System V's `msgsnd`: sends a message of `type`, and waits for room unless IPC_NOWAIT. It is stored when this resolves.
   *
   * @throws SystemError EINVAL, EACCES and EAGAIN as Linux has them, EIDRM: the queue was removed; TimeoutError: there was no
   * room in `options.timeoutMs`; the signal's reason, which stands for EINTR; PeerLostError with `outcome: "unknown"` where
   * it may have been sent: it never is sent twice.
   */
  msgsnd(id: number, type: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    return this.queues.calls.msgsnd(id, type, data, options);
  }

  /**
   * System V's `msgrcv`: receives a message of up to `size` bytes, and waits for one unless IPC_NOWAIT. `type` 0: the first;
   * above: the first of that type (with MSG_EXCEPT: of another); below: the first of the least type up to its absolute value.
   *
   * @throws SystemError EINVAL, EACCES, E2BIG and ENOMSG as Linux has them, EIDRM: the queue was removed; TimeoutError: there
   * was none in `options.timeoutMs`; the signal's reason, which stands for EINTR; PeerLostError.
   */
  msgrcv(id: number, size: number, type: number, options?: MsgrcvOptions): Promise<QueueMessage> {
    return this.queues.calls.msgrcv(id, size, type, options);
  }

  /**
   * System V's `msgctl` with its commands IPC_STAT, IPC_SET, IPC_RMID, IPC_INFO, MSG_INFO, MSG_STAT and MSG_STAT_ANY;
   * `change` is for IPC_SET.
   *
   * @throws SystemError EINVAL, EACCES, EPERM and EFAULT as Linux has them; as {@linkcode Cluster.msgget}.
   */
  msgctl(id: number, command: number, change?: QueueChange, options?: RequestOptions): Promise<MsgctlResult> {
    return this.queues.calls.msgctl(id, command, change, options);
  }

  /**
   * Says to every server that this program keeps the cluster, as the config server does: it may touch every segment's bytes
   * from then on, as root and a server's own user on its host may anyway. For who restores a checkpoint.
   *
   * @throws SystemError EPERM: a server does not take that from this user, who has proved no secret; TimeoutError,
   * PeerLostError.
   */
  async govern(options?: RequestOptions): Promise<void> {
    const asked = this.#options(options);
    await Promise.all(this.#links.map((link) => link.govern(asked)));
  }

  /** What is known of every server, asked for anew. Servers that do not answer within `timeoutMs` are listed as such. */
  async info(options?: RequestOptions): Promise<ServerInfo[]> {
    await this.refresh(options);
    return await Promise.all(this.#space.places.map(async (place, server) => {
      const link = this.#link(server);
      const base = {
        name: placeName(place),
        base: place.base,
        size: place.size,
        blockSize: place.blockSize,
        isAlive: place.isAlive,
      };
      if (!place.isAlive) return { ...base, way: undefined, reason: place.reason, region: undefined };
      try {
        const region = await link.info(this.#options(options));
        await link.probe(this.#options(options));
        const way = link.attachment ? "memory" as const : "tcp" as const;
        return { ...base, way, reason: way === "tcp" ? link.whyTcp : "", region };
      } catch (error) {
        return { ...base, way: undefined, reason: (error as Error).message, region: undefined };
      }
    }));
  }

  /** What one server tells of its region. @throws as {@linkcode Cluster.read}. */
  regionInfo(server: number, options?: RequestOptions): Promise<RegionInfo> {
    return this.#link(server).info(this.#options(options));
  }

  /** The state of the guards and the suspect blocks of one server. @throws as {@linkcode Cluster.read}. */
  async blockStates(server: number, options?: RequestOptions): Promise<BlockStates> {
    const { header } = await this.#link(server).channel.request("blockStates", {}, true, this.#options(options));
    return (header as { fields: Fields<"blockStatesReply"> }).fields;
  }

  /** Closes all connections, ends all leases and detaches all regions. */
  async close(): Promise<void> {
    await Promise.all([this.#config, this.registry, ...this.#links].map((each) => each.close()));
  }

  /** The same as {@linkcode Cluster.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function splitPiece(piece: Piece): Piece[] {
  if (piece.size <= OPERATION_SIZE_MAX) return [piece];
  const parts: Piece[] = [];
  for (let done = 0; done < piece.size; done += OPERATION_SIZE_MAX) {
    const size = Math.min(OPERATION_SIZE_MAX, piece.size - done);
    parts.push({ server: piece.server, offset: piece.offset + done, size, at: piece.at + done });
  }
  return parts;
}

function widthOf(value: number | bigint): WordWidth {
  if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value) {
      throw new UsageError(`a bigint operand has 64 bits, ${value} does not fit`);
    }
    return 8;
  }
  if (!Number.isInteger(value) || value < -(2 ** 31) || value >= 2 ** 32) {
    throw new UsageError(`a number operand is a 32-bit integer, not ${value}; use a bigint for 64 bits`);
  }
  return 4;
}

function wordIn(bytes: Uint8Array<ArrayBuffer>, width: WordWidth): number | bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, width);
  return width === 4 ? view.getUint32(0, true) : view.getBigUint64(0, true);
}

const epochs = new Map<string, EpochWord>();

/**
 * The epoch of this process in each cluster it has met, by config server (`host:port`): what one connection has read may be
 * written through another. (A Worker has its own: what passes between Workers by messages is outside the promise of
 * checkpoints.)
 */
export function epochOf(config: string): EpochWord {
  let epoch = epochs.get(config);
  if (!epoch) epochs.set(config, epoch = { incarnation: 0, epoch: 0 });
  return epoch;
}

/**
 * Connects to the cluster of a config server.
 *
 * ```ts
 * await using cluster = await connect({ config: "127.0.0.1:9740" });
 * await cluster.write(0, new TextEncoder().encode("hello"));
 * ```
 *
 * @throws UsageError for a bad address; ConfigError for a bad file; SystemError EACCES when it is not let in; PeerLostError or TimeoutError when the config server does not answer in time.
 */
export async function connect(options: ConnectOptions = {}): Promise<Cluster> {
  const endpoint = parseEndpoint(options.config ?? Deno.env.get("DSM_CONFIG") ?? DEFAULT_CONFIG);
  const epoch = epochOf(formatEndpoint(endpoint));
  const credentials = readCredentials({
    secret: options.secret ?? Deno.env.get("DSM_SECRET_FILE"),
    tlsCa: options.tlsCa ?? Deno.env.get("DSM_TLS_CA"),
  });
  const channel = new Channel(endpoint.host, endpoint.port, epoch, credentials);
  const cluster = new Cluster(channel, epoch, credentials, options);
  const timeoutMs = options.connectTimeoutMs ?? options.timeoutMs ?? TIMEOUT_MS;
  const patience = nowMs() + Math.min(LAYOUT_MS_MAX, timeoutMs);
  const request = { timeoutMs, ...(options.signal ? { signal: options.signal } : {}) };
  try {
    await cluster.refresh(request);
    while (cluster.places.some((place) => place.size === 0) && nowMs() < patience) {
      await pause(LAYOUT_RETRY_MS, options.signal);
      await cluster.refresh(request);
    }
    return cluster;
  } catch (error) {
    await cluster.close();
    if (error instanceof TimeoutError || error instanceof PeerLostError) {
      throw new PeerLostError(
        `the config server ${formatEndpoint(endpoint)} does not answer; start a cluster with dsm up, or name another ` +
          `config server with --config or DSM_CONFIG`,
        "no",
        error,
      );
    }
    throw error;
  }
}
