/** The simple dialect's bytes: what the words are, which sizes fit, and Linux's struct shmid_ds. */
import { assertEquals } from "@std/assert";
import { IPC_SET, IPC_STAT } from "../../../lib/ipc/common/flags.ts";
import {
  decodeOwnership,
  encodeShmidDs,
  encodeStatus,
  fitsCommand,
  givenSizeMax,
  putSimpleReply,
  putSimpleRequest,
  sentSize,
  SHMID_DS_SIZE,
  SIMPLE_COMMANDS,
  SIMPLE_DATA_SIZE_MAX,
  SIMPLE_IPC_SET,
  SIMPLE_IPC_STAT,
  SIMPLE_REQUEST_SIZE,
  simpleReplySize,
  simpleRequest,
} from "../../../lib/wire/simple.ts";
import type { SimpleCommandName, SimpleRequest } from "../../../lib/wire/simple.ts";

function request(name: SimpleCommandName | undefined, size: number, flags = 0): SimpleRequest {
  return { name, size, shmid: 1, flags, offset: 0 };
}

Deno.test("simple: the commands are numbered as the ancestor had them", () => {
  assertEquals(Object.entries(SIMPLE_COMMANDS).map(([name, { code }]) => `${code} ${name}`), [
    "1 CMD_CREATE_SEGMENT",
    "2 CMD_ATTACH_SEGMENT",
    "3 CMD_DETACH_SEGMENT",
    "4 CMD_REMOVE_SEGMENT",
    "5 CMD_READ_DATA",
    "6 CMD_WRITE_DATA",
    "7 CMD_GET_STATUS",
    "8 CMD_SHMCTL",
  ]);
});

Deno.test("simple: the words of requests and replies, in network order", () => {
  const bytes = new Uint8Array(SIMPLE_REQUEST_SIZE);
  const view = new DataView(bytes.buffer);
  putSimpleRequest(view, 0, 6, { size: 5, shmid: -2, flags: 0o1600, offset: 0xffff_ffff });
  assertEquals(bytes.toHex(), "00000006" + "00000005" + "fffffffe" + "00000380" + "ffffffff");
  assertEquals(simpleRequest(view, 0), {
    name: "CMD_WRITE_DATA",
    size: 5,
    shmid: -2,
    flags: 0o1600,
    offset: 0xffff_ffff,
  });
  putSimpleRequest(view, 0, 9, { size: 0, shmid: 0, flags: 0, offset: 0 });
  assertEquals(simpleRequest(view, 0).name, undefined);
  putSimpleReply(view, 0, -1, 22, 7);
  assertEquals(bytes.subarray(0, 12).toHex(), "ffffffff" + "00000016" + "00000007");
  assertEquals(simpleReplySize(view, 0), 19);
});

Deno.test("simple: each command takes its own sizes and no others", () => {
  assertEquals([SIMPLE_IPC_SET, SIMPLE_IPC_STAT], [IPC_SET, IPC_STAT]);
  const large = SIMPLE_DATA_SIZE_MAX;
  // name, flags; sizes that fit; sizes that do not; the most that is given
  const cells: [SimpleCommandName | undefined, number, number[], number[], number][] = [
    ["CMD_CREATE_SEGMENT", 0, [8], [0, 7, 9], 0],
    ["CMD_ATTACH_SEGMENT", 0, [0], [1, large], 0],
    ["CMD_DETACH_SEGMENT", 0, [0], [1], 0],
    ["CMD_REMOVE_SEGMENT", 0, [0], [1], 0],
    ["CMD_READ_DATA", 0, [large], [large + 1, 0xffff_ffff], large],
    ["CMD_WRITE_DATA", 0, [0, large], [large + 1], 0],
    ["CMD_GET_STATUS", 0, [0], [16], 16],
    ["CMD_SHMCTL", 0, [0], [112], 0],
    ["CMD_SHMCTL", IPC_SET, [112], [0, 111, 113], 0],
    ["CMD_SHMCTL", IPC_STAT, [0], [112], 112],
    [undefined, 0, [0], [1], 0],
  ];
  for (const [name, flags, fit, unfit, given] of cells) {
    for (const size of fit) {
      const asked = request(name, size, flags);
      assertEquals([fitsCommand(asked), givenSizeMax(asked)], [true, given], `${name} ${size}`);
      assertEquals(sentSize(asked), name === "CMD_READ_DATA" ? 0 : size);
    }
    for (const size of unfit) assertEquals(fitsCommand(request(name, size, flags)), false, `${name} ${size}`);
  }
});

const STATUS = {
  key: 0x5e6,
  uid: 1,
  gid: 2,
  cuid: 3,
  cgid: 4,
  mode: 0o1640,
  size: 2 ** 33 + 1,
  atime: 5,
  dtime: 6,
  ctime: 7,
  cpid: 8,
  lpid: 9,
  nattch: 10,
};

Deno.test("simple: a status in 16 bytes and as Linux's struct shmid_ds", () => {
  assertEquals(encodeStatus(STATUS).toHex(), "0100000002000000" + "0a000000" + "a0030000");
  const bytes = encodeShmidDs(STATUS);
  assertEquals(bytes.length, SHMID_DS_SIZE);
  // struct ipc64_perm has 48 bytes; what C says of it is in tests/process/simple_test.ts
  assertEquals(
    bytes.subarray(0, 24).toHex(),
    "e6050000" + "01000000" + "02000000" + "03000000" + "04000000" + "a0030000",
  );
  assertEquals(decodeOwnership(new DataView(bytes.buffer)), { uid: 1, gid: 2, mode: 0o1640 });
});
