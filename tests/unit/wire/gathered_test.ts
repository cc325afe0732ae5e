/** The packed fields of `gathered`. */
import { assertEquals, assertThrows } from "@std/assert";
import { ProtocolError } from "../../../lib/base/errors.ts";
import { decodeChecksums, decodeRuns, encodeChecksums, encodeRuns } from "../../../lib/wire/gathered.ts";

Deno.test("runs are 12 bytes each, little-endian, and come back as they were", () => {
  const runs = [{ offset: 0x0102, size: 3 }, { offset: 2 ** 40 + 5, size: 4096 }];
  const bytes = encodeRuns(runs);
  assertEquals(bytes.subarray(0, 12).toHex(), "020100000000000003000000");
  assertEquals(decodeRuns(bytes, 4099), runs);
  assertEquals(decodeRuns(encodeRuns([]), 0), []);
});

Deno.test("runs that are cut short or do not fit their payload are refused", () => {
  const bytes = encodeRuns([{ offset: 0, size: 10 }]);
  assertThrows(() => decodeRuns(bytes.subarray(0, 11), 10), ProtocolError, "rows of 12");
  assertThrows(() => decodeRuns(bytes, 9), ProtocolError, "runs of 10 bytes with a payload of 9");
});

Deno.test("checksums are a number and 16 bytes, and come back as they were", () => {
  const checksums = [{ index: 7, digest: new Uint8Array(16).fill(9) }, { index: 1, digest: new Uint8Array(16) }];
  const bytes = encodeChecksums(checksums);
  assertEquals(bytes.length, 40);
  assertEquals(decodeChecksums(bytes), checksums);
  assertThrows(() => decodeChecksums(bytes.subarray(1)), ProtocolError, "rows of 20");
});
