/** What shmctl gives, over the wire and back. */
import { assertEquals, assertThrows } from "@std/assert";
import { ProtocolError } from "../../../lib/base/errors.ts";
import { DEFAULT_LIMITS } from "../../../lib/ipc/segments/limits.ts";
import type { ShmctlResult } from "../../../lib/ipc/segments/shmctl.ts";
import { fromShmctlReply, toShmctlReply } from "../../../lib/node/common/shmctl_reply.ts";
import { decodeHeader, encodeFrame } from "../../../lib/wire/frame.ts";
import { PREFIX_SIZE } from "../../../lib/wire/messages.ts";
import type { Fields } from "../../../lib/wire/messages.ts";

/** Every field another value, so that none can be taken for another. */
const STATUS = {
  ...{ id: 2 ** 31 - 32769, key: 2 ** 32 - 1, size: 2 ** 40, range: { base: 2 ** 41, size: 2 ** 40 + 4096 } },
  ...{ uid: 1, gid: 2, cuid: 3, cgid: 4, mode: 0o1777, nattch: 6, atime: 7, dtime: 8, ctime: 9, cpid: 10, lpid: 11 },
};

const RESULTS: ShmctlResult[] = [
  { value: 0 },
  { value: STATUS.id, status: STATUS },
  { value: 5, limits: DEFAULT_LIMITS },
  { value: 5, limits: { shmmax: 1n, shmmin: 2, shmmni: 3, shmall: 4n, memlock: 5 } },
  { value: 63, usage: { segmentCount: 12, pageCount: 2 ** 40 } },
];

Deno.test("every result comes back as it was", () => {
  for (const result of RESULTS) {
    const frame = encodeFrame("shmctlReply", { id: 1, incarnation: 0, epoch: 0 }, toShmctlReply(result));
    const { fields } = decodeHeader(frame.subarray(PREFIX_SIZE));
    assertEquals(fromShmctlReply(fields as Fields<"shmctlReply">), result);
  }
});

Deno.test("rows of another shape are refused", () => {
  const none = { value: 0, status: [], limits: [], usage: [] };
  for (const bad of [{ status: [[1, 2]] }, { limits: [[1, 2, 3, 4, 5]] }, { usage: [["1", 2]] }]) {
    assertThrows(() => fromShmctlReply({ ...none, ...bad }), ProtocolError);
  }
});
