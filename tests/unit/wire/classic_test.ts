/** lib/wire/classic.ts: the greeting, to the byte. */
import { assertEquals } from "@std/assert";
import { encodeGreeting, isClassicStart } from "../../../lib/wire/classic.ts";

Deno.test("classic: the greeting is count, length, and the list with a semicolon after each entry", () => {
  assertEquals(
    encodeGreeting([{ host: "127.0.0.1", port: 9734 }, { host: "10.0.0.2", port: 80 }]).toHex(),
    "00000002" + "0000001b" + // two servers, 27 bytes
      "3132372e302e302e313a393733343b" + // 127.0.0.1:9734;
      "31302e302e302e323a38303b", // 10.0.0.2:80;
  );
});

Deno.test("classic: no server is count 0, and so is a list with a server the original client cannot read", () => {
  const nothing = "00000000" + "00000000";
  assertEquals(encodeGreeting([]).toHex(), nothing);
  for (const host of ["::1", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.4 "]) {
    assertEquals(encodeGreeting([{ host: "127.0.0.1", port: 9734 }, { host, port: 1 }]).toHex(), nothing);
  }
});

Deno.test("classic: only r, w and q begin it", () => {
  const starts = Array.from({ length: 256 }, (_, byte) => byte).filter(isClassicStart);
  assertEquals(String.fromCharCode(...starts), "qrw");
});
