/** lib/config/config_file.ts: what a config.txt may say, and how each mistake is named. */
import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { ConfigError } from "../../../lib/base/errors.ts";
import { parseConfig, SERVER_COUNT_MAX } from "../../../lib/config/config_file.ts";

Deno.test("config.txt: the original's own form", () => {
  assertEquals(parseConfig("2\n127.0.0.1:9734\n10.0.0.2:9736\n", "config.txt"), [
    { host: "127.0.0.1", port: 9734 },
    { host: "10.0.0.2", port: 9736 },
  ]);
});

Deno.test("config.txt: comments, blank lines, CRLF, names, IPv6, extras in any order, no newline at the end", () => {
  const text = [
    "# a comment first",
    "",
    "  3  # the count",
    "\tserver-1.example.org:9734 sem=0x4d2 shm=1238   # keys",
    "[::1]:9736 size=64MiB block=4KiB",
    "",
    "10.0.0.3:65535 shm=-1",
  ].join("\r\n");
  assertEquals(parseConfig(text, "config.txt"), [
    { host: "server-1.example.org", port: 9734, semkey: 1234, shmkey: 1238 },
    { host: "::1", port: 9736, size: 64 * 1024 * 1024, blockSize: 4096 },
    { host: "10.0.0.3", port: 65_535, shmkey: 0xffff_ffff },
  ]);
});

const MISTAKES: readonly [name: string, text: string, line: number, message: string][] = [
  ["nothing at all", "", 0, "empty"],
  ["only comments", "# 1\n\n", 0, "empty"],
  ["an address for a count", "127.0.0.1:1\n", 1, "the number of servers"],
  ["two words for a count", "1 2\n127.0.0.1:1\n", 1, "the number of servers"],
  ["a negative count", "-1\n", 1, "the number of servers"],
  ["a count of 0", "0\n", 1, "1 to 1024"],
  ["a count beyond all", "1025\n", 1, "1 to 1024"],
  ["a huge count", "99999999999999999999\n", 1, "1 to 1024"],
  ["too few servers", "\n2\n127.0.0.1:1\n", 2, "promises 2 servers and names 1"],
  ["too many servers", "1\n127.0.0.1:1\n127.0.0.1:2\n", 1, "promises 1 servers and names 2"],
  ["no port", "1\n127.0.0.1\n", 2, "HOST:PORT"],
  ["an empty port", "1\n127.0.0.1:\n", 2, "port"],
  ["port 0", "1\n127.0.0.1:0\n", 2, "1 to 65535"],
  ["a port beyond all", "1\n127.0.0.1:65536\n", 2, "port"],
  ["a port that is no number", "1\n127.0.0.1:http\n", 2, "port"],
  ["an IPv6 address without brackets", "1\n::1:9734\n", 2, "HOST:PORT"],
  ["no host", "1\n:9734\n", 2, "HOST:PORT"],
  ["an unknown extra", "1\n\n127.0.0.1:1 colour=red\n", 3, "colour=red is not known"],
  ["an extra without a value", "1\n127.0.0.1:1 shm\n", 2, "shm is not known"],
  ["an extra named like a property of every object", "1\n127.0.0.1:1 constructor=1\n", 2, "constructor=1 is not known"],
  ["a key that is none", "1\n127.0.0.1:1 shm=abc\n", 2, "key"],
  ["a size that is none", "1\n127.0.0.1:1 size=1.5\n", 2, "bytes"],
  ["an empty value", "1\n127.0.0.1:1 sem=\n", 2, "key"],
  ["the same server twice", "2\n127.0.0.1:1\n127.0.0.1:1 shm=1\n", 3, "there twice"],
];

for (const [name, text, line, message] of MISTAKES) {
  Deno.test(`config.txt: ${name} is refused, with file and line`, () => {
    const error = assertThrows(() => parseConfig(text, "dir/my.txt"), ConfigError, message);
    assertInstanceOf(error, ConfigError);
    assertEquals([error.file, error.line], ["dir/my.txt", line]);
    assertEquals(error.message.startsWith(line > 0 ? `dir/my.txt:${line}: ` : "dir/my.txt: "), true);
  });
}

Deno.test("config.txt: as many servers as there may be", () => {
  const lines = Array.from({ length: SERVER_COUNT_MAX }, (_, i) => `10.0.${i >> 8}.${i & 255}:9734`);
  assertEquals(parseConfig(`${SERVER_COUNT_MAX}\n${lines.join("\n")}`, "c").length, SERVER_COUNT_MAX);
});

Deno.test("config.txt: the repository's sample parses, and gives every server keys of its own", async () => {
  const text = await Deno.readTextFile(new URL("../../../config.txt", import.meta.url));
  const servers = parseConfig(text, "config.txt");
  const keys = servers.flatMap(({ shmkey, semkey }) => [shmkey, semkey]);
  assertEquals(keys.includes(undefined), false);
  assertEquals(new Set(keys).size, keys.length);
});
