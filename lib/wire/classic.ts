/**
 * The classic dialect: the raw bytes of the first ancestor, so that its own programs work against ours. All integers are
 * 32 bits, in network order.
 *
 *   - config server: count, length, then `length` bytes `ip:port;ip:port;…;`, at once on accept.
 *   - memory server: `r` start end: answered by `end - start` bytes; `w` start end and then the bytes: no answer; `q`.
 *     Positions are the server's own, the end exclusive.
 */

/** First byte of a classic read. */
export const CLASSIC_READ = 0x72;
/** First byte of a classic write. */
export const CLASSIC_WRITE = 0x77;
/** A classic goodbye. */
export const CLASSIC_QUIT = 0x71;
/** Bytes of a classic read, and of a classic write without its data. */
export const CLASSIC_REQUEST_SIZE = 9;
/** Bytes before a greeting's list. */
export const GREETING_PREFIX_SIZE = 8;
/** The longest list a native client skips. */
export const GREETING_SIZE_MAX = 1024 * 1024;

/** A server as the greeting names it. */
export interface GreetedServer {
  /** Dotted IPv4. */
  readonly host: string;
  /** Its port. */
  readonly port: number;
}

const DOTTED = /^\d{1,3}(\.\d{1,3}){3}$/;

/**
 * What a config server says on accept. The original client reads dotted IPv4 only, so when a server has no such address
 * the count is 0 and the list empty: better nothing than another server's bytes.
 */
export function encodeGreeting(servers: readonly GreetedServer[]): Uint8Array<ArrayBuffer> {
  const sayable = servers.every((server) => DOTTED.test(server.host));
  const list = sayable ? servers.map((server) => `${server.host}:${server.port};`).join("") : "";
  const text = new TextEncoder().encode(list);
  const bytes = new Uint8Array(GREETING_PREFIX_SIZE + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, sayable ? servers.length : 0);
  view.setUint32(4, text.length);
  bytes.set(text, GREETING_PREFIX_SIZE);
  return bytes;
}

/** Whether a first byte may begin the classic dialect. */
export function isClassicStart(byte: number): boolean {
  return byte === CLASSIC_READ || byte === CLASSIC_WRITE || byte === CLASSIC_QUIT;
}
