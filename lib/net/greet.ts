/**
 * How a client begins a conversation: connect, say hello, prove the secret where the server asks for it, hear welcome.
 *
 *   - A server beyond this host that asks for no proof is not believed by a program that has a secret: whoever answers
 *     there has proved nothing himself.
 *   - Being turned away is an error that no second try mends; it says what was missing on this side, as far as one can tell.
 */
import { ProtocolError, SystemError } from "../base/errors.ts";
import { isLoopback } from "../base/loopback.ts";
import { GREETING_PREFIX_SIZE, GREETING_SIZE_MAX } from "../wire/classic.ts";
import type { EpochWord } from "../wire/epoch.ts";
import { decodeHeader, encodeFrame, frameSizes } from "../wire/frame.ts";
import type { Header } from "../wire/frame.ts";
import { MAGIC, NONCE_SIZE, PREFIX_SIZE, PROTOCOL_VERSION } from "../wire/messages.ts";
import { exchangeOf } from "../wire/proof.ts";
import type { Credentials } from "./credentials.ts";
import { SealedStream } from "./sealed_stream.ts";
import { readExactly, tryClose, withTimeout, writeAll } from "./stream.ts";
import type { Stream } from "./stream.ts";

/** How long one attempt to connect may take. */
const CONNECT_MS_MAX = 3_000;
/** A server's answer to hello, and to a proof, must come within this time. */
const HELLO_MS_MAX = 3_000;
const SOFTWARE = "dsm";
/** The first byte of what a server that speaks TLS answers to somebody who does not. */
const TLS_ALERT = 0x15;

const NOTHING = new Uint8Array(0);

/** A connection that has been welcomed. */
export interface Welcomed {
  /** The stream, at the first frame after the welcome. */
  readonly stream: Stream;
  /** What the server is. */
  readonly role: string;
  /** The session's token. */
  readonly token: Uint8Array;
  /** Whether it is the session that was asked for. */
  readonly isResumed: boolean;
  /** The cookie of a memory server's region; "" from everybody else. */
  readonly cookie: string;
}

/** Who is called. */
interface Address {
  readonly host: string;
  readonly port: number;
  /** `host:port`, for errors. */
  readonly name: string;
}

type Welcome = Header & { readonly name: "welcome" };

/**
 * Connects and greets.
 *
 * @param token of the session to resume; empty for a new one.
 * @throws ProtocolError when the peer is no dsm server; SystemError EACCES when it does not let this program in, or has not
 * proved the secret; an Error of the network's otherwise.
 */
