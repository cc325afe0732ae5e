/** The manifest: what goes in comes out, and nothing else is believed. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CheckpointError } from "../../../lib/base/errors.ts";
import { decodeManifest, encodeManifest } from "../../../lib/checkpoint/manifest.ts";
import type { ImageRecord, Manifest } from "../../../lib/checkpoint/manifest.ts";
import { IPC_CREAT } from "../../../lib/ipc/common/flags.ts";
import { EMPTY_TABLE } from "../../../lib/ipc/segments/segment_rows.ts";
import type { TableRows } from "../../../lib/ipc/segments/segment_rows.ts";
import { principal, tableOf } from "../ipc/segments/tables.ts";

const MIB = 1024 * 1024;

const server = (index: number, base: number, size: number): ImageRecord => ({
  name: `host-${index}:9734`,
  file: `server-${index}.img`,
  base,
  size,
  blockSize: 4096,
  cookie: "0123456789abcdef0123456789abcdef",
  startCount: 3,
  changedSize: 4096,
  method: "full",
  checksums: new Uint8Array(16 * Math.ceil(size / MIB)).map((_, at) => at + index),
});

/** A table of two segments, after a third one that was removed. */
function table(): TableRows {
  const [ada, segments] = [principal(1000, 100), tableOf([{ size: MIB, blockSize: 4096 }])];
  for (const key of [7, 8, 0]) {
    const made = segments.shmget(ada, key, 5000, IPC_CREAT | 0o640, 1_700_000_000);
    segments.commit(made.id);
  }
  segments.remove(ada, 1);
  segments.lock(ada, 2);
  return segments.toPicture();
}

const MANIFEST: Manifest = {
  incarnation: 4,
  epoch: 12,
  timeMs: Date.UTC(2026, 1, 3, 4, 5, 6, 7),
  software: "dsm 0.1.0",
  previous: { name: "2026-02-03T04-03-26Z-11", epoch: 11 },
  table: table(),
  servers: [server(0, 0, 3 * MIB), server(1, 3 * MIB, MIB + 20)],
};

/** The bytes of a file whose fields were changed and whose checksum was made to fit. */
async function forged(change: (fields: Record<string, unknown>) => void): Promise<Uint8Array<ArrayBuffer>> {
  const { checksum: _, ...fields } = JSON.parse(new TextDecoder().decode(await encodeManifest(MANIFEST)));
  change(fields);
  const head = JSON.stringify(fields, null, 2).replace(/\n}$/, ",\n");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(head))).toHex();
  return new TextEncoder().encode(`${head}  "checksum": "${hash}"\n}\n`);
}

/** The first server of a parsed manifest. */
function first(fields: Record<string, unknown>): Record<string, unknown> {
  return (fields.layout as Record<string, unknown>[])[0] as Record<string, unknown>;
}

/** Its first segment. */
function firstSegment(fields: Record<string, unknown>): Record<string, unknown> {
  return (fields.segments as Record<string, unknown>[])[0] as Record<string, unknown>;
}

Deno.test("what is encoded is decoded, and is JSON that others read", async () => {
  const bytes = await encodeManifest(MANIFEST);
  assertEquals(await decodeManifest(bytes), MANIFEST);
  const fields = JSON.parse(new TextDecoder().decode(bytes));
  assertEquals([fields.format, fields.time, fields.ids], [
    1,
    "2026-02-03T04:05:06.007Z",
    { sequence: 0, lastIndex: 2 },
  ]);
  assertEquals(fields.segments.map(Object.values), [
    [0, 7, 5000, 0, 8192, 1000, 100, 1000, 100, 0o640, 0, 0, 1_700_000_000, 2000, 0, null, "ready"],
    [2, 0, 5000, 16_384, 8192, 1000, 100, 1000, 100, 0o2640, 0, 0, 1_700_000_000, 2000, 0, 1000, "ready"],
  ]);
  assertEquals(fields.layout[1].checksums, [
    "0102030405060708090a0b0c0d0e0f10",
    "1112131415161718191a1b1c1d1e1f20",
  ]);
  const full = { ...MANIFEST, previous: null, table: EMPTY_TABLE };
  assertEquals(await decodeManifest(await encodeManifest(full)), full);
});

