/** The simple dialect for people and for C: the tables of docs/PROTOCOL.md, and include/distributed_shm.h. */
import {
  encodeStatus,
  putSimpleReply,
  putSimpleRequest,
  SHMID_DS_SIZE,
  SIMPLE_COMMANDS,
  SIMPLE_DATA_SIZE_MAX,
  SIMPLE_REPLY_SIZE,
  SIMPLE_REQUEST_SIZE,
} from "../../lib/wire/simple.ts";
import type { SimpleCommandShape } from "../../lib/wire/simple.ts";

const COMMANDS = Object.entries<SimpleCommandShape>(SIMPLE_COMMANDS);

/** The rows of the table of commands, with its titles. */
export function commandRows(): string[][] {
  return [
    ["command", "name", "shmid", "flags", "data sent", "result", "data given"],
    ...COMMANDS.map(([name, { code, shmid, flags, sends, result, gives }]) => {
      return [String(code), `\`${name}\``, shmid, flags, sends, result, gives];
    }),
  ];
}

/** include/distributed_shm.h. */
export function simpleHeader(): string {
  const plain = (text: string): string => text.replaceAll("`", "");
  const about = ({ shmid, flags, sends, result, gives }: SimpleCommandShape): string => {
    const parts = [["shmid", shmid], ["flags", flags], ["sends", sends], ["result", result], ["gives", gives]] as const;
    return parts.filter(([, text]) => text !== "").map(([what, text]) => `${what}: ${plain(text)}`).join("; ");
  };
  return `/* The simple dialect of dsm for programs in C: docs/PROTOCOL.md tells it, examples/simple_client.c speaks it.
 *
 * Made by \`deno run -A tools/docs.ts\` from lib/wire/simple.ts; do not edit by hand.
 *
 * A request is a shm_header_t and then its data; the reply is a shm_response_t and then its data. The words of both are in
 * network order, numbers in the data are little-endian. Sizes are in bytes.
 */
#ifndef DISTRIBUTED_SHM_H
#define DISTRIBUTED_SHM_H

#include <stdint.h>

typedef enum {
${COMMANDS.map(([name, shape]) => `  /* ${about(shape)} */\n  ${name} = ${shape.code},`).join("\n")}
} shm_command_t;

/* The most data of one request or reply. */
#define SHM_DATA_SIZE_MAX ${SIMPLE_DATA_SIZE_MAX}u

typedef struct {
  uint32_t command; /* a shm_command_t */
  uint32_t size;    /* bytes of data that follow; with CMD_READ_DATA, where none does, how many are wanted */
  int32_t shmid;    /* the segment; with CMD_CREATE_SEGMENT its key */
  int32_t flags;
  uint32_t offset; /* in the segment, for CMD_READ_DATA and CMD_WRITE_DATA */
} shm_header_t;

typedef struct {
  int32_t result;     /* -1 when error is not 0 */
  uint32_t error;     /* 0, or an errno */
  uint32_t data_size; /* bytes of data that follow */
} shm_response_t;

_Static_assert(sizeof(shm_header_t) == ${SIMPLE_REQUEST_SIZE}, "as on the wire");
_Static_assert(sizeof(shm_response_t) == ${SIMPLE_REPLY_SIZE}, "as on the wire");

/* A struct shmid_ds travels as Linux has it on 64-bit processors: ${SHMID_DS_SIZE} bytes. */

#endif
`;
}

/** One part of an example: how many bytes, and what they mean. */
type Part = readonly [size: number, meaning: string];

const WORDS = ["command", "size", "shmid", "flags", "offset"] as const;

/** A write of five bytes, and its answer. */
export function writeExample(): { readonly bytes: Uint8Array<ArrayBuffer>; readonly parts: readonly Part[] } {
  const text = new TextEncoder().encode("hello");
  const bytes = new Uint8Array(SIMPLE_REQUEST_SIZE + text.length);
  const words = { size: text.length, shmid: 1234, flags: 0, offset: 100 };
  const { code } = SIMPLE_COMMANDS.CMD_WRITE_DATA;
  putSimpleRequest(new DataView(bytes.buffer), 0, code, words);
  bytes.set(text, SIMPLE_REQUEST_SIZE);
  const values = { command: `${code}, CMD_WRITE_DATA`, ...words };
  return { bytes, parts: [...WORDS.map((word): Part => [4, `${word}: ${values[word]}`]), [text.length, "the data"]] };
}

/** The answer to a CMD_GET_STATUS. */
export function statusExample(): { readonly bytes: Uint8Array<ArrayBuffer>; readonly parts: readonly Part[] } {
  const none = { key: 0, uid: 0, gid: 0, cuid: 0, cgid: 0, atime: 0, dtime: 0, ctime: 0, cpid: 0, lpid: 0 };
  const data = encodeStatus({ ...none, size: 4096, nattch: 1, mode: 0o600 });
  const bytes = new Uint8Array(SIMPLE_REPLY_SIZE + data.length);
  putSimpleReply(new DataView(bytes.buffer), 0, 0, 0, data.length);
  bytes.set(data, SIMPLE_REPLY_SIZE);
  return {
    bytes,
    parts: [
      [4, "result: 0"],
      [4, "error: 0"],
      [4, `dataSize: ${data.length}`],
      [8, "size: 4096"],
      [4, "nattch: 1"],
      [4, "mode: 0600"],
    ],
  };
}

/** The answer to a request that is refused. */
export function refusalExample(): { readonly bytes: Uint8Array<ArrayBuffer>; readonly parts: readonly Part[] } {
  const bytes = new Uint8Array(SIMPLE_REPLY_SIZE);
  putSimpleReply(new DataView(bytes.buffer), 0, -1, 13, 0);
  return { bytes, parts: [[4, "result: -1"], [4, "error: 13, EACCES"], [4, "dataSize: 0"]] };
}
