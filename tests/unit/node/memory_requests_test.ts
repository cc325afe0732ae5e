/** lib/node/memory/memory_requests.ts: the same requests however the bytes are cut, and nothing but ProtocolError for others. */
import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { ProtocolError } from "../../../lib/base/errors.ts";
import type { Random } from "../../../lib/base/random.ts";
import { MemoryRequest, Operation, Parsed, RequestParser } from "../../../lib/node/memory/memory_requests.ts";
import { encodeFrame } from "../../../lib/wire/frame.ts";
import { HEADER_SIZE_MAX, MESSAGES, OPERATION_SIZE_MAX } from "../../../lib/wire/messages.ts";
import type { MessageName } from "../../../lib/wire/messages.ts";
import { putReadRequest, putWriteRequest, READ_REQUEST_SIZE, WRITE_REQUEST_SIZE } from "../../../lib/wire/templates.ts";
import { MESSAGE_NAMES, randomEnvelope, randomFields } from "../../support/messages.ts";
import { seededTest } from "../../support/seeded.ts";

type Dialect = "native" | "classic";

function parse(parser: RequestParser, dialect: Dialect, bytes: Uint8Array, at: number, into: MemoryRequest): Parsed {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return dialect === "native"
    ? parser.parseNative(bytes, view, at, bytes.length, into)
    : parser.parseClassic(view, at, bytes.length, into);
}

/** What a request asks for, without where it lies. */
function asked(request: MemoryRequest, bytes: Uint8Array): unknown {
  const { operation, id, offset, size } = request;
  const carriesData = operation === Operation.write || operation === Operation.classicWrite ||
    operation === Operation.wait;
  return {
    operation,
    id,
    offset,
    size,
    epoch: request.epoch,
    ...(carriesData ? { data: bytes.slice(request.dataAt, request.end).toHex() } : {}),
    ...(operation === Operation.fill ? { byte: request.small } : {}),
    ...(operation === Operation.fetchAdd ? { width: request.small, operand: request.operand } : {}),
    ...(operation === Operation.compareExchange
      ? { width: request.small, operand: request.operand, expected: request.expected }
      : {}),
    ...(operation === Operation.wait ? { timeoutMs: request.timeoutMs } : {}),
  };
}

/** Parses as a transport does, getting `step()` bytes at a time: what is there is tried, what is left is kept. */
function parseStream(dialect: Dialect, stream: Uint8Array, step: () => number): unknown[] {
  const parser = new RequestParser();
  const request = new MemoryRequest();
  const found: unknown[] = [];
  let start = 0;
  for (let have = 0; have < stream.length;) {
    have = Math.min(stream.length, have + step());
    while (start < have) {
      const bytes = stream.slice(start, have);
      const parsed = parse(parser, dialect, bytes, 0, request);
      if (parsed === Parsed.incomplete) {
        if (parser.needed <= bytes.length) throw new Error("needs no more than it has, and is not complete");
        break;
      }
      if (parsed === Parsed.quit) {
        found.push("quit");
        start++;
      } else if (parsed === Parsed.control) {
        found.push(parser.header);
        start += parser.end;
      } else {
        found.push(asked(request, bytes));
        start += request.end;
      }
    }
  }
  assertEquals(start, stream.length, "nothing is left over");
  return found;
}

function nativeStream(random: Random, count: number): { stream: Uint8Array; expected: unknown[] } {
  const parts: Uint8Array[] = [];
  const expected: unknown[] = [];
  for (let i = 0; i < count; i++) {
    const { id, incarnation, epoch } = randomEnvelope(random);
    if (random.isOneIn(3)) {
      const offset = random.below(2 ** 53);
      const bytes = new Uint8Array(64);
      const view = new DataView(bytes.buffer);
      if (random.isOneIn(2)) {
        const size = random.word();
        putReadRequest(view, 0, id, incarnation, epoch, offset, size);
        parts.push(bytes.subarray(0, READ_REQUEST_SIZE));
        expected.push({ operation: Operation.read, id, offset, size, epoch });
      } else {
        const data = random.bytes(random.below(40));
        putWriteRequest(view, 0, id, incarnation, epoch, offset, data.length);
        parts.push(bytes.subarray(0, WRITE_REQUEST_SIZE), data);
        expected.push({ operation: Operation.write, id, offset, size: data.length, epoch, data: data.toHex() });
      }
      continue;
    }
    const name = random.pick(MESSAGE_NAMES);
    const fields = randomFields(random, name);
    const payload = random.bytes(random.below(Math.min(60, MESSAGES[name].payloadMax) + 1));
    parts.push(encodeFrame(name, { id, incarnation, epoch }, fields as never, payload.length), payload);
    expected.push(
      expectedRequest(name, id, epoch, fields, payload) ?? { name, id, incarnation, epoch, fields },
    );
  }
  return { stream: concat(parts), expected };
}

function expectedRequest(
  name: MessageName,
  id: number,
  epoch: number,
  fields: Record<string, unknown>,
  payload: Uint8Array,
): unknown {
  const base = { id, offset: fields.offset, epoch };
  const { size, width } = fields;
  const data = payload.toHex();
  switch (name) {
    case "read":
      return { ...base, operation: Operation.read, size };
    case "write":
      return { ...base, operation: Operation.write, size: payload.length, data };
    case "fill":
      return { ...base, operation: Operation.fill, size, byte: fields.byte };
    case "fetchAdd":
      return { ...base, operation: Operation.fetchAdd, size: width, width, operand: fields.operand };
    case "compareExchange": {
      const { expected, replacement: operand } = fields;
      return { ...base, operation: Operation.compareExchange, size: width, width, operand, expected };
    }
    case "wait":
      return { ...base, operation: Operation.wait, size: payload.length, timeoutMs: fields.timeoutMs, data };
    default:
      return undefined;
  }
}