export async function dial(
  address: Address,
  epoch: EpochWord,
  token: Uint8Array,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<Welcomed> {
  const stream = await withTimeout(connect(address, credentials.tlsCa), CONNECT_MS_MAX, "no answer", tryClose);
  const abort = (): void => tryClose(stream);
  const timer = setTimeout(abort, HELLO_MS_MAX);
  signal.addEventListener("abort", abort);
  try {
    return await new Greeting(stream, address.name, credentials).greet(epoch, token);
  } catch (error) {
    tryClose(stream);
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

async function connect({ host, port, name }: Address, tlsCa: string | undefined): Promise<Deno.TcpConn | Deno.TlsConn> {
  if (tlsCa === undefined) {
    const stream = await Deno.connect({ hostname: host, port });
    stream.setNoDelay(true);
    return stream;
  }
  const stream = await Deno.connectTls({ hostname: host, port, caCerts: [tlsCa] });
  try {
    await stream.handshake();
    return stream;
  } catch (error) {
    tryClose(stream);
    if (!(error instanceof Deno.errors.InvalidData)) throw error;
    const cause = error.message.replace(/^[^:]*InvalidData:? ?/, "");
    throw new SystemError(
      "connect",
      "EACCES",
      `no TLS with ${name}: ${cause}; it must be started with --tls-cert and --tls-key, and its certificate must name ` +
        `${host} and come from what --tls-ca (DSM_TLS_CA) names`,
      error,
    );
  }
}

const isMagic = (bytes: Uint8Array): boolean => MAGIC.every((byte, i) => byte === bytes[i]);

/** One conversation's first frames. */
class Greeting {
  readonly #stream: Deno.TcpConn | Deno.TlsConn;
  readonly #name: string;
  readonly #credentials: Credentials;

  constructor(stream: Deno.TcpConn | Deno.TlsConn, name: string, credentials: Credentials) {
    this.#stream = stream;
    this.#name = name;
    this.#credentials = credentials;
  }

  async greet(epoch: EpochWord, token: Uint8Array): Promise<Welcomed> {
    const { secret, uid } = this.#credentials;
    const hello = encodeFrame("hello", { id: 0, ...epoch }, {
      versionMin: PROTOCOL_VERSION,
      versionMax: PROTOCOL_VERSION,
      software: SOFTWARE,
      token,
      nonce: secret ? crypto.getRandomValues(new Uint8Array(NONCE_SIZE)) : NOTHING,
      uid,
    });
    await writeAll(this.#stream, MAGIC);
    await writeAll(this.#stream, hello);
    const first = await readExactly(this.#stream, MAGIC.length);
    if (!isMagic(first)) await this.#skipGreeting(first);
    const { header, frame } = await readFrame(this.#stream);
    if (header.name === "challenge" && secret) return await this.#prove(secret, hello, frame);
    const welcome = this.#requireWelcome(header);
    if (secret && !isLoopback(this.#stream.remoteAddr.hostname)) {
      throw this.#refused("it did not ask for a proof of the secret, and so has proved nothing itself");
    }
    return welcomed(this.#stream, welcome);
  }

  async #prove(secret: Uint8Array, hello: Uint8Array, challenge: Uint8Array): Promise<Welcomed> {
    const exchange = exchangeOf(secret, hello, challenge);
    await writeAll(this.#stream, encodeFrame("prove", { id: 0, incarnation: 0, epoch: 0 }, { proof: exchange.proof }));
    if ("handshake" in this.#stream) {
      // what TLS carries needs no seal; the server's certificate has proved who it is
      return welcomed(this.#stream, this.#requireWelcome((await readFrame(this.#stream)).header));
    }
    // the second word of a record is the length of a header, that of a frame without a payload is zero
    const start = await readExactly(this.#stream, PREFIX_SIZE);
    const { payloadSize: second } = sizesIn(start);
    if (second === 0) throw this.#errorOf((await readFrame(this.#stream, start)).header);
    const sealed = new SealedStream(this.#stream, exchange);
    try {
      sealed.take(start);
      return welcomed(sealed, this.#requireWelcome((await readFrame(sealed)).header));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      throw this.#refused("it did not prove that it knows the secret", error);
    }
  }

  /** A config server greets whoever is on its host in the classic way first; the count has been read already. */
  async #skipGreeting(first: Uint8Array): Promise<void> {
    if (first[0] === TLS_ALERT) {
      throw this.#refused("it speaks TLS: name its certificate authority with --tls-ca (DSM_TLS_CA)");
    }
    const rest = await readExactly(this.#stream, GREETING_PREFIX_SIZE - MAGIC.length);
    const size = new DataView(rest.buffer).getUint32(0);
    if (size > GREETING_SIZE_MAX) {
      throw new ProtocolError(`${this.#name} is not a dsm server: it does not speak the protocol`);
    }
    await readExactly(this.#stream, size);
    if (!isMagic(await readExactly(this.#stream, MAGIC.length))) {
      throw new ProtocolError(`${this.#name} is not a dsm server`);
    }
  }

  #requireWelcome(header: Header): Welcome {
    if (header.name === "welcome") return header;
    throw this.#errorOf(header);
  }

  #errorOf(header: Header): Error {
    if (header.name !== "error") return new ProtocolError(`${this.#name} answered hello with ${header.name}`);
    const { code, message } = header.fields;
    if (code !== "EACCES") return new ProtocolError(`${this.#name} answered hello with ${code}: ${message}`);
    if (isLoopback(this.#stream.remoteAddr.hostname)) return this.#refused(message);
    return this.#refused(
      this.#credentials.secret
        ? `${message}; is its secret the one that --secret (DSM_SECRET_FILE) names here?`
        : `${message}; name the secret it was started with: --secret FILE or DSM_SECRET_FILE`,
    );
  }

  #refused(why: string, cause?: unknown): SystemError {
    return new SystemError("connect", "EACCES", `${this.#name}: EACCES: ${why}`, cause);
  }
}

function welcomed(stream: Stream, { fields: { role, token, resumed, cookie } }: Welcome): Welcomed {
  return { stream, role, token, isResumed: resumed, cookie };
}

function sizesIn(prefix: Uint8Array<ArrayBuffer>): { headerSize: number; payloadSize: number } {
  const view = new DataView(prefix.buffer);
  return { headerSize: view.getUint32(0), payloadSize: view.getUint32(4) };
}

/** Reads a frame without a payload. @param start its prefix, when that was read already. */
async function readFrame(
  stream: Stream,
  start?: Uint8Array<ArrayBuffer>,
): Promise<{ header: Header; frame: Uint8Array<ArrayBuffer> }> {
  const prefix = start ?? await readExactly(stream, PREFIX_SIZE);
  const { headerSize, payloadSize } = frameSizes(new DataView(prefix.buffer), 0);
  if (payloadSize > 0) throw new ProtocolError("a payload in answer to hello");
  const frame = new Uint8Array(PREFIX_SIZE + headerSize);
  frame.set(prefix);
  frame.set(await readExactly(stream, headerSize), PREFIX_SIZE);
  return { header: decodeHeader(frame.subarray(PREFIX_SIZE)), frame };
}
