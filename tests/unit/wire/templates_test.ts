/** lib/wire/templates.ts: ready-made frames are the very messages the encoder makes. */
import { assert, assertEquals } from "@std/assert";
import { decode } from "@std/msgpack";
import { decodeHeader, encodeFrame, frameSizes } from "../../../lib/wire/frame.ts";
import { MESSAGES, OPERATION_SIZE_MAX, PREFIX_SIZE } from "../../../lib/wire/messages.ts";
import type { MessageName } from "../../../lib/wire/messages.ts";
import {
  isPlainReply,
  isReadRequest,
  isWriteRequest,
  putReadReply,
  putReadRequest,
  putWriteReply,
  putWriteRequest,
  READ_REQUEST_SIZE,
  REPLY_SIZE,
  templateEpoch,
  templateId,
  templateIncarnation,
  templateOffset,
  templateSize,
  WRITE_REQUEST_SIZE,
} from "../../../lib/wire/templates.ts";
import { MESSAGE_NAMES, randomEnvelope, randomField, randomFields } from "../../support/messages.ts";
import { seededTest } from "../../support/seeded.ts";

const AT = 5;

/** What a frame's header says, decoded by the codec itself, as plain values. */
function plain(header: Uint8Array): unknown[] {
  return (decode(header) as unknown[]).map((value) => typeof value === "bigint" ? Number(value) : value);
}

function check(
  name: MessageName,
  bytes: Uint8Array<ArrayBuffer>,
  size: number,
  envelope: { id: number; incarnation: number; epoch: number },
  fields: Record<string, number>,
  payloadSize: number,
): void {
  const view = new DataView(bytes.buffer);
  const header = bytes.subarray(AT + PREFIX_SIZE, AT + size);
  assertEquals(frameSizes(view, AT), { headerSize: size - PREFIX_SIZE, payloadSize });
  const encoded = encodeFrame(name, envelope, fields as never, payloadSize);
  assertEquals(plain(header), plain(encoded.subarray(PREFIX_SIZE)));
  assertEquals(decodeHeader(header), { name, ...envelope, fields } as never);
  assertEquals(
    [templateId(view, AT), templateIncarnation(view, AT), templateEpoch(view, AT)],
    [envelope.id, envelope.incarnation, envelope.epoch],
  );
  const recognised = [isReadRequest(view, AT), isWriteRequest(view, AT), isPlainReply(view, AT)];
  assertEquals(recognised, [name === "read", name === "write", name.endsWith("Reply")]);
}

seededTest("templates: each decodes to the fields the encoder would have given it", (random) => {
  for (let round = 0; round < 500; round++) {
    const envelope = randomEnvelope(random);
    const { id, incarnation, epoch } = envelope;
    const offset = randomField(random, "u64") as number;
    const size = randomField(random, "u32") as number;
    const payloadSize = random.below(OPERATION_SIZE_MAX + 1);
    const bytes = random.bytes(64);
    const view = new DataView(bytes.buffer);

    putReadRequest(view, AT, id, incarnation, epoch, offset, size);
    check("read", bytes, READ_REQUEST_SIZE, envelope, { offset, size }, 0);
    assertEquals([templateOffset(view, AT), templateSize(view, AT)], [offset, size]);
    putWriteRequest(view, AT, id, incarnation, epoch, offset, payloadSize);
    check("write", bytes, WRITE_REQUEST_SIZE, envelope, { offset }, payloadSize);
    assertEquals(templateOffset(view, AT), offset);
    putReadReply(view, AT, id, incarnation, epoch, payloadSize);
    check("readReply", bytes, REPLY_SIZE, envelope, {}, payloadSize);
    putWriteReply(view, AT, id, incarnation, epoch);
    check("writeReply", bytes, REPLY_SIZE, envelope, {}, 0);
  }
});

seededTest("templates: a put touches its own bytes and no others", (random) => {
  const before = random.bytes(64);
  const sizes: [number, (view: DataView) => void][] = [
    [READ_REQUEST_SIZE, (view) => putReadRequest(view, AT, 1, 2, 3, 4, 5)],
    [WRITE_REQUEST_SIZE, (view) => putWriteRequest(view, AT, 1, 2, 3, 4, 5)],
    [REPLY_SIZE, (view) => putReadReply(view, AT, 1, 2, 3, 4)],
    [REPLY_SIZE, (view) => putWriteReply(view, AT, 1, 2, 3)],
  ];
  for (const [size, put] of sizes) {
    const bytes = before.slice();
    put(new DataView(bytes.buffer));
    assertEquals(bytes.subarray(0, AT), before.subarray(0, AT));
    assertEquals(bytes.subarray(AT + size), before.subarray(AT + size));
  }
});

seededTest("templates: no frame of another message, and no random bytes, are taken for one", (random) => {
  for (let round = 0; round < 2000; round++) {
    const name = random.pick(MESSAGE_NAMES.filter((each) => !/^(read|write)(Reply)?$/.test(each)));
    const bytes = new Uint8Array(2048);
    const frame = encodeFrame(name, randomEnvelope(random), randomFields(random, name) as never);
    bytes.set(frame.subarray(0, bytes.length));
    const view = new DataView(bytes.buffer);
    assert(!isReadRequest(view, 0) && !isWriteRequest(view, 0) && !isPlainReply(view, 0), name);
    const noise = new DataView(random.bytes(64).buffer);
    assert(!isReadRequest(noise, 0) && !isWriteRequest(noise, 0) && !isPlainReply(noise, 0));
  }
});

seededTest(
  "templates: a damaged read is taken for a read only if the slow path takes it for the same read",
  (random) => {
    for (let round = 0; round < 5000; round++) {
      const bytes = new Uint8Array(READ_REQUEST_SIZE);
      const view = new DataView(bytes.buffer);
      putReadRequest(view, 0, random.word(), random.word(), random.word(), random.below(2 ** 53), random.word());
      bytes[random.below(bytes.length)] = random.word();
      if (!isReadRequest(view, 0) || templateOffset(view, 0) > Number.MAX_SAFE_INTEGER) continue;
      const header = decodeHeader(bytes.subarray(PREFIX_SIZE));
      assertEquals(header.id, templateId(view, 0));
      assertEquals(header.fields as unknown, { offset: templateOffset(view, 0), size: templateSize(view, 0) });
    }
  },
);

Deno.test("templates: sizes are those of fixed-width integers", () => {
  assertEquals([REPLY_SIZE, WRITE_REQUEST_SIZE, READ_REQUEST_SIZE], [25, 34, 39]);
  assertEquals([MESSAGES.read.kind, MESSAGES.readReply.kind, MESSAGES.write.kind, MESSAGES.writeReply.kind], [
    8,
    9,
    10,
    11,
  ]);
});
