/** Who is at the other end: the kernel's tables of connections, and the files of users and groups. */
import { assertEquals } from "@std/assert";
import { uidInTables, uidOfPeer, uidsIn } from "../../../lib/node/common/peer_uid.ts";
import { libc } from "../../../lib/sys/libc.ts";
import { groupsIn } from "../../../lib/node/common/user_groups.ts";

// loaded before any test begins, so that none is blamed for the library it leaves loaded
libc();

const SERVER = { host: "127.0.0.1", port: 9740 }; // 0x260C
const PEER = { host: "127.0.0.1", port: 50000 }; // 0xC350

/** A line as the kernel writes it. */
function line(local: string, remote: string, uid: number, { state = "01", inode = 4711 } = {}): string {
  return `   7: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  ${uid}        0 ${inode} 1 0 20 4 30 10 -1 `;
}

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                 ";
const table = (...lines: string[]): string => [HEAD, ...lines, ""].join("\n");

const OURS = line("0100007F:260C", "0100007F:C350", 0);
const THEIRS = line("0100007F:C350", "0100007F:260C", 1000);

Deno.test("the peer's own line counts, not the server's end of the same connection", () => {
  assertEquals(uidsIn(table(OURS, THEIRS), PEER, SERVER), [1000]);
  assertEquals(uidsIn(table(OURS), PEER, SERVER), []);
});

Deno.test("other ports, other addresses, other connections of the same port are somebody else's", () => {
  for (
    const other of [
      line("0100007F:C351", "0100007F:260C", 1),
      line("0100007F:C350", "0100007F:260D", 2),
      line("0200007F:C350", "0100007F:260C", 3),
      line("0100007F:C350", "0200007F:260C", 4),
    ]
  ) assertEquals(uidsIn(table(other, THEIRS), PEER, SERVER), [1000], other);
});

Deno.test("a socket that no process has any more is nobody's: the kernel calls it root's", () => {
  for (const state of ["01", "04", "05", "06", "07", "08"]) {
    const closed = line("0100007F:C350", "0100007F:260C", 0, { state, inode: 0 });
    assertEquals(uidsIn(table(closed), PEER, SERVER), [], state);
  }
});

Deno.test("a socket whose process has said its last word and still listens is its own", () => {
  for (const state of ["04", "05", "08"]) {
    assertEquals(uidsIn(table(line("0100007F:C350", "0100007F:260C", 1000, { state })), PEER, SERVER), [1000], state);
  }
});

Deno.test("IPv6: loopback, and IPv4 in IPv6's dress on either side", () => {
  const loopback = "00000000000000000000000001000000";
  const mapped = "0000000000000000FFFF00000100007F";
  const v6 = table(line(`${loopback}:C350`, `${loopback}:260C`, 5), line(`${mapped}:C350`, `${mapped}:260C`, 6));
  assertEquals(uidsIn(v6, { host: "::1", port: 50000 }, { host: "::1", port: 9740 }), [5]);
  assertEquals(uidsIn(v6, { host: "::ffff:127.0.0.1", port: 50000 }, { host: "::ffff:127.0.0.1", port: 9740 }), [6]);
  assertEquals(uidsIn(v6, PEER, SERVER), [6]);
});

Deno.test("tables that say two things say nothing", () => {
  const mapped = "0000000000000000FFFF00000100007F";
  const tables: Record<string, string> = {
    "/proc/net/tcp": table(THEIRS),
    "/proc/net/tcp6": table(line(`${mapped}:C350`, `${mapped}:260C`, 1001)),
  };
  assertEquals(uidInTables(PEER, SERVER, (file) => tables[file]), undefined);
  assertEquals(uidInTables(PEER, SERVER, (file) => file.endsWith("6") ? undefined : tables[file]), 1000);
});

Deno.test("from another host, without /proc and from torn lines nobody is found", () => {
  const read = (): string => table(THEIRS);
  assertEquals(uidOfPeer({ host: "10.0.0.1", port: 50000 }, SERVER), undefined);
  assertEquals(uidInTables({ host: "10.0.0.1", port: 50000 }, SERVER, read), undefined);
  assertEquals(uidInTables(PEER, SERVER, () => undefined), undefined);
  for (let size = 0; size < THEIRS.indexOf("4711"); size++) {
    assertEquals(uidsIn(table(THEIRS.slice(0, size)), PEER, SERVER), [], `${size} bytes`);
  }
  assertEquals(uidsIn(table(line("zz:C350", "0100007F:260C", 1), line("0100007F", "", 1)), PEER, SERVER), []);
});

Deno.test("the kernel's own tables: this process is found at the other end of its connection", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const client = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  using accepted = await listener.accept();
  const [peer, server] = [accepted.remoteAddr, accepted.localAddr].map(({ hostname, port }) => ({
    host: hostname,
    port,
  })) as [typeof PEER, typeof SERVER];
  assertEquals(uidOfPeer(peer, server), Deno.uid() ?? undefined);
  client.close();
  assertEquals(uidOfPeer(peer, server), undefined);
});

const PASSWD = `root:x:0:0:root:/root:/bin/bash
# a comment
ada:x:1000:100:Ada:/home/ada:/bin/sh
torn
`;
const GROUP = `root:x:0:
users:x:100:
wheel:x:10:root,ada
audio:x:29:adam
video:x:44:ada
bad:x:-1:ada
`;

Deno.test("a user's groups are those of passwd and group, nobody's for a stranger", () => {
  assertEquals(groupsIn(1000, PASSWD, GROUP), { gid: 100, groups: [10, 44] });
  assertEquals(groupsIn(0, PASSWD, GROUP), { gid: 0, groups: [10] });
  assertEquals(groupsIn(7, PASSWD, GROUP), { gid: 65_534, groups: [] });
  assertEquals(groupsIn(0, "", ""), { gid: 65_534, groups: [] });
});
