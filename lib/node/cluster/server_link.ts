/**
 * A client's way to one memory server: through memory where its region can be attached, else over TCP.
 *
 * The way is found by itself, at the first request and after every new connection. What memory refuses, TCP is asked for.
 */
import { turn } from "../../base/clock.ts";
import { DsmError, TimeoutError } from "../../base/errors.ts";
import { Attachment } from "../../memory/attachment.ts";
import type { Attempt } from "../../memory/attachment.ts";
import type { WordWidth } from "../../memory/region.ts";
import { Channel, memoryLost, TIMEOUT_MS } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { Reply, RequestOptions } from "../../net/request.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { NO_OWNERS } from "../../wire/messages.ts";
import type { Fields } from "../../wire/messages.ts";

/** How a server is reached. */
export type Way = "memory" | "tcp";

/** Operations through memory, of this whole program, before its event loop has a turn. */
const TURN_OPERATIONS_MAX = 256;
/** Bytes that count as one operation more. */
const TURN_SIZE = 16 * 1024;

let sinceTurn = 0;
let turning: Promise<void> | undefined;

/**
 * Counts an operation of `size` bytes that never waited; a promise when it is time for a turn. Without it a loop of awaits
 * would keep timers, signals and sockets out for as long as it lasts.
 */
function countOperation(size: number): Promise<void> | undefined {
  sinceTurn += 1 + size / TURN_SIZE;
  if (sinceTurn < TURN_OPERATIONS_MAX) return undefined;
  return turning ??= turn().then(() => {
    turning = undefined;
    sinceTurn = 0;
  });
}

const NOT_ASKED = "attaching was not asked for";

/** See the head of this file. */
export class ServerLink implements AsyncDisposable {
  /** The connection. */
  readonly channel: Channel;
  /** The region, while it is attached. */
  attachment: Attachment | undefined;
  /** The cookie of the attached region. */
  #cookie = "";
  /** Why it is not attached. */
  whyTcp = "";
  #isProbed: boolean;
  #probing: Promise<void> | undefined;
  readonly #epoch: EpochWord;
  readonly #mayAttach: boolean;

  /** @param mayAttach false: always TCP. */
  constructor(host: string, port: number, epoch: EpochWord, credentials: Credentials, mayAttach: boolean) {
    this.channel = new Channel(host, port, epoch, credentials);
    this.#epoch = epoch;
    this.#mayAttach = mayAttach;
    this.#isProbed = !mayAttach;
    if (!mayAttach) this.whyTcp = NOT_ASKED;
    this.channel.onConnected = () => {
      if (!this.attachment) this.#isProbed = !this.#mayAttach;
    };
  }

  /** Finds the way, if it is not known. @throws what the question to the server throws. */
  probe(options?: RequestOptions): Promise<void> {
    if (this.#isProbed) return Promise.resolve();
    return this.#probing ??= this.#probe(options).finally(() => this.#probing = undefined);
  }

  async #probe(options?: RequestOptions): Promise<void> {
    const info = await this.info(options);
    if (this.attachment) return;
    const opened = info.attachable ? Attachment.open(info, this.#epoch) : { reason: info.reason };
    if (opened instanceof Attachment) {
      this.attachment = opened;
      this.#cookie = info.cookie;
    } else this.whyTcp = opened.reason;
    this.#isProbed = true;
  }

  /** Says that this program keeps the cluster. @throws SystemError EPERM, TimeoutError, PeerLostError. */
  async govern(options?: RequestOptions): Promise<void> {
    await this.channel.request("owners", NO_OWNERS, true, options);
  }

  /** What the server tells of its region. @throws TimeoutError, PeerLostError. */
  async info(options?: RequestOptions): Promise<Fields<"regionInfoReply">> {
    const { header } = await this.channel.request("regionInfo", {}, true, options);
    return (header as { fields: Fields<"regionInfoReply"> }).fields;
  }

  #leave(): void {
    this.attachment?.detach();
    this.attachment = undefined;
    this.#isProbed = false;
    this.whyTcp = "its region is gone, or has segments now";
  }

