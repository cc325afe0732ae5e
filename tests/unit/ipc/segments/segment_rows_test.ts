/** Rows that nobody vouches for: one that is wrong is refused by name, and a sample of format 1 stays readable. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CheckpointError } from "../../../../lib/base/errors.ts";
import { SHM_DEST, SHM_LOCKED } from "../../../../lib/ipc/segments/flags.ts";
import { EMPTY_TABLE, fromRows, requirePictureRows, restoredRows } from "../../../../lib/ipc/segments/segment_rows.ts";
import type { AttachmentRow, SegmentRow, TableRows } from "../../../../lib/ipc/segments/segment_rows.ts";
import { SegmentTable } from "../../../../lib/ipc/segments/segment_table.ts";
import { principal, spaceOf } from "./tables.ts";

/** As dsm 0.1 has written it. Not to be changed: what was stored once has to stay readable. */
const SAMPLE = `{
  "format": 1, "sequence": 1, "lastIndex": 3, "nextAttachment": 9,
  "segments": [
    { "id": 2, "key": 4294967295, "size": 100, "uid": 1, "gid": 2, "cuid": 3, "cgid": 4, "mode": 384, "atime": 10,
      "dtime": 0, "ctime": 5, "cpid": 77, "lpid": 78, "lockerUid": null, "base": 0, "rangeSize": 4096, "state": "ready" },
    { "id": 32769, "key": 0, "size": 4097, "uid": 1, "gid": 2, "cuid": 3, "cgid": 4, "mode": 1920, "atime": 10,
      "dtime": 9, "ctime": 5, "cpid": 77, "lpid": 78, "lockerUid": 1, "base": 8192, "rangeSize": 8192, "state": "ready" },
    { "id": 32771, "key": 6, "size": 1, "uid": 1, "gid": 2, "cuid": 1, "cgid": 2, "mode": 384, "atime": 0, "dtime": 0,
      "ctime": 5, "cpid": 77, "lpid": 0, "lockerUid": null, "base": 4096, "rangeSize": 4096, "state": "pending" }
  ],
  "attachments": [
    { "number": 4, "segmentId": 32769, "session": "a", "pid": 78, "access": "read" },
    { "number": 8, "segmentId": 2, "session": "b", "pid": 79, "access": "write" }
  ]
}`;

function sample(): TableRows {
  return JSON.parse(SAMPLE);
}

Deno.test("rows: the sample of format 1 is read, and written as it was", () => {
  const table = new SegmentTable(spaceOf([{ size: 65_536, blockSize: 4096 }]), { rows: sample() });
  assertEquals(table.toRows(), sample());
  assertEquals(table.stat(principal(0, 0), 32_769).nattch, 1);
  assertEquals(table.shmget(principal(0, 0), 0, 1, 0, 1).id, 32_772);
});

/** The sample with other fields in one segment. */
function withSegment(index: number, fields: Partial<Record<keyof SegmentRow, unknown>>): unknown {
  const rows = sample();
  return { ...rows, segments: rows.segments.map((row, at) => at === index ? { ...row, ...fields } : row) };
}

/** The sample with other fields in one attachment. */
function withAttachment(index: number, fields: Partial<Record<keyof AttachmentRow, unknown>>): unknown {
  const rows = sample();
  return { ...rows, attachments: rows.attachments.map((row, at) => at === index ? { ...row, ...fields } : row) };
}

