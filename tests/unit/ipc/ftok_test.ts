/** ftok, bit by bit; the differential test has it against glibc. */
import { assertEquals } from "@std/assert";
import { ftok } from "../../../lib/ipc/common/ftok.ts";

Deno.test("ftok: 8 bits of the number, 8 of the device, 16 of the inode", () => {
  assertEquals(ftok(0x1234_5678, 0xabcd, 0x41), 0x41cd_5678);
  assertEquals(ftok(2n ** 63n + 5n, 2n ** 40n + 7n, 1), 0x0107_0005);
});

Deno.test("ftok: a key has no sign", () => {
  assertEquals(ftok(0xffff, 0xff, 0xff), 2 ** 32 - 1);
  assertEquals(ftok(0, 0, -1), 0xff00_0000);
});
