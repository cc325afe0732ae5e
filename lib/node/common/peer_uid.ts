/**
 * Whose process is at the other end of a connection on this host: what the kernel says in /proc/net/tcp and tcp6, whatever
 * anybody claims.
 *
 *   - Only an established connection counts, and only while a process has it open. Of a socket whose process has closed it
 *     the kernel says uid 0, and who closes quickly must not become root.
 *   - Where the address it was called under is not known (a server on all addresses), all connections from the peer's port
 *     to the server's must be one user's, else it is nobody's.
 */
import { isLoopback } from "./loopback.ts";

/** `nobody`: who cannot be told apart. */
export const NOBODY_UID = 65_534;

/** One end of a connection. */
export interface End {
  /** A numeric address. */
  readonly host: string;
  /** The port. */
  readonly port: number;
}

const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"] as const;
const ESTABLISHED = "01";
const ANY_ADDRESSES = ["0.0.0.0", "::"];

/**
 * The uid of the process that holds `peer`, connected to `server` on this host.
 *
 * @param read a file of /proc; undefined where there is none.
 * @returns undefined when the peer is not on this host, has gone, or cannot be told from another.
 */
export function uidOfPeer(
  peer: End,
  server: End,
  read: (file: string) => string | undefined = readProc,
): number | undefined {
  if (!isLoopback(peer.host)) return undefined;
  const uids = new Set(TABLES.flatMap((file) => uidsIn(read(file) ?? "", peer, server)));
  const [uid] = uids;
  return uids.size === 1 ? uid : undefined;
}

function readProc(file: string): string | undefined {
  try {
    return Deno.readTextFileSync(file);
  } catch {
    return undefined; // no Linux, or no IPv6: nobody is found there
  }
}

/** The uids of all connections from `peer` to `server` in one table. */
export function uidsIn(table: string, peer: End, server: End): number[] {
  const from = plainHost(peer.host);
  const to = ANY_ADDRESSES.includes(server.host) ? undefined : plainHost(server.host);
  return table.split("\n").flatMap((line) => {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
    const [, local = "", remote = "", state, , , , uid = "", , inode] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED || inode === undefined || inode === "0" || !/^\d{1,10}$/.test(uid)) return [];
    const [own, other] = [endFrom(local), endFrom(remote)];
    if (own?.port !== peer.port || own.host !== from || other?.port !== server.port) return [];
    return to === undefined || other.host === to ? [Number(uid)] : [];
  });
}

/** An address without the dress that IPv6 puts on an IPv4 one. */
function plainHost(host: string): string {
  return host.replace(/^::ffff:(?=\d+\.)/, "");
}

/** `0100007F:260C` as the kernel writes it: words of the address in this host's order, the port in the network's. */
function endFrom(text: string): End | undefined {
  const match = /^([\dA-F]{8}|[\dA-F]{32}):([\dA-F]{4})$/i.exec(text);
  if (!match) return undefined;
  const [, address = "", port = ""] = match;
  const bytes = (address.match(/.{8}/g) ?? []).flatMap((word) => [...Uint8Array.fromHex(word)].reverse());
  return { host: hostFrom(bytes), port: parseInt(port, 16) };
}

const MAPPED = "00000000000000000000ffff";
const LOOPBACK = "00000000000000000000000000000001";

function hostFrom(bytes: readonly number[]): string {
  const hex = new Uint8Array(bytes).toHex();
  if (hex === LOOPBACK) return "::1";
  return bytes.length === 4 || hex.startsWith(MAPPED) ? bytes.slice(-4).join(".") : hex;
}
