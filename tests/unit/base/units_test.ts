import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../../lib/base/errors.ts";
import {
  approximateSize,
  formatEndpoint,
  formatSize,
  formatTime,
  parseEndpoint,
  parseKey,
  parsePort,
  parseSize,
  parseTime,
} from "../../../lib/base/units.ts";

/** Each text that `parse` must refuse, with an error that names the subject and repeats the text. */
function assertRefuses(parse: (text: string, subject: string) => unknown, expected: string, texts: readonly string[]) {
  for (const text of texts) {
    const error = assertThrows(() => parse(text, "--it"), UsageError);
    const shown = text === "" || /\s/.test(text) ? JSON.stringify(text) : text;
    assertEquals(error.message, `--it must be ${expected}, not ${shown}`);
  }
}

Deno.test("sizes: bytes, binary and decimal units, in either case, fractions that come out whole", () => {
  const sizes: Record<string, number> = {
    "0": 0,
    "4096": 4096,
    "4096B": 4096,
    "4KiB": 4096,
    "4kib": 4096,
    "64MiB": 67_108_864,
    "1.5GiB": 1_610_612_736,
    "2TiB": 2_199_023_255_552,
    "10KB": 10_000,
    "10MB": 10_000_000,
    "1GB": 1_000_000_000,
    "1TB": 1_000_000_000_000,
  };
  for (const [text, bytes] of Object.entries(sizes)) assertEquals(parseSize(text), bytes, text);
});

Deno.test("sizes: what is not one is refused", () => {
  const expected = "a whole number of bytes such as 4096, 4KiB, 64MiB or 10MB";
  assertRefuses(parseSize, expected, ["", "-1", "4 KiB", "4K", "4KiB4", "0x10", "1.5", "0.3KiB", "9000000TiB", "NaN"]);
});

Deno.test("sizes: what is written is read back", () => {
  for (const bytes of [0, 1, 4096, 4097, 10_000, 67_108_864, 2 ** 40 + 1024, Number.MAX_SAFE_INTEGER]) {
    assertEquals(parseSize(formatSize(bytes)), bytes);
  }
  assertEquals([67_108_864, 1536, 4097].map(formatSize), ["64MiB", "1536B", "4097B"]);
});

Deno.test("sizes: roughly, for people", () => {
  assertEquals([0, 999, 1536, 1_500_000, 200 * 2 ** 20].map(approximateSize), [
    "0B",
    "999B",
    "1.5KiB",
    "1.4MiB",
    "200MiB",
  ]);
});

Deno.test("times: every unit, seconds where none is given", () => {
  const times: Record<string, number> = {
    "0": 0,
    "100": 100_000,
    "100s": 100_000,
    "250ms": 250,
    "1.5s": 1_500,
    "5m": 300_000,
    "1h": 3_600_000,
    "2H": 7_200_000,
  };
  for (const [text, ms] of Object.entries(times)) assertEquals(parseTime(text), ms, text);
});

Deno.test("times: what is not one is refused", () => {
  assertRefuses(parseTime, "a time such as 250ms, 100s, 5m or 1h", [
    "",
    "-5s",
    "5 s",
    "5sec",
    "s",
    "1e3",
    "9".repeat(20),
  ]);
});

Deno.test("times: what is written is read back", () => {
  for (const ms of [0, 1, 0.25, 250, 1_500, 90_000, 60_000, 3_600_000]) assertEquals(parseTime(formatTime(ms)), ms);
  assertEquals([0, 250, 100_000, 300_000, 3_600_000].map(formatTime), ["0s", "250ms", "100s", "5m", "1h"]);
});

Deno.test("keys: decimal and hexadecimal, negative ones by their unsigned twin", () => {
  assertEquals(["1238", "0x4d6", "0X4D6", "0xffffffff", "-1", "0"].map((text) => parseKey(text)), [
    1238,
    1238,
    1238,
    0xffff_ffff,
    0xffff_ffff,
    0,
  ]);
  const refused = ["", "12a", "0x", "0x100000000", "4294967296", "-2147483649", "1.0"];
  assertRefuses(parseKey, "a 32-bit key such as 1238 or 0x4d6", refused);
});

Deno.test("ports: 0 to 65535", () => {
  assertEquals(["0", "9734", "65535"].map((text) => parsePort(text)), [0, 9734, 65_535]);
  assertRefuses(parsePort, "a port, 0 to 65535", ["", "-1", "65536", "80a", "0x50", "1e3"]);
});

Deno.test("endpoints: names, IPv4 and bracketed IPv6, there and back", () => {
  const endpoints: Record<string, { host: string; port: number }> = {
    "127.0.0.1:9740": { host: "127.0.0.1", port: 9740 },
    "node-1.example:0": { host: "node-1.example", port: 0 },
    "[::1]:9740": { host: "::1", port: 9740 },
    "[fe80::1%eth0]:1": { host: "fe80::1%eth0", port: 1 },
  };
  for (const [text, endpoint] of Object.entries(endpoints)) {
    assertEquals(parseEndpoint(text), endpoint);
    assertEquals(formatEndpoint(endpoint), text);
  }
});

Deno.test("endpoints: what is not one is refused, a bad port by its own error", () => {
  const expected = "HOST:PORT, such as 127.0.0.1:9740 or [::1]:9740";
  assertRefuses(parseEndpoint, expected, ["", "9740", ":9740", "host", "::1:9740", "[host]:1", "a b:1", "http://a:1"]);
  assertThrows(() => parseEndpoint("host:70000", "--config"), UsageError, "the port of --config must be a port");
});
