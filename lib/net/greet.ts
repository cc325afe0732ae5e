/** How a client begins a conversation: connect, say hello, hear welcome. */
import { ProtocolError } from "../base/errors.ts";
import { GREETING_PREFIX_SIZE, GREETING_SIZE_MAX } from "../wire/classic.ts";
import type { EpochWord } from "../wire/epoch.ts";
import { decodeHeader, encodeFrame, frameSizes } from "../wire/frame.ts";
import { MAGIC, PREFIX_SIZE, PROTOCOL_VERSION } from "../wire/messages.ts";
import { readExactly, tryClose, withTimeout, writeAll } from "./stream.ts";

/** How long one attempt to connect may take. */
const CONNECT_MS_MAX = 3_000;
/** A server's answer to hello must come within this time. */
const HELLO_MS_MAX = 3_000;
const SOFTWARE = "dsm";

/** A connection that has been welcomed. */
export interface Welcomed {
  /** The stream, at the first frame after the welcome. */
  readonly stream: Deno.TcpConn;
  /** What the server is. */
  readonly role: string;
  /** The session's token. */
  readonly token: Uint8Array;
  /** Whether it is the session that was asked for. */
  readonly isResumed: boolean;
}

/**
 * Connects and greets.
 *
 * @param name `host:port`, for errors. @param token of the session to resume; empty for a new one.
 * @throws ProtocolError when the peer is no dsm server; an Error of the network's otherwise.
 */
export async function dial(
  address: { readonly host: string; readonly port: number; readonly name: string },
  epoch: EpochWord,
  token: Uint8Array,
  signal: AbortSignal,
): Promise<Welcomed> {
  const stream = await withTimeout(
    Deno.connect({ hostname: address.host, port: address.port }),
    CONNECT_MS_MAX,
    "no answer",
    (late) => late.close(),
  );
  const abort = (): void => tryClose(stream);
  const timer = setTimeout(abort, HELLO_MS_MAX);
  signal.addEventListener("abort", abort);
  try {
    stream.setNoDelay(true);
    return await greet(stream, address.name, epoch, token);
  } catch (error) {
    tryClose(stream);
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

const isMagic = (bytes: Uint8Array): boolean => MAGIC.every((byte, i) => byte === bytes[i]);

async function greet(stream: Deno.TcpConn, name: string, epoch: EpochWord, token: Uint8Array): Promise<Welcomed> {
  const hello = encodeFrame("hello", { id: 0, ...epoch }, {
    versionMin: PROTOCOL_VERSION,
    versionMax: PROTOCOL_VERSION,
    software: SOFTWARE,
    token,
  });
  await writeAll(stream, MAGIC);
  await writeAll(stream, hello);
  const first = await readExactly(stream, MAGIC.length);
  if (!isMagic(first)) await skipGreeting(stream, name);
  const prefix = await readExactly(stream, PREFIX_SIZE);
  const { headerSize } = frameSizes(new DataView(prefix.buffer), 0);
  const header = decodeHeader(await readExactly(stream, headerSize));
  if (header.name !== "welcome") throw new ProtocolError(`${name} answered hello with ${header.name}`);
  const { role, token: given, resumed } = header.fields;
  return { stream, role, token: given, isResumed: resumed };
}

/** A config server greets whoever is on its host in the classic way first; the count has been read already. */
async function skipGreeting(stream: Deno.TcpConn, name: string): Promise<void> {
  const rest = await readExactly(stream, GREETING_PREFIX_SIZE - MAGIC.length);
  const size = new DataView(rest.buffer).getUint32(0);
  if (size > GREETING_SIZE_MAX) throw new ProtocolError(`${name} is not a dsm server: it does not speak the protocol`);
  await readExactly(stream, size);
  if (!isMagic(await readExactly(stream, MAGIC.length))) throw new ProtocolError(`${name} is not a dsm server`);
}