const WRONG: readonly (readonly [string, unknown, RegExp])[] = [
  ["no object", 5, /is no row/],
  ["null", null, /is no row/],
  ["a later format", { ...sample(), format: 2 }, /has not format 1/],
  ["no list", { ...sample(), segments: {} }, /no list as segments/],
  ["a row that is none", { ...sample(), segments: [7] }, /a segment is no row/],
  ["a sequence too many", { ...sample(), sequence: 65_535 }, /as sequence/],
  ["an index too many", { ...sample(), lastIndex: 32_768 }, /as lastIndex/],
  ["an attachment to come", { ...sample(), nextAttachment: 8 }, /attachment 8 has a number to come/],
  ...([
    "id",
    "key",
    "size",
    "base",
    "rangeSize",
    "uid",
    "gid",
    "cuid",
    "cgid",
    "mode",
    "atime",
    "dtime",
    "ctime",
    "cpid",
    "lpid",
  ] as const)
    .flatMap((name) =>
      [undefined, null, "1", -1, 0.5, 2 ** 53].map((value) =>
        [`${name} ${value}`, withSegment(0, { [name]: value }), new RegExp(`a segment.* as ${name}`)] as const
      )
    ),
  ["an id too large", withSegment(0, { id: 2 ** 31 - 1 }), /as id/],
  ["a key too large", withSegment(0, { key: 2 ** 32 }), /as key/],
  ["a mode with unknown bits", withSegment(0, { mode: 0o10600 }), /as mode/],
  ["no size", withSegment(0, { size: 0 }), /as size/],
  ["more than its range", withSegment(0, { size: 4097 }), /larger than its range/],
  ["a range beyond all", withSegment(1, { base: Number.MAX_SAFE_INTEGER }), /ends at no address/],
  ["a lock without a locker", withSegment(0, { mode: SHM_LOCKED }), /a lock without a locker/],
  ["a locker without a lock", withSegment(0, { lockerUid: 1 }), /a lock without a locker/],
  ["a mark and a key", withSegment(1, { key: 9 }), /marked for removal and has a key/],
  [
    "a mark and nobody attached",
    withSegment(2, { key: 0, mode: SHM_DEST }),
    /marked for removal and attached by nobody/,
  ],
  ["an unknown state", withSegment(0, { state: "gone" }), /"gone" as state, not pending or ready/],
  ["two with an index", withSegment(0, { id: 1 }), /two segments have the same index/],
  ["two with a key", withSegment(0, { key: 6 }), /two segments have the same key/],
  ["one in another", withSegment(2, { base: 4095 }), /begins in another one/],
  ["an attachment of nothing", withAttachment(0, { segmentId: 7 }), /attachment 4 is of no segment/],
  ["an attachment of what is pending", withAttachment(1, { segmentId: 32_771 }), /attachment 8 is of no segment/],
  ["two attachments with a number", withAttachment(0, { number: 8 }), /two attachments have the same number/],
  ["an attachment without a session", withAttachment(0, { session: "" }), /no text as session/],
  ["an attachment for something else", withAttachment(0, { access: "x" }), /as access/],
];

Deno.test("rows: what is wrong is refused, and named", () => {
  for (const [what, rows, message] of WRONG) {
    assertMatch(assertThrows(() => fromRows(rows), CheckpointError, undefined, what).message, message, what);
  }
});

Deno.test("a picture has what can be seen and found, without attachments; what else is in one is refused", () => {
  const table = new SegmentTable(spaceOf([{ size: 65_536, blockSize: 4096 }]), { rows: sample() });
  const [seen, marked, pending] = sample().segments as [SegmentRow, SegmentRow, SegmentRow];
  const picture = table.toPicture();
  assertEquals(picture, { ...EMPTY_TABLE, sequence: 1, lastIndex: 3, segments: [seen] });
  assertEquals(requirePictureRows(picture), picture);
  const refused = (rows: unknown): string => assertThrows(() => requirePictureRows(rows), CheckpointError).message;
  assertMatch(refused(sample()), /has an attachment/);
  assertMatch(refused({ ...picture, segments: [seen, pending] }), /segment 32771 was not there yet/);
  assertMatch(refused({ ...picture, segments: [marked] }), /32769 is marked for removal/);
});

Deno.test("restored: the segments of the picture, and ids and attachments that go on from wherever they have come", () => {
  const picture = { ...EMPTY_TABLE, sequence: 1, lastIndex: 3, segments: sample().segments.slice(0, 1) };
  const present = { format: 1, sequence: 4, lastIndex: 2, nextAttachment: 90 };
  const { segments } = picture;
  assertEquals(restoredRows(present, picture), { ...present, segments, attachments: [] });
  assertEquals(restoredRows({ ...present, sequence: 0 }, picture), {
    ...present,
    sequence: 1,
    lastIndex: 3,
    segments,
    attachments: [],
  });
});