Deno.test("every flipped bit of a manifest is found, in blanks and in the checksum too", async () => {
  const bytes = await encodeManifest(MANIFEST);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    await assertRejects(() => decodeManifest(bytes), CheckpointError, undefined, `bit ${bit}`);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  assertEquals(await decodeManifest(bytes), MANIFEST);
});

Deno.test("a manifest that is cut, grown or empty is refused", async () => {
  const bytes = await encodeManifest(MANIFEST);
  for (const size of [0, 1, 80, 81, 82, bytes.length - 1]) {
    await assertRejects(() => decodeManifest(bytes.slice(0, size)), CheckpointError, undefined, `${size} bytes`);
  }
  await assertRejects(() => decodeManifest(new Uint8Array([...bytes, 0x0a])), CheckpointError);
});

Deno.test("a checksum that fits makes no field believed", async () => {
  await decodeManifest(await forged(() => {}));
  const cases: [RegExp, (fields: Record<string, unknown>) => void][] = [
    [/format 2.*reads format 1/, (fields) => fields.format = 2],
    [/format is not a whole number/, (fields) => delete fields.format],
    [/epoch is not a whole number/, (fields) => fields.epoch = "12"],
    [/incarnation is not a whole number/, (fields) => fields.incarnation = -1],
    [/time is not one/, (fields) => fields.time = "yesterday"],
    [/software is not a text/, (fields) => fields.software = ""],
    [/previous is not an object/, (fields) => fields.previous = []],
    [/layout is not an array/, (fields) => fields.layout = {}],
    [/names no server/, (fields) => fields.layout = []],
    [/0 is not an object/, (fields) => fields.layout = [null]],
    [/called \.\.\/\.\.\/etc\/passwd/, (fields) => first(fields).file = "../../etc/passwd"],
    [/does not begin where/, (fields) => first(fields).base = 4096],
    [/has no bytes/, (fields) => first(fields).size = 0],
    [/size is not a whole number/, (fields) => first(fields).size = 1.5],
    [/3 checksums for 4194304 bytes/, (fields) => first(fields).size = 4 * MIB],
    [/more changed bytes than bytes/, (fields) => first(fields).changedSize = 3 * MIB + 1],
    [/way this dsm does not know/, (fields) => first(fields).method = "magic"],
    [/cookie is not 32 hexadecimal digits/, (fields) => first(fields).cookie = "0".repeat(31) + "A"],
    [/segments is not an array/, (fields) => delete fields.segments],
    [/ids is not an object/, (fields) => delete fields.ids],
    [/lastIndex is not a whole number/, (fields) => fields.ids = { sequence: 0, lastIndex: -1 }],
    [/sequence/, (fields) => fields.ids = { sequence: 65_535, lastIndex: 0 }],
    [/a segment ends beyond the last server/, (fields) => firstSegment(fields).base = 4 * MIB - 4096],
    [/segment 0 was not there yet/, (fields) => firstSegment(fields).state = "pending"],
    [/marked for removal/, (fields) => Object.assign(firstSegment(fields), { key: 0, mode: 0o1640 })],
    [/segment 2 begins in another one/, (fields) => firstSegment(fields).rangeSize = 20_480],
    [/has no whole number .* as uid/, (fields) => firstSegment(fields).uid = "root"],
    [/1 is not 32 hexadecimal digits/, (fields) => (first(fields).checksums as unknown[])[1] = null],
  ];
  for (const [says, change] of cases) {
    const error = await assertRejects(async () => decodeManifest(await forged(change)), CheckpointError);
    assert(says.test(error.message), `${error.message} is not ${says}`);
  }
});
