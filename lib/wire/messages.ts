/**
 * THE table of messages: kinds, directions, fields, largest sizes. Encoder, decoder, validation and docs/PROTOCOL.md are
 * made from it; nothing else in the project knows a kind's number or the order of its fields.
 */

/** How a field is carried: `u8`…`u64` are msgpack integers of any width, `word` a 64-bit one given as a bigint. */
export type FieldType = "u8" | "u32" | "u64" | "word" | "bool" | "text" | "bytes" | "rows";

/** One value in a row of a `rows` field. */
export type Cell = number | string | boolean;

/** What each field type is in TypeScript. */
export interface FieldValue {
  /** 0 to 255. */
  u8: number;
  /** 0 to 2^32 - 1. */
  u32: number;
  /** 0 to 2^53 - 1. */
  u64: number;
  /** 0 to 2^64 - 1. */
  word: bigint;
  /** true or false. */
  bool: boolean;
  /** UTF-8. */
  text: string;
  /** Raw bytes. */
  bytes: Uint8Array;
  /** An array of arrays of numbers, texts and truth values. */
  rows: readonly (readonly Cell[])[];
}

/** One kind of message. */
export interface MessageShape {
  /** Its number on the wire, 0 to 127: one byte in every header. */
  readonly kind: number;
  /** Who sends it. */
  readonly from: "client" | "server";
  /** Which roles serve it (a request), or answer with it. */
  readonly roles: "any" | "server" | "config";
  /** The fields after `[id, kind, incarnation, epoch]`, in order. */
  readonly fields: Readonly<Record<string, FieldType>>;
  /** The most bytes that may follow the header. */
  readonly payloadMax: number;
  /** One line for docs/PROTOCOL.md. */
  readonly about: string;
}

/** The native dialect begins with these four bytes, in both directions. */
export const MAGIC: Uint8Array<ArrayBuffer> = new TextEncoder().encode("DSM1");
/** The version of the native dialect spoken here. */
export const PROTOCOL_VERSION = 1;
/** Bytes before a header: its length and the payload's, 32 bits each, big-endian. */
export const PREFIX_SIZE = 8;
/** The largest header: the layout of a space of 1,024 servers that are all down, each with its reason, fits twice. */
export const HEADER_SIZE_MAX = 192 * 1024;
/** The most bytes one request reads or writes; what is longer goes in several, each atomic by itself. */
export const OPERATION_SIZE_MAX = 64 * 1024 * 1024;
/** The most bytes one `wait` compares. */
export const WAIT_SIZE_MAX = 64;
/** Bytes of a session's token. */
export const TOKEN_SIZE = 16;
/** How many answers to requests that must not be carried out twice a session remembers, the latest ones. */
export const REMEMBERED_MAX = 256;