  /** Tries something through memory until it is done, or refused and thus TCP's. */
  async #throughMemory(
    offset: number,
    size: number,
    options: RequestOptions | undefined,
    attempt: (attachment: Attachment) => Attempt,
  ): Promise<boolean> {
    if (!this.#isProbed) {
      // without an answer there is no way through memory either, unless one is open already
      await this.probe(options);
    }
    options?.signal?.throwIfAborted();
    const { attachment } = this;
    if (!attachment) return false;
    const meant = options?.memory?.get(this.channel.name);
    if (meant !== undefined && meant !== this.#cookie) throw memoryLost(this.channel.name);
    let result = attempt(attachment);
    if (result === "busy") {
      const timeoutMs = options?.timeoutMs ?? TIMEOUT_MS;
      result = await attachment.whenFree(offset, size, timeoutMs, options?.signal, () => attempt(attachment));
    }
    if (result === "busy") {
      throw new TimeoutError(
        `a block of ${this.channel.name} that is needed has been held too long (dsm blocks)`,
        "no",
      );
    }
    if (result === "refused") {
      if (attachment.isLost && this.attachment === attachment) this.#leave();
      return false;
    }
    const due = countOperation(size);
    if (due) await due;
    return true;
  }

  /** Reads `size` bytes from `offset`. */
  read(offset: number, size: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#isProbed && !this.attachment) return this.channel.read(offset, size, options);
    return this.#readThroughMemory(offset, size, options);
  }

  async #readThroughMemory(offset: number, size: number, options?: RequestOptions): Promise<Uint8Array<ArrayBuffer>> {
    const into = new Uint8Array(size);
    if (await this.#throughMemory(offset, size, options, (attachment) => attachment.tryRead(offset, into))) return into;
    return await this.channel.read(offset, size, options);
  }

  /** Writes `bytes` at `offset`. */
  write(offset: number, bytes: Uint8Array, options?: RequestOptions): Promise<void> {
    if (this.#isProbed && !this.attachment) return this.channel.write(offset, bytes, options);
    return this.#writeThroughMemory(offset, bytes, options);
  }

  async #writeThroughMemory(offset: number, bytes: Uint8Array, options?: RequestOptions): Promise<void> {
    const attempt = (attachment: Attachment): Attempt => attachment.tryWrite(offset, bytes);
    if (await this.#throughMemory(offset, bytes.length, options, attempt)) return;
    await this.channel.write(offset, bytes, options);
  }

  /** Sets `size` bytes from `offset` to `byte`. */
  async fill(offset: number, size: number, byte: number, options?: RequestOptions): Promise<void> {
    const attempt = (attachment: Attachment): Attempt => attachment.tryFill(offset, size, byte);
    if (await this.#throughMemory(offset, size, options, attempt)) return;
    await this.channel.request("fill", { offset, size, byte }, true, options);
  }

  /** Adds `operand` to a word; returns it as it was. */
  async fetchAdd(offset: number, width: WordWidth, operand: bigint, options?: RequestOptions): Promise<bigint> {
    let before = 0n;
    const done = await this.#throughMemory(offset, width, options, (attachment) => {
      const { attempt, word } = attachment.tryUpdate(offset, width, (value) => value + operand);
      before = word;
      return attempt;
    });
    if (done) return before;
    return wordOf(
      await this.channel.request("fetchAdd", { offset, width, operand: unsigned(operand, 8) }, false, options),
    );
  }

  /** Makes a word `replacement` if it is `expected`; returns it as it was. */
  async compareExchange(
    offset: number,
    width: WordWidth,
    expected: bigint,
    replacement: bigint,
    options?: RequestOptions,
  ): Promise<bigint> {
    let before = 0n;
    const wanted = unsigned(expected, width);
    const done = await this.#throughMemory(offset, width, options, (attachment) => {
      const { attempt, word } = attachment.tryUpdate(
        offset,
        width,
        (value) => value === wanted ? replacement : undefined,
      );
      before = word;
      return attempt;
    });
    if (done) return before;
    const fields = { offset, width, expected: wanted, replacement: unsigned(replacement, width) };
    return wordOf(await this.channel.request("compareExchange", fields, false, options));
  }

  /** Waits at the server until the bytes at `offset` differ from `known`, or `timeoutMs` have passed; returns them. */
  async wait(
    offset: number,
    known: Uint8Array,
    timeoutMs: number,
    options?: RequestOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { payload } = await this.channel.request("wait", { offset, timeoutMs }, true, options, known);
    return payload;
  }

  /**
   * Lends the region's own bytes to `transfer`, where the region is attached.
   *
   * @returns false when it is not: nothing was done.
   */
  async lend(
    offset: number,
    size: number,
    lent: "r" | "w",
    transfer: (bytes: Uint8Array<ArrayBuffer>) => void,
    options?: RequestOptions,
  ): Promise<boolean> {
    return await this.#throughMemory(
      offset,
      size,
      options,
      (attachment) => attachment.tryLend(offset, size, lent, transfer),
    );
  }

  /** Closes the connection and detaches. */
  async close(): Promise<void> {
    await this.#probing?.catch((error) => {
      if (!(error instanceof DsmError)) throw error;
    });
    await this.channel.close();
    this.attachment?.detach();
    this.attachment = undefined;
  }

  /** The same as {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The two's complement of `value` in `width` bytes. */
function unsigned(value: bigint, width: number): bigint {
  return BigInt.asUintN(width * 8, value);
}

function wordOf(reply: Reply): bigint {
  return (reply.header as { fields: Fields<"valueReply"> }).fields.value;
}
