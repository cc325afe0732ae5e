/**
 * Whose process is at the other end of a connection on this host: what the kernel says, whatever anybody claims.
 *
 *   - Asked over netlink, one look-up; where that cannot be had, in /proc/net/tcp and tcp6, which list everybody's
 *     connections.
 *   - A socket counts only while a process has it open. Of one whose process has closed it the kernel says uid 0, and who
 *     closes quickly must not become root.
 */
import { isLoopback } from "../../base/loopback.ts";
import { socketOwner } from "../../sys/socket_owner.ts";

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

/**
 * The uid of the process that holds `peer`, connected to `server` on this host.
 *
 * @param server the very address that was called, not the one that is listened on.
 * @returns undefined when the peer is not on this host, has gone, or cannot be told.
 */
export function uidOfPeer(peer: End, server: End): number | undefined {
  if (!isLoopback(peer.host)) return undefined;
  const [from, to] = [plainEnd(peer), plainEnd(server)];
  const owner = socketOwner(from, to);
  if (typeof owner === "object") return owner.uid;
  // a kernel without this look-up finds nothing either: but our own end is surely there
  return owner === "none" && socketOwner(to, from) !== "none" ? undefined : uidInTables(peer, server, readProc);
}

/** The same from the tables of /proc. @param read a file of them; undefined where there is none. */
export function uidInTables(peer: End, server: End, read: (file: string) => string | undefined): number | undefined {
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
  const from = plainEnd(peer);
  const to = plainEnd(server);
  return table.split("\n").flatMap((line) => {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
    const [, local = "", remote = "", , , , , uid = "", , inode] = line.trim().split(/\s+/);
    if (inode === undefined || inode === "0" || !/^\d{1,10}$/.test(uid)) return [];
    const [own, other] = [endFrom(local), endFrom(remote)];
    return isEqual(own, from) && isEqual(other, to) ? [Number(uid)] : [];
  });
}

function isEqual(one: End | undefined, other: End): boolean {
  return one?.port === other.port && one.host === other.host;
}

/** An end without the dress that IPv6 puts on an IPv4 address. */
function plainEnd({ host, port }: End): End {
  return { host: host.replace(/^::ffff:(?=\d+\.)/, ""), port };
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