/** The table. */
export const MESSAGES = {
  hello: {
    kind: 1,
    from: "client",
    roles: "any",
    fields: { versionMin: "u8", versionMax: "u8", software: "text", token: "bytes" },
    payloadMax: 0,
    about: "The first frame. `token` is empty, or a session's to resume it.",
  },
  welcome: {
    kind: 2,
    from: "server",
    roles: "any",
    fields: { version: "u8", role: "text", token: "bytes", resumed: "bool" },
    payloadMax: 0,
    about: "The answer to `hello`: the version chosen, and the session's token.",
  },
  error: {
    kind: 3,
    from: "server",
    roles: "any",
    fields: { code: "text", message: "text" },
    payloadMax: 0,
    about:
      "The request was refused and changed nothing. `code` is a POSIX errno's name, `message` a sentence for people.",
  },
  ping: {
    kind: 4,
    from: "client",
    roles: "any",
    fields: {},
    payloadMax: 0,
    about: "Are you there?",
  },
  pong: { kind: 5, from: "server", roles: "any", fields: {}, payloadMax: 0, about: "I am." },
  read: {
    kind: 8,
    from: "client",
    roles: "server",
    fields: { offset: "u64", size: "u32" },
    payloadMax: 0,
    about: "Read `size` bytes of the region from `offset`.",
  },
  readReply: {
    kind: 9,
    from: "server",
    roles: "server",
    fields: {},
    payloadMax: OPERATION_SIZE_MAX,
    about: "The bytes, as the payload.",
  },
  write: {
    kind: 10,
    from: "client",
    roles: "server",
    fields: { offset: "u64" },
    payloadMax: OPERATION_SIZE_MAX,
    about: "Write the payload at `offset`.",
  },
  writeReply: {
    kind: 11,
    from: "server",
    roles: "server",
    fields: {},
    payloadMax: 0,
    about: "It is written (or filled).",
  },
  fill: {
    kind: 12,
    from: "client",
    roles: "server",
    fields: { offset: "u64", size: "u32", byte: "u8" },
    payloadMax: 0,
    about: "Set `size` bytes from `offset` to `byte`. Answered by `writeReply`.",
  },
  fetchAdd: {
    kind: 14,
    from: "client",
    roles: "server",
    fields: { offset: "u64", width: "u8", operand: "word" },
    payloadMax: 0,
    about:
      "Add `operand` to the little-endian word of `width` bytes (4 or 8) at `offset`, a multiple of it. Not repeatable.",
  },
  valueReply: {
    kind: 15,
    from: "server",
    roles: "server",
    fields: { value: "word" },
    payloadMax: 0,
    about: "The word as it was before.",
  },
  compareExchange: {
    kind: 16,
    from: "client",
    roles: "server",
    fields: { offset: "u64", width: "u8", expected: "word", replacement: "word" },
    payloadMax: 0,
    about: "If the word is `expected`, make it `replacement`. Answered by `valueReply`. Not repeatable.",
  },
  wait: {
    kind: 18,
    from: "client",
    roles: "server",
    fields: { offset: "u64", timeoutMs: "u32" },
    payloadMax: WAIT_SIZE_MAX,
    about: "Answer with a `readReply` once the bytes at `offset` differ from the payload, or `timeoutMs` have passed.",
  },
  regionInfo: {
    kind: 20,
    from: "client",
    roles: "server",
    fields: {},
    payloadMax: 0,
    about: "What is this server's region?",
  },
  regionInfoReply: {
    kind: 21,
    from: "server",
    roles: "server",
    fields: {
      size: "u64",
      blockSize: "u32",
      guardCount: "u32",
      startCount: "u32",
      pid: "u32",
      transport: "text",
      attachable: "bool",
      shmid: "u32",
      semid: "u32",
      cookie: "text",
      suspectCount: "u32",
      connectionCount: "u32",
      operationCount: "u64",
      byteCount: "u64",
      waitCount: "u64",
      uptimeMs: "u64",
    },
    payloadMax: 0,
    about:
      "Its shape; the ids and cookie by which a program on the same host attaches it; and what has passed through.",
  },
  blockStates: {
    kind: 22,
    from: "client",
    roles: "server",
    fields: {},
    payloadMax: 0,
    about: "What is the state of every block?",
  },
  blockStatesReply: {
    kind: 23,
    from: "server",
    roles: "server",
    fields: { blockCount: "u32", guards: "rows", suspects: "rows" },
    payloadMax: 0,
    about:
      "`guards`: a row `[guard, value, lastPid, waiterCount]` for each guard that is not simply free; `suspects`: a row " +
      "`[block]` each.",
  },
  layout: {
    kind: 32,
    from: "client",
    roles: "config",
    fields: {},
    payloadMax: 0,
    about: "Which servers make the space?",
  },
  layoutReply: {
    kind: 33,
    from: "server",
    roles: "config",
    fields: { revision: "u32", servers: "rows" },
    payloadMax: 0,
    about:
      "A row `[host, port, base, size, blockSize, alive, reason]` per server, in the order of the space; a size of 0 is " +
      "not known yet, and then neither are the bases after it.",
  },
} as const satisfies Record<string, MessageShape>;

/** A message's name. */
export type MessageName = keyof typeof MESSAGES;

/** The fields of a message, by name. */
export type Fields<N extends MessageName> = {
  readonly [F in keyof (typeof MESSAGES)[N]["fields"]]: (typeof MESSAGES)[N]["fields"][F] extends FieldType
    ? FieldValue[(typeof MESSAGES)[N]["fields"][F]]
    : never;
};

const BY_KIND: (MessageName | undefined)[] = [];
for (const [name, shape] of Object.entries(MESSAGES)) BY_KIND[shape.kind] = name as MessageName;

/** The name of kind `kind`, or undefined when there is none. */
export function messageName(kind: number): MessageName | undefined {
  return BY_KIND[kind];
}
