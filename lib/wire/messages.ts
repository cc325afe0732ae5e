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
  readonly roles: "any" | "server" | "config" | "logger" | "registry";
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
/** Random bytes that each side puts into a conversation that begins with a challenge. */
export const NONCE_SIZE = 32;
/** Bytes of a proof. */
export const PROOF_SIZE = 32;
/** The largest header of `hello` and `prove`: of somebody who is not let in yet no more is kept. */
export const ENTRY_HEADER_SIZE_MAX = 1024;
/** The most changed bytes one `gathered` carries. */
export const GATHER_SIZE_MAX = 512 * 1024;
/** The most names one `listReply`, and the most events one `watchReply` has: they fit a header at their largest. */
export const NAMES_PER_REPLY_MAX = 128;
/** The largest message: Linux's MSGMAX may be raised so far. */
export const MESSAGE_SIZE_MAX = 64 * 1024;
/** The most bytes of a table of segments on the wire: 32,768 rows with every number as wide as it can be fit. */
export const TABLE_SIZE_MAX = 8 * 1024 * 1024;
/** The most rows of one `owners`: decoding them keeps a memory server from nothing else for more than a millisecond. */
export const OWNER_ROWS_MAX = 512;
/** How many answers to requests that must not be carried out twice a session remembers, the latest ones. */
export const REMEMBERED_MAX = 256;

