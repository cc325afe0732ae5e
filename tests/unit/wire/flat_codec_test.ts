/** The codec of flat headers against the general one: the same bytes, the same values, and nothing believed that is not there. */
import { assert, assertEquals } from "@std/assert";
import { decode, encode } from "@std/msgpack";
import { decodeFlat, encodeFlat } from "../../../lib/wire/flat_codec.ts";
import { seededTest } from "../../support/seeded.ts";

const INTEGERS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER];
const SIZES = [0, 1, 10, 11, 31, 32, 33, 85, 255, 256, 300, 1000];

seededTest("flat codec: the bytes of the general codec, and back", (random) => {
  let count = 0;
  for (let run = 0; run < 5000; run++) {
    const values = Array.from({ length: random.below(16) }, () => {
      switch (random.below(4)) {
        case 0:
          return random.isOneIn(2) ? random.pick(INTEGERS) : random.below(2 ** 53);
        case 1:
          return random.isOneIn(2);
        case 2:
          return random.pick(["a", "ä", "漢", "🙂"]).repeat(random.pick(SIZES));
        default:
          return random.bytes(random.pick(SIZES));
      }
    });
    const flat = encodeFlat(values, 8);
    if (!flat) continue;
    const header = flat.subarray(8);
    const isShort = values.every((value) => typeof value !== "number" || value < 2 ** 32);
    if (isShort) assertEquals(header, encode(values));
    assertEquals(decodeFlat(header), values);
    assertEquals((decode(header) as unknown[]).map((each) => typeof each === "bigint" ? Number(each) : each), values);
    count++;
  }
  assert(count > 500, `${count} were flat`);
});

Deno.test("flat codec: what is not flat is left to the general one", () => {
  for (const values of [[-1], [1.5], [null], [[1]], [2n ** 64n], [-1n], ["x".repeat(5000)], new Array(16).fill(1)]) {
    assertEquals(encodeFlat(values, 8), undefined, `${values}`.slice(0, 20));
  }
  for (const value of [{ a: 1 }, [-1], [[1]], [null], 7, "text"]) assertEquals(decodeFlat(encode(value)), undefined);
  for (const word of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    assertEquals(encodeFlat([word], 0), encode([word]));
    assertEquals(decodeFlat(encode([word])), [word]);
  }
});

seededTest("flat codec: half an array, or one with more behind it, is none", (random) => {
  const whole = encode([1, 300, 70_000, 2n ** 40n, true, "text", "long ".repeat(20), random.bytes(40)]);
  assertEquals(decodeFlat(whole)?.length, 8);
  for (let size = 0; size < whole.length; size++) {
    assertEquals(decodeFlat(whole.subarray(0, size)), undefined, `${size}`);
  }
  assertEquals(decodeFlat(new Uint8Array([...whole, 0])), undefined);
});
