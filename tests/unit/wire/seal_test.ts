/** Proofs and sealed records: keys that depend on everything, and nothing opened that was not sealed in its place. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { createHash, createHmac } from "node:crypto";
import { ProtocolError } from "../../../lib/base/errors.ts";
import { exchangeOf, isSame } from "../../../lib/wire/proof.ts";
import { Opener, RECORD_SIZE_MAX, Sealer, TAG_SIZE } from "../../../lib/wire/seal.ts";
import { concat } from "../../support/frames.ts";
import { seededTest } from "../../support/seeded.ts";

const KEY = new Uint8Array(32).fill(3);
const text = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);

Deno.test("proof and keys are what the document says, byte for byte", () => {
  const [hello, challenge] = [text("a hello"), text("a longer challenge")];
  const length = (bytes: Uint8Array): Uint8Array => new Uint8Array([0, 0, 0, bytes.length]);
  const transcript = createHash("sha256")
    .update(concat(text("dsm 1"), length(hello), hello, length(challenge), challenge)).digest();
  const hmac = (key: Uint8Array, value: Uint8Array): Uint8Array =>
    new Uint8Array(createHmac("sha256", key).update(value).digest());
  const key = hmac(text("secret"), transcript);
  assertEquals(exchangeOf(text("secret"), hello, challenge), {
    proof: hmac(key, text("client proof")),
    toServerKey: hmac(key, text("client to server")),
    toClientKey: hmac(key, text("server to client")),
  });
  const record = new Sealer(KEY).seal(text("body"));
  const tag = hmac(KEY, concat(new Uint8Array(8), length(text("body")), text("body"))).subarray(0, TAG_SIZE);
  assertEquals(record, concat(length(text("body")), text("body"), tag));
});

seededTest("whatever is changed in a secret or a frame, everything is another", (random) => {
  const parts = [random.bytes(32), random.bytes(60), random.bytes(60)] as const;
  const first = exchangeOf(...parts);
  assertEquals(new Set([first.proof, first.toClientKey, first.toServerKey].map((key) => key.toHex())).size, 3);
  for (let i = 0; i < 100; i++) {
    const copies = parts.map((part) => part.slice()) as [Uint8Array, Uint8Array, Uint8Array];
    const changed = random.pick(copies);
    const at = random.below(changed.length);
    changed[at] = (changed[at] as number) ^ (1 << random.below(8));
    const other = exchangeOf(...copies);
    for (const name of ["proof", "toClientKey", "toServerKey"] as const) assertNotEquals(other[name], first[name]);
  }
  // where one frame ends and the other begins counts too
  assertNotEquals(exchangeOf(KEY, text("ab"), text("c")), exchangeOf(KEY, text("a"), text("bc")));
});

Deno.test("equality: of length and every byte", () => {
  assert(isSame(text("abc"), text("abc")));
  for (const other of ["ab", "abcd", "abd", "", "bbc"]) assert(!isSame(text("abc"), text(other)), other);
});

seededTest("what is sealed is opened, however it is cut on its way and whatever its size", (random) => {
  const [sealer, opener] = [new Sealer(KEY), new Opener(KEY)];
  const sizes = [1, 2, 100, RECORD_SIZE_MAX - 1, RECORD_SIZE_MAX, RECORD_SIZE_MAX + 1, 3 * RECORD_SIZE_MAX + 7];
  const bodies = Array.from({ length: 12 }, () => random.bytes(random.pick(sizes)));
  const sent = bodies.map((body) => sealer.seal(body));
  const stream = concat(...sent);
  const came: number[] = [];
  for (let at = 0; at < stream.length;) {
    const end = Math.min(stream.length, at + random.pick([1, 3, 17, 1_000, 70_000, 300_000]));
    for (const byte of opener.open(stream.subarray(at, end))) came.push(byte);
    assert(opener.heldSize < RECORD_SIZE_MAX + 4 + TAG_SIZE);
    at = end;
  }
  assertEquals(opener.heldSize, 0);
  const wanted = concat(...bodies);
  assertEquals(came.length, wanted.length);
  assert(came.every((byte, i) => byte === wanted[i]));
});

seededTest("a record that is changed, left out, repeated, or of the other direction is not opened", (random) => {
  for (let i = 0; i < 200; i++) {
    const sealer = new Sealer(KEY);
    const records = Array.from({ length: 3 }, () => sealer.seal(random.bytes(1 + random.below(50))));
    const [first, second, third] = records as [
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
    ];
    const changed = first.slice();
    const at = random.below(changed.length);
    changed[at] = (changed[at] as number) ^ (1 << random.below(8));
    // behind it is enough for the longest record, so that nothing is waited for
    const rest = new Uint8Array(2 * RECORD_SIZE_MAX);
    for (const stream of [[changed], [second], [first, first], [first, third], [first, second, second]]) {
      const opener = new Opener(KEY);
      assertThrows(() => opener.open(concat(...stream, rest)), ProtocolError);
    }
    assertThrows(() => new Opener(new Uint8Array(32)).open(first), ProtocolError, "wrong tag");
  }
});
