/** lib/wire/frame.ts: what is encoded is decoded to the same, and what is malformed is refused as the protocol says. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { encode } from "@std/msgpack";
import { ProtocolError } from "../../../lib/base/errors.ts";
import { decodeHeader, encodeFrame, frameSizes, requirePayload } from "../../../lib/wire/frame.ts";
import { HEADER_SIZE_MAX, messageName, MESSAGES, OPERATION_SIZE_MAX, PREFIX_SIZE } from "../../../lib/wire/messages.ts";
import type { Fields, FieldType } from "../../../lib/wire/messages.ts";
import { MESSAGE_NAMES, randomEnvelope, randomFields } from "../../support/messages.ts";
import { seededTest } from "../../support/seeded.ts";

function headerOf(...values: unknown[]): Uint8Array<ArrayBuffer> {
  return encode(values as never);
}

seededTest("frame: every message of the table comes back as it was", (random) => {
  for (const name of MESSAGE_NAMES) {
    for (let round = 0; round < 100; round++) {
      const envelope = randomEnvelope(random);
      const fields = randomFields(random, name);
      const payloadSize = random.below(MESSAGES[name].payloadMax + 1);
      const frame = encodeFrame(name, envelope, fields as never, payloadSize);
      const view = new DataView(frame.buffer);
      assertEquals(frameSizes(view, 0), { headerSize: frame.length - PREFIX_SIZE, payloadSize });
      assertEquals(decodeHeader(frame.subarray(PREFIX_SIZE)), { name, ...envelope, fields } as never);
    }
  }
});

Deno.test("frame: kinds are unique, fit one byte, and are found by number", () => {
  const kinds = MESSAGE_NAMES.map((name) => MESSAGES[name].kind);
  assertEquals(new Set(kinds).size, kinds.length);
  for (const name of MESSAGE_NAMES) {
    assert(MESSAGES[name].kind >= 0 && MESSAGES[name].kind < 128);
    assertEquals(messageName(MESSAGES[name].kind), name);
  }
  for (const kind of [0, 127, 128, -1, 1.5, 1e9, NaN]) assertEquals(messageName(kind), undefined);
});

Deno.test("frame: a prefix is refused for its lengths, before anything is buffered", () => {
  const sizes = (header: number, payload: number): DataView => {
    const view = new DataView(new ArrayBuffer(PREFIX_SIZE));
    view.setUint32(0, header);
    view.setUint32(4, payload);
    return view;
  };
  assertEquals(frameSizes(sizes(1, 0), 0), { headerSize: 1, payloadSize: 0 });
  assertEquals(frameSizes(sizes(HEADER_SIZE_MAX, OPERATION_SIZE_MAX), 0).payloadSize, OPERATION_SIZE_MAX);
  for (const header of [0, HEADER_SIZE_MAX + 1, 2 ** 31, 2 ** 32 - 1]) {
    assertThrows(() => frameSizes(sizes(header, 0), 0), ProtocolError, "header");
  }
  for (const payload of [OPERATION_SIZE_MAX + 1, 2 ** 31, 2 ** 32 - 1]) {
    assertThrows(() => frameSizes(sizes(1, payload), 0), ProtocolError, "payload");
  }
});

Deno.test("frame: every message refuses a payload larger than its own largest", () => {
  for (const name of MESSAGE_NAMES) {
    requirePayload(name, MESSAGES[name].payloadMax);
    assertThrows(() => requirePayload(name, MESSAGES[name].payloadMax + 1), ProtocolError, name);
  }
});

seededTest("frame: every message with a field too many or too few is refused", (random) => {
  for (const name of MESSAGE_NAMES) {
    const values = Object.values(randomFields(random, name));
    const start = [1, MESSAGES[name].kind, 0, 0];
    decodeHeader(headerOf(...start, ...values));
    assertThrows(() => decodeHeader(headerOf(...start, ...values, 0)), ProtocolError, name);
    if (values.length > 0) {
      assertThrows(() => decodeHeader(headerOf(...start, ...values.slice(1))), ProtocolError, name);
    }
  }
});

const WRONG: Readonly<Record<FieldType, readonly unknown[]>> = {
  u8: [-1, 256, 1.5, NaN, "1", true, null, [1], 2n ** 63n, new Uint8Array(1)],
  u32: [-1, 2 ** 32, 0.5, "1", false, null, []],
  u64: [-1, 2n ** 53n, 2n ** 64n - 1n, -1n, 0.5, "1", null, Infinity],
  word: [-1, -1n, 0.5, "1", null, [], true],
  bool: [0, 1, "true", null, []],
  text: [1, true, null, ["a"], new Uint8Array(2)],
  bytes: ["abc", 1, null, [1, 2]],
  rows: [1, "a", null, {}, [1], ["a"], [[null]], [[[]]], [[0.5]], [[new Uint8Array(1)]], [[2n ** 64n - 1n]]],
};

seededTest("frame: every field of every message with a value of a wrong type is refused, by name", (random) => {
  for (const name of MESSAGE_NAMES) {
    const types = Object.entries(MESSAGES[name].fields) as [string, FieldType][];
    const right = Object.values(randomFields(random, name));
    types.forEach(([field, type], i) => {
      for (const wrong of WRONG[type]) {
        const values = right.with(i, wrong);
        assertThrows(
          () => decodeHeader(headerOf(1, MESSAGES[name].kind, 0, 0, ...values)),
          ProtocolError,
          `field ${field}`,
        );
      }
    });
  }
});

Deno.test("frame: an envelope that is none, an unknown kind and what is not an array are refused", () => {
  const ping = MESSAGES.ping.kind;
  const wrong = [
    headerOf(),
    headerOf(1),
    headerOf(1, ping),
    headerOf(1, ping, 0),
    headerOf("1", ping, 0, 0),
    headerOf(-1, ping, 0, 0),
    headerOf(2 ** 32, ping, 0, 0),
    headerOf(1, ping, -1, 0),
    headerOf(1, ping, 0, 0.5),
    headerOf(1, ping, null, 0),
    headerOf(1, 0, 0, 0),
    headerOf(1, 127, 0, 0),
    headerOf(1, -4, 0, 0),
    headerOf(1, 4.5, 0, 0),
    headerOf(1, "ping", 0, 0),
    headerOf(1, 2n ** 63n, 0, 0),
    encode({ id: 1 }),
    encode("ping"),
    encode(4),
    encode(null),
    new Uint8Array(0),
    new Uint8Array([0xc1]),
    new Uint8Array([0x94, 1]),
    new Uint8Array([...headerOf(1, ping, 0, 0), 0]),
    new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]),
    new Uint8Array([0xc6, 0xff, 0xff, 0xff, 0xff]),
    new Uint8Array(HEADER_SIZE_MAX).fill(0x91),
  ];
  for (const bytes of wrong) assertThrows(() => decodeHeader(bytes), ProtocolError);
});

Deno.test("frame: integers of any width are understood, the kind's too", () => {
  const { kind } = MESSAGES.read;
  const expected = { name: "read", id: 1, incarnation: 2, epoch: 3, fields: { offset: 4, size: 5 } };
  const u8 = (value: number): number[] => [0xcc, value];
  const u16 = (value: number): number[] => [0xcd, 0, value];
  const u32 = (value: number): number[] => [0xce, 0, 0, 0, value];
  const u64 = (value: number): number[] => [0xcf, 0, 0, 0, 0, 0, 0, 0, value];
  const i8 = (value: number): number[] => [0xd0, value];
  const i64 = (value: number): number[] => [0xd3, 0, 0, 0, 0, 0, 0, 0, value];
  for (const form of [(value: number) => [value], u8, u16, u32, u64, i8, i64]) {
    const values = [1, kind, 2, 3, 4, 5].flatMap(form);
    assertEquals(decodeHeader(new Uint8Array([0x96, ...values])), expected as never);
    assertEquals(decodeHeader(new Uint8Array([0xdc, 0, 6, ...values])), expected as never);
  }
});

seededTest("frame: random and damaged headers throw nothing but ProtocolError", (random) => {
  const attempt = (bytes: Uint8Array<ArrayBuffer>): void => {
    try {
      decodeHeader(bytes);
    } catch (error) {
      assertInstanceOf(error, ProtocolError, `${bytes.toHex()}: ${error}`);
    }
  };
  for (let round = 0; round < 5000; round++) {
    attempt(random.bytes(random.below(64)));
    const name = random.pick(MESSAGE_NAMES);
    const header = encodeFrame(name, randomEnvelope(random), randomFields(random, name) as never).slice(PREFIX_SIZE);
    attempt(header.slice(0, random.below(header.length)));
    header[random.below(header.length)] = random.word();
    attempt(header);
  }
});

Deno.test("frame: a field of bytes outlives the buffer it was decoded from", () => {
  const frame = encodeFrame("welcome", { id: 1, incarnation: 0, epoch: 0 }, {
    version: 1,
    role: "server",
    token: new Uint8Array(16).fill(7),
    resumed: false,
    cookie: "",
  });
  const header = decodeHeader(frame.subarray(PREFIX_SIZE));
  frame.fill(0);
  assertEquals((header.fields as Fields<"welcome">).token, new Uint8Array(16).fill(7));
});