/** The table. */
export const MESSAGES = {
  hello: {
    kind: 1,
    from: "client",
    roles: "any",
    fields: { versionMin: "u8", versionMax: "u8", software: "text", token: "bytes", nonce: "bytes", uid: "u32" },
    payloadMax: 0,
    about:
      "The first frame. `token` is empty, or a session's to resume it. `nonce` is 32 random bytes of a client that has a " +
      "secret, else empty; `uid` whose program it is, believed only with a proof, and never when it says 0.",
  },
  welcome: {
    kind: 2,
    from: "server",
    roles: "any",
    fields: { version: "u8", role: "text", token: "bytes", resumed: "bool", cookie: "text" },
    payloadMax: 0,
    about:
      "The answer to `hello`: the version chosen, the session's token, and a memory server's `cookie`, which tells its memory " +
      "from any other; empty from everybody else.",
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
  challenge: {
    kind: 6,
    from: "server",
    roles: "any",
    fields: { nonce: "bytes", role: "text" },
    payloadMax: 0,
    about: "The answer to a `hello` from beyond this host: 32 random bytes, and what the server is.",
  },
  prove: {
    kind: 7,
    from: "client",
    roles: "any",
    fields: { proof: "bytes" },
    payloadMax: 0,
    about: "The answer to `challenge`, and the client's last frame that is not sealed.",
  },
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
      reason: "text",
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
      "Its shape; the ids and cookie by which a program on the same host attaches it, or the `reason` why whoever asks may " +
      "not; and what has passed through.",
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
  join: {
    kind: 24,
    from: "client",
    roles: "server",
    fields: { incarnation: "u32", epoch: "u32" },
    payloadMax: 0,
    about:
      "Belong to this life of the cluster from now on, at this epoch or your own. Refused (ESTALE) by a server that is in " +
      "a later life. Sent by the config server to whom it finds in none.",
  },
  done: { kind: 25, from: "server", roles: "any", fields: {}, payloadMax: 0, about: "It is done." },
  owners: {
    kind: 26,
    from: "client",
    roles: "server",
    fields: { startCount: "u32", isLast: "bool", rows: "rows" },
    payloadMax: 0,
    about:
      "Whose ranges of the region are from now on: a row `[offset, size, uid, gid, cuid, cgid, mode]` each. For the config " +
      "server, which begins each connection with all of them, in several messages; with `isLast` the server knows all. " +
      "Without rows, and not the last, it only says that this is the config server, which may touch everything from then on. " +
      "EPERM to anybody but root, the server's own user and who proves the secret; ESTALE: `startCount` is not this start's, " +
      "or it has forgotten them: tell all again. Answered by `done`.",
  },
  adopt: {
    kind: 27,
    from: "client",
    roles: "server",
    fields: { host: "text", port: "u32" },
    payloadMax: 0,
    about:
      "I am the config server of your space, and listen on `port` at `host`, or where `host` is empty at the address you see " +
      "me at. Answered by `done`; EPERM unless from root or the server's own user, ENOTSUP by a standalone server, which " +
      "refuses `join` too. Sent on each new connection; the latest counts.",
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
  loggerInfo: {
    kind: 40,
    from: "client",
    roles: "logger",
    fields: {},
    payloadMax: 0,
    about: "Which server's logger is this, and is it the master?",
  },
  loggerInfoReply: {
    kind: 41,
    from: "server",
    roles: "logger",
    fields: {
      server: "text",
      isMaster: "bool",
      directory: "text",
      pid: "u32",
      size: "u64",
      blockSize: "u32",
      cookie: "text",
      startCount: "u32",
      reason: "text",
    },
    payloadMax: 0,
    about:
      "`server` is `host:port`, `directory` the master's, absolute. `reason` is empty, or says why no checkpoint can be " +
      "taken of its server now. The frame's epoch is the footer's.",
  },
  prepare: {
    kind: 42,
    from: "client",
    roles: "logger",
    fields: { epoch: "u32" },
    payloadMax: 0,
    about:
      "Make ready for the cut of that epoch: a new shadow, armed. Answered by `loggerInfoReply`; EBUSY while another master " +
      "has one under way, ESTALE when the epoch is not beyond the footer's. The connection's end abandons it.",
  },
  cut: {
    kind: 43,
    from: "client",
    roles: "logger",
    fields: { epoch: "u32" },
    payloadMax: 0,
    about: "Move the footer to that epoch, if nobody has yet. Answered by `done`.",
  },
  release: {
    kind: 44,
    from: "client",
    roles: "logger",
    fields: { epoch: "u32" },
    payloadMax: 0,
    about: "Every server has made the cut: connections that carry no epoch may go on. Answered by `done`.",
  },
  gather: {
    kind: 46,
    from: "client",
    roles: "logger",
    fields: { epoch: "u32", since: "u32" },
    payloadMax: 0,
    about:
      "Give the next bytes that have changed since the complete checkpoint `since` (0: since all was zero). Each request " +
      "goes on where the one before it ended.",
  },
  gathered: {
    kind: 47,
    from: "server",
    roles: "logger",
    fields: { since: "u32", next: "u64", runs: "bytes", checksums: "bytes" },
    payloadMax: GATHER_SIZE_MAX,
    about:
      "Everything before `next` has been looked at; at the region's size it is the last. `since` is the one asked for, or 0 " +
      "when this logger does not know it. `runs`: offset (u64) and size (u32), little-endian, of each run of bytes in the " +
      "payload; `checksums`: number (u32, little-endian) and XXH128 (16 bytes) of each MiB that has changed.",
  },
  confirm: {
    kind: 48,
    from: "client",
    roles: "logger",
    fields: { epoch: "u32" },
    payloadMax: 0,
    about:
      "Is the picture of that epoch unbroken, on the same bytes and the same server? Answered by `loggerInfoReply`; " +
      "ECANCELED when it is void.",
  },
  abandon: {
    kind: 49,
    from: "client",
    roles: "logger",
    fields: { epoch: "u32" },
    payloadMax: 0,
    about: "That checkpoint will not be: let go of everything. Answered by `done`, also when there is none.",
  },
  take: {
    kind: 52,
    from: "client",
    roles: "logger",
    fields: {},
    payloadMax: 0,
    about: "Take a checkpoint now, and answer when it is complete. Only the master does (else ENOTSUP).",
  },
  taken: {
    kind: 53,
    from: "server",
    roles: "logger",
    fields: { directory: "text", epoch: "u32", changedSize: "u64", durationMs: "u64" },
    payloadMax: 0,
    about: "It is complete, in that directory (absolute).",
  },
  progress: {
    kind: 54,
    from: "client",
    roles: "logger",
    fields: {},
    payloadMax: 0,
    about: "How far is the checkpoint under way?",
  },
  progressReply: {
    kind: 55,
    from: "server",
    roles: "logger",
    fields: { epoch: "u32", phase: "text", doneSize: "u64", totalSize: "u64" },
    payloadMax: 0,
    about: "`epoch` is 0 when none is under way. Sizes in bytes of the space that have been looked at.",
  },
  suspend: {
    kind: 56,
    from: "client",
    roles: "logger",
    fields: {},
    payloadMax: 0,
    about:
      "Take no checkpoint while this connection lasts; one under way is abandoned. For whoever overwrites the space with an " +
      "older picture. Answered by `done`.",
  },
  shmget: {
    kind: 60,
    from: "client",
    roles: "config",
    fields: { key: "u32", size: "word", flags: "u32", pid: "u32" },
    payloadMax: 0,
    about:
      "System V's `shmget`, called by process `pid`. Answered when a new segment has been zeroed; EAGAIN when that takes too " +
      "long for whoever waits for another one's. Not repeatable.",
  },
  shmgetReply: { kind: 61, from: "server", roles: "config", fields: { id: "u32" }, payloadMax: 0, about: "Its id." },
  shmat: {
    kind: 62,
    from: "client",
    roles: "config",
    fields: { id: "u32", flags: "u32", pid: "u32" },
    payloadMax: 0,
    about: "System V's `shmat`, for this session: with it the attachment ends. Not repeatable.",
  },
  shmatReply: {
    kind: 63,
    from: "server",
    roles: "config",
    fields: { attachment: "u64", base: "u64", size: "u64", isWritable: "bool", regions: "rows" },
    payloadMax: 0,
    about:
      "What `shmdt` names it by, the segment's place in the space, and the memory it lies on: a row `[server, cookie]` for " +
      "each region, `server` as the `layout` names it, `host:port`.",
  },
  shmdt: {
    kind: 64,
    from: "client",
    roles: "config",
    fields: { attachment: "u64", pid: "u32" },
    payloadMax: 0,
    about: "System V's `shmdt`. Answered by `done`. Not repeatable.",
  },
  shmctl: {
    kind: 66,
    from: "client",
    roles: "config",
    fields: { id: "u32", command: "u32", uid: "u32", gid: "u32", mode: "u32", pid: "u32" },
    payloadMax: 0,
    about:
      "System V's `shmctl` with Linux's command numbers; `uid`, `gid` and `mode` are for IPC_SET. Repeatable where it only " +
      "tells something (IPC_STAT, SHM_STAT, SHM_STAT_ANY, IPC_INFO, SHM_INFO).",
  },
  shmctlReply: {
    kind: 67,
    from: "server",
    roles: "config",
    fields: { value: "u32", status: "rows", limits: "rows", usage: "rows" },
    payloadMax: 0,
    about:
      "What it returns, and at most one row of what it fills in. `status`: `[id, key, base, rangeSize, size, uid, gid, cuid, " +
      "cgid, mode, nattch, atime, dtime, ctime, cpid, lpid]`, times in seconds since 1970; `limits`: `[shmmax, shmmin, " +
      "shmmni, shmall, memlock]`, the first and the fourth as decimal texts; `usage`: `[segmentCount, pageCount]`.",
  },
  actFor: {
    kind: 68,
    from: "client",
    roles: "config",
    fields: { uid: "u32" },
    payloadMax: 0,
    about:
      "The calls of this connection are user `uid`'s, whom the sender serves. Before any call, and again on each new " +
      "connection. Answered by `done`; EPERM unless from root or the config server's own user, and then for every call after " +
      "it too.",
  },
  segmentTable: {
    kind: 69,
    from: "client",
    roles: "config",
    fields: { epoch: "u32" },
    payloadMax: 0,
    about:
      "The table of segments as it was when the config server moved to that epoch, for a checkpoint. ESTALE when it has no " +
      "copy of that moment: it was started after it, or has moved on.",
  },
  segmentTableReply: {
    kind: 70,
    from: "server",
    roles: "config",
    fields: {},
    payloadMax: TABLE_SIZE_MAX,
    about: "The table, as the payload.",
  },
  holdTable: {
    kind: 71,
    from: "client",
    roles: "config",
    fields: {},
    payloadMax: 0,
    about:
      "Let no call change the table while this connection lasts: they wait a while, then they are refused (EAGAIN). Answered " +
      "by `done` when nothing is being made or zeroed any more. For uid 0, the config server's own, and who has proved the secret (else EPERM); EBUSY " +
      "while another connection holds it.",
  },
  restoreTable: {
    kind: 72,
    from: "client",
    roles: "config",
    fields: {},
    payloadMax: TABLE_SIZE_MAX,
    about:
      "Put the table in the payload in place of the present one, all of it or nothing. Answered by `done`, then every session " +
      "that had something attached is closed. EINVAL: this connection does not hold the table, or the payload is none; " +
      "ENOMEM: a segment does not fit the space.",
  },
  bind: {
    kind: 80,
    from: "client",
    roles: "registry",
    fields: { name: "text", value: "text", isLeased: "bool", replaces: "bool" },
    payloadMax: 0,
    about:
      "Bind `name` to `value`, for good or (`isLeased`) until this session ends; EEXIST where it is bound, unless it `replaces` " +
      "the same user's. Answered by `revisionReply`. Not repeatable.",
  },
  revisionReply: {
    kind: 81,
    from: "server",
    roles: "registry",
    fields: { revision: "u64" },
    payloadMax: 0,
    about: "It is done, and is the change of that revision.",
  },
  unbind: {
    kind: 82,
    from: "client",
    roles: "registry",
    fields: { name: "text" },
    payloadMax: 0,
    about: "Unbind `name`. Answered by `revisionReply`; ENOENT where it is not bound. Not repeatable.",
  },
  query: {
    kind: 84,
    from: "client",
    roles: "registry",
    fields: { name: "text", waitMs: "u32" },
    payloadMax: 0,
    about: "What is `name` bound to? Waits for up to `waitMs` until it is; ENOENT when it is not then.",
  },
  queryReply: {
    kind: 85,
    from: "server",
    roles: "registry",
    fields: { value: "text", revision: "u64", isLeased: "bool", uid: "u32", time: "u64" },
    payloadMax: 0,
    about: "To what, since which revision, by whom, and when: in seconds since 1970.",
  },
  list: {
    kind: 86,
    from: "client",
    roles: "registry",
    fields: { prefix: "text", after: "text" },
    payloadMax: 0,
    about: "Which names begin with `prefix`? From the first after `after`, in the order of their UTF-16 units.",
  },
  listReply: {
    kind: 87,
    from: "server",
    roles: "registry",
    fields: { revision: "u64", names: "rows", isLast: "bool" },
    payloadMax: 0,
    about:
      "A row `[name, value, revision, isLeased, uid, time]` each, as it is at `revision`. Unless it `isLast` there are more: " +
      "ask again after the last of these.",
  },
  watch: {
    kind: 88,
    from: "client",
    roles: "registry",
    fields: { since: "u64", waitMs: "u32" },
    payloadMax: 0,
    about:
      "What has changed after revision `since`? Waits for up to `waitMs` until something has. ESTALE when that is not " +
      "remembered any more: list, and watch from the list's revision.",
  },
  watchReply: {
    kind: 89,
    from: "server",
    roles: "registry",
    fields: { next: "u64", events: "rows" },
    payloadMax: 0,
    about:
      "The changes in their order, a row `[revision, kind, name, value, isLeased, uid, time]` each, `kind` being `bound` or " +
      "`unbound`; `next` is the revision to watch from then.",
  },
  registryInfo: {
    kind: 90,
    from: "client",
    roles: "registry",
    fields: {},
    payloadMax: 0,
    about: "How does the registry do?",
  },
  registryInfoReply: {
    kind: 91,
    from: "server",
    roles: "registry",
    fields: {
      pid: "u32",
      transport: "text",
      revision: "u64",
      nameCount: "u32",
      queueCount: "u32",
      messageCount: "u64",
      sessionCount: "u32",
      absentCount: "u32",
      requestCount: "u64",
      uptimeMs: "u64",
    },
    payloadMax: 0,
    about: "What it keeps, and what has passed through it.",
  },
  cancel: {
    kind: 92,
    from: "client",
    roles: "registry",
    fields: { request: "u32" },
    payloadMax: 0,
    about:
      "The answer to request `request` of this session is wanted no more: if it waits it is answered at once, with EINTR, and " +
      "a message that it was given and that is still in delivery goes back. Answered by `done`.",
  },
  msgget: {
    kind: 96,
    from: "client",
    roles: "registry",
    fields: { key: "u32", flags: "u32", pid: "u32" },
    payloadMax: 0,
    about: "System V's `msgget`, called by process `pid`. Not repeatable.",
  },
  msggetReply: { kind: 97, from: "server", roles: "registry", fields: { id: "u32" }, payloadMax: 0, about: "Its id." },
  msgsnd: {
    kind: 98,
    from: "client",
    roles: "registry",
    fields: { id: "u32", type: "u64", flags: "u32", pid: "u32" },
    payloadMax: MESSAGE_SIZE_MAX,
    about:
      "System V's `msgsnd`; the payload is the text. Answered by `done` once it is stored, which may be late when the queue is " +
      "full. Not repeatable.",
  },
  msgrcv: {
    kind: 100,
    from: "client",
    roles: "registry",
    fields: { id: "u32", size: "u64", type: "word", flags: "u32", pid: "u32", isHeld: "bool" },
    payloadMax: 0,
    about:
      "System V's `msgrcv`; a negative `type` as its two's complement in 64 bits. Answered when there is a message. With " +
      "`isHeld` that is in delivery until `msgack`, else it is gone. Repeatable with `isHeld`: a session is given the same one.",
  },
  msgrcvReply: {
    kind: 101,
    from: "server",
    roles: "registry",
    fields: { message: "u64", type: "u64", deliveryCount: "u32" },
    payloadMax: MESSAGE_SIZE_MAX,
    about:
      "A message, its text as the payload. `message` names it for `msgack`; with a `deliveryCount` above 1 another receiver had " +
      "it in delivery before.",
  },
  msgack: {
    kind: 102,
    from: "client",
    roles: "registry",
    fields: { message: "u64", deliveryCount: "u32", isAccepted: "bool" },
    payloadMax: 0,
    about:
      "The message in delivery, named as it came, has arrived and is gone, or (not `isAccepted`) goes back to its place in the " +
      "queue. Answered by `done`, also when it is not in that delivery to this session any more, so that it may be repeated.",
  },
  msgctl: {
    kind: 104,
    from: "client",
    roles: "registry",
    fields: {
      id: "u32",
      command: "u32",
      uid: "u32",
      gid: "u32",
      mode: "u32",
      qbytes: "u64",
      isGiven: "bool",
      pid: "u32",
    },
    payloadMax: 0,
    about:
      "System V's `msgctl` with Linux's command numbers; `uid` to `qbytes` are for IPC_SET, and `isGiven` says that they are " +
      "there. Repeatable where it only tells something (IPC_STAT, MSG_STAT, MSG_STAT_ANY, IPC_INFO, MSG_INFO).",
  },
  msgctlReply: {
    kind: 105,
    from: "server",
    roles: "registry",
    fields: { value: "u32", status: "rows", limits: "rows", usage: "rows" },
    payloadMax: 0,
    about:
      "What it returns, and at most one row of what it fills in. `status`: `[id, key, uid, gid, cuid, cgid, mode, qbytes, " +
      "stime, rtime, ctime, lspid, lrpid, cbytes, qnum]`, times in seconds since 1970; `limits`: `[msgmax, msgmnb, msgmni]`; " +
      "`usage`: `[queueCount, messageCount, size]`.",
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

/** An `owners` that tells nothing: whoever sends it keeps the cluster. */
export const NO_OWNERS: Fields<"owners"> = { startCount: 0, isLast: false, rows: [] };

const BY_KIND: (MessageName | undefined)[] = [];
for (const [name, shape] of Object.entries(MESSAGES)) BY_KIND[shape.kind] = name as MessageName;

/** The name of kind `kind`, or undefined when there is none. */
export function messageName(kind: number): MessageName | undefined {
  return BY_KIND[kind];
}