function classicRequest(letter: string, start: number, end: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(9);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, letter.charCodeAt(0));
  view.setInt32(1, start);
  view.setInt32(5, end);
  return concat([bytes, data]);
}

function classicStream(random: Random, count: number): { stream: Uint8Array; expected: unknown[] } {
  const parts: Uint8Array[] = [];
  const expected: unknown[] = [];
  for (let i = 0; i < count; i++) {
    const offset = random.below(2 ** 31 - 100);
    const size = random.below(60);
    const base = { id: 0, offset, size, epoch: 0 };
    if (random.isOneIn(2)) {
      parts.push(classicRequest("r", offset, offset + size));
      expected.push({ ...base, operation: Operation.classicRead });
    } else {
      const data = random.bytes(size);
      parts.push(classicRequest("w", offset, offset + size, data));
      expected.push({ ...base, operation: Operation.classicWrite, data: data.toHex() });
    }
  }
  parts.push(new TextEncoder().encode("q"));
  expected.push("quit");
  return { stream: concat(parts), expected };
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

for (const [dialect, make] of [["native", nativeStream], ["classic", classicStream]] as const) {
  seededTest(
    `requests: a ${dialect} stream gives the same requests one byte at a time, in random parts, at once`,
    (random) => {
      for (let round = 0; round < 30; round++) {
        const { stream, expected } = make(random, random.between(1, 8));
        assertEquals(parseStream(dialect, stream, () => stream.length), expected);
        assertEquals(parseStream(dialect, stream, () => 1), expected);
        assertEquals(parseStream(dialect, stream, () => random.between(1, 50)), expected);
      }
    },
  );

  seededTest(`requests: random and damaged ${dialect} bytes throw nothing but ProtocolError`, (random) => {
    const parser = new RequestParser();
    const request = new MemoryRequest();
    for (let round = 0; round < 5000; round++) {
      let bytes = random.bytes(random.between(1, 100));
      if (!random.isOneIn(4)) {
        bytes = make(random, 1).stream.slice();
        bytes[random.below(bytes.length)] = random.word();
      }
      try {
        const parsed = parse(parser, dialect, bytes, 0, request);
        if (parsed === Parsed.incomplete) assertEquals(parser.needed > bytes.length, true);
      } catch (error) {
        assertInstanceOf(error, ProtocolError, `${bytes.toHex()}: ${error}`);
      }
    }
  });
}

seededTest("requests: those that come later in a buffer say where they and their data are", (random) => {
  const parser = new RequestParser();
  const request = new MemoryRequest();
  const { stream, expected } = nativeStream(random, 20);
  const before = random.below(100);
  const bytes = concat([random.bytes(before), stream]);
  const found: unknown[] = [];
  for (let at = before; at < bytes.length;) {
    const parsed = parse(parser, "native", bytes, at, request);
    found.push(parsed === Parsed.control ? parser.header : asked(request, bytes));
    at = parsed === Parsed.control ? parser.end : request.end;
  }
  assertEquals(found, expected);
});

Deno.test("requests: a length that is too large is refused when its eight bytes are there", () => {
  const parser = new RequestParser();
  const request = new MemoryRequest();
  for (
    const [header, payload] of [[0, 0], [HEADER_SIZE_MAX + 1, 0], [0xffff_ffff, 0], [10, OPERATION_SIZE_MAX + 1], [
      10,
      0xffff_ffff,
    ]]
  ) {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, header as number);
    view.setUint32(4, payload as number);
    assertThrows(() => parse(parser, "native", bytes, 0, request), ProtocolError);
  }
});

Deno.test("requests: a payload that its message may not carry is refused before it has arrived", () => {
  const parser = new RequestParser();
  for (
    const [name, fields] of [["ping", {}], ["read", { offset: 0, size: 1 }], ["hello", {
      versionMin: 1,
      versionMax: 1,
      software: "",
      token: new Uint8Array(0),
      nonce: new Uint8Array(0),
      uid: 0,
    }]] as const
  ) {
    const frame = encodeFrame(name, { id: 1, incarnation: 0, epoch: 0 }, fields as never, 1);
    assertThrows(() => parse(parser, "native", frame, 0, new MemoryRequest()), ProtocolError, name);
  }
});

Deno.test("requests: a template of a read with a payload is refused like any other", () => {
  const bytes = new Uint8Array(READ_REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  putReadRequest(view, 0, 1, 0, 0, 0, 1);
  view.setUint32(4, 1);
  assertThrows(() => parse(new RequestParser(), "native", bytes, 0, new MemoryRequest()), ProtocolError, "read");
});

Deno.test("requests: classic ranges that are none are refused", () => {
  const ranges = [[-1, 5], [5, 4], [0, -1], [-5, -4], [0, OPERATION_SIZE_MAX + 1], [-(2 ** 31), 2 ** 31 - 1]] as const;
  for (const letter of ["r", "w"]) {
    for (const [start, end] of ranges) {
      const bytes = classicRequest(letter, start, end);
      assertThrows(() => parse(new RequestParser(), "classic", bytes, 0, new MemoryRequest()), ProtocolError);
    }
  }
  for (const byte of [0, 0x44, 0x52, 0xff]) {
    const bytes = new Uint8Array([byte, 0, 0, 0, 0, 0, 0, 0, 1]);
    assertThrows(() => parse(new RequestParser(), "classic", bytes, 0, new MemoryRequest()), ProtocolError);
  }
});
