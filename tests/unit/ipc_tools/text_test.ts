/** What the tools print, against what util-linux 2.38 printed of the same segments. */
import { assertEquals } from "@std/assert";
import { SHM_DEST, SHM_LOCKED } from "../../../lib/ipc/segments/flags.ts";
import { DEFAULT_LIMITS } from "../../../lib/ipc/segments/limits.ts";
import { limitsRow, segmentRow, usageRow } from "../../../roles/ipc/rows.ts";
import type { ListedSegment } from "../../../roles/ipc/segments.ts";
import {
  creatorsText,
  limitsText,
  pidsText,
  segmentsText,
  segmentText,
  timesText,
  usageText,
} from "../../../roles/ipc/text.ts";

/** Seconds since 1970 of a local time in November 2026. */
const november = (day: number, hours: number, minutes: number, seconds: number): number =>
  new Date(2026, 10, day, hours, minutes, seconds).getTime() / 1000;

const PLAIN: ListedSegment = {
  ...{ id: 10354738, key: 0x7f45733a, size: 5000, mode: 0o640, nattch: 0 },
  ...{ uid: 0, gid: 0, cuid: 0, cgid: 0, cpid: 25138, lpid: 0 },
  ...{ atime: 0, dtime: 0, ctime: november(21, 12, 54, 14) },
};
const MARKED: ListedSegment = {
  ...{ id: 8486937, key: 0, size: 278_528, mode: 0o600 | SHM_DEST | SHM_LOCKED, nattch: 1 },
  ...{ uid: 1000, gid: 1001, cuid: 1002, cgid: 1003, cpid: 15027, lpid: 15028 },
  ...{ atime: november(1, 2, 3, 4), dtime: november(21, 12, 51, 17), ctime: november(21, 12, 51, 15) },
};
const SEGMENTS = [PLAIN, MARKED];

const NAMES = {
  user: (uid: number) => new Map([[0, "root"], [1000, "somebody-with-a-name"]]).get(uid),
  group: (gid: number) => new Map([[0, "wheel"]]).get(gid),
};

/** Recorded lines: a `$` stands for the end of each, so that padding is seen. */
function recorded(text: string): string {
  return text.trim().split("\n").map((line) => line.trimStart().replace(/\$$/, "")).join("\n");
}

Deno.test("ipcs -m: keys, ids, owners, permissions, bytes, attachments, status", () => {
  assertEquals(
    segmentsText(SEGMENTS, NAMES),
    recorded(`
      $
      ------ Shared Memory Segments --------$
      key        shmid      owner      perms      bytes      nattch     status      $
      0x7f45733a 10354738   root       640        5000       0                       $
      0x00000000 8486937    somebody-w 600        278528     1          dest   locked$
      $`),
  );
});

Deno.test("ipcs -m with no segment is its headings", () => {
  assertEquals(
    segmentsText([], NAMES),
    recorded(`
      $
      ------ Shared Memory Segments --------$
      key        shmid      owner      perms      bytes      nattch     status      $
      $`),
  );
});

Deno.test("ipcs -m -t: times of this year and any other, and those that never were", () => {
  assertEquals(
    timesText(SEGMENTS, NAMES),
    recorded(`
      $
      ------ Shared Memory Attach/Detach/Change Times --------$
      shmid      owner      attached             detached             changed             $
      10354738   root       Not set              Not set              Nov 21 12:54:14     $
      8486937    somebody-w Nov  1 02:03:04      Nov 21 12:51:17      Nov 21 12:51:15     $
      $`),
  );
});

Deno.test("ipcs -m -p: creator and last", () => {
  assertEquals(
    pidsText(SEGMENTS, NAMES),
    recorded(`
      $
      ------ Shared Memory Creator/Last-op PIDs --------$
      shmid      owner      cpid       lpid      $
      10354738   root       25138      0         $
      8486937    somebody-w 15027      15028     $
      $`),
  );
});

Deno.test("ipcs -m -c: by name where there is one, whole names here", () => {
  assertEquals(
    creatorsText(SEGMENTS, NAMES),
    recorded(`
      $
      ------ Shared Memory Segment Creators/Owners --------$
      shmid      perms      cuid       cgid       uid        gid       $
      10354738   640        root       wheel      root       wheel     $
      8486937    600        1002       1003       somebody-with-a-name 1001      $
      $`),
  );
});

Deno.test("ipcs -m -i: all of one", () => {
  assertEquals(
    segmentText(PLAIN),
    recorded(`
      $
      Shared memory Segment shmid=10354738$
      uid=0\tgid=0\tcuid=0\tcgid=0$
      mode=0640\taccess_perms=0640$
      bytes=5000\tlpid=0\tcpid=25138\tnattch=0$
      att_time=Not set                   $
      det_time=Not set                   $
      change_time=Sat Nov 21 12:54:14 2026  $
      $`),
  );
  assertEquals(segmentText(MARKED).split("\n")[3], "mode=03600\taccess_perms=0600");
});

Deno.test("ipcs -m -l: no limit is a large number, never one that wrapped around", () => {
  assertEquals(
    limitsText(DEFAULT_LIMITS),
    recorded(`
      $
      ------ Shared Memory Limits --------$
      max number of segments = 4096$
      max seg size (kbytes) = 18014398509465599$
      max total shared memory (kbytes) = 18446744073709551612$
      min seg size (bytes) = 1$
      $`),
  );
  assertEquals(
    limitsText({ ...DEFAULT_LIMITS, shmall: 1000n }).split("\n")[4],
    "max total shared memory (kbytes) = 4000",
  );
});

Deno.test("ipcs -m -u: what a cluster does not know is left out", () => {
  const text = recorded(`
    $
    ------ Shared Memory Status --------$
    segments allocated 2$
    pages allocated 70$
    pages resident  2$
    pages swapped   0$
    Swap performance: 0 attempts\t 0 successes$
    $`);
  const usage = { segmentCount: 2, pageCount: 70 };
  assertEquals(usageText({ ...usage, residentPageCount: 2, swappedPageCount: 0 }), text);
  assertEquals(usageText(usage), text.replace(/pages resident[^$]*successes\n/, ""));
});

Deno.test("--json: bytes and UTC, and null for what is not known", () => {
  assertEquals(segmentRow({ ...MARKED, ctime: 1_795_265_477, dtime: 0, atime: 0, range: { base: 8192, size: 4096 } }), {
    ...{ id: 8486937, key: 0, size: 278_528, base: 8192, perms: "0600", dest: true, locked: true },
    ...{ uid: 1000, gid: 1001, cuid: 1002, cgid: 1003, cpid: 15027, lpid: 15028, nattch: 1 },
    ...{ atime: null, dtime: null, ctime: "2026-11-21T12:51:17.000Z" },
  });
  assertEquals(segmentRow(PLAIN)["base"], null);
  assertEquals(limitsRow({ shmmni: 5, shmmin: 1, shmmax: 8192n, shmall: 3n }), {
    ...{ segmentCountMax: 5, segmentSizeMin: 1, segmentSizeMax: 8192, totalSizeMax: 12_288 },
  });
  assertEquals(usageRow({ segmentCount: 2, pageCount: 70 }), {
    ...{ segmentCount: 2, allocatedSize: 286_720, residentSize: null, swappedSize: null },
  });
});
