/** Checksums: XXH128 as everybody else computes it. */
import { assertEquals } from "@std/assert";
import { CHECKED_SIZE, CHECKSUM_SIZE, Hasher } from "../../../lib/checkpoint/checksum.ts";
import { have } from "../../support/machine.ts";

Deno.test("a checksum is XXH128 with seed 0, most significant byte first", async () => {
  const hasher = await Hasher.create();
  const hex = (text: string): string => hasher.digest(new TextEncoder().encode(text)).toHex();
  // as printed by xxhsum -H2 0.8.1
  assertEquals(hex(""), "99aa06d3014798d86001c324468d497f");
  assertEquals(hex("hello"), "b5e9c1ad071b3e7fc779cfaa5e523818");
});

Deno.test("digests of views, in any order and into a table, are those of the bytes alone", async () => {
  const hasher = await Hasher.create();
  const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index * 7);
  const table = new Uint8Array(3 * CHECKSUM_SIZE);
  hasher.digestInto(bytes.subarray(1, 4097), table, CHECKSUM_SIZE);
  assertEquals(table.subarray(CHECKSUM_SIZE, 2 * CHECKSUM_SIZE), hasher.digest(bytes.slice(1, 4097)));
  assertEquals([...table.subarray(0, CHECKSUM_SIZE), ...table.subarray(2 * CHECKSUM_SIZE)].some(Boolean), false);
});

Deno.test({
  name: "xxhsum agrees on a whole MiB",
  ignore: !have("xxhsum"),
  async fn() {
    const bytes = Uint8Array.from({ length: CHECKED_SIZE }, (_, index) => index % 251);
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeFile(file, bytes);
      const { stdout } = await new Deno.Command("xxhsum", { args: ["-H2", file] }).output();
      const [printed] = new TextDecoder().decode(stdout).split(" ");
      assertEquals(printed, (await Hasher.create()).digest(bytes).toHex());
    } finally {
      await Deno.remove(file);
    }
  },
});
