/** docs/PROTOCOL.md: what stands for each `@NAME@` of docs/protocol.template.md, made from the code. */
import { formatEndpoint, formatSize } from "../../lib/base/units.ts";
import { parseConfig, SERVER_COUNT_MAX } from "../../lib/config/config_file.ts";
import { SEGMENT_COLUMNS } from "../../lib/ipc/segments/segment_rows.ts";
import { TIMEOUT_MS } from "../../lib/net/channel.ts";
import {
  FRAME_MS_MAX,
  OUTPUT_SIZE,
  PENDING_TOTAL_MAX,
  RECEIVE_SIZE,
  SILENT_MS_MAX,
  STALL_MS_MAX,
  STASH_TOTAL_MAX,
} from "../../lib/net/transport.ts";
import { CLIENT_WAITING_MAX } from "../../lib/node/registry/waiting_requests.ts";
import { WATCHERS_MAX } from "../../lib/node/memory/change_watch.ts";
import { OWNED_RANGES_MAX, TOLD_MS_MAX } from "../../lib/node/memory/segment_owners.ts";
import {
  CLASSIC_QUIT,
  CLASSIC_READ,
  CLASSIC_REQUEST_SIZE,
  CLASSIC_WRITE,
  encodeGreeting,
  GREETING_PREFIX_SIZE,
  GREETING_SIZE_MAX,
} from "../../lib/wire/classic.ts";
import { encodeFrame } from "../../lib/wire/frame.ts";
import {
  ENTRY_HEADER_SIZE_MAX,
  GATHER_SIZE_MAX,
  HEADER_SIZE_MAX,
  MAGIC,
  MESSAGE_SIZE_MAX,
  MESSAGES,
  NAMES_PER_REPLY_MAX,
  NONCE_SIZE,
  OPERATION_SIZE_MAX,
  OWNER_ROWS_MAX,
  PREFIX_SIZE,
  PROTOCOL_VERSION,
  REMEMBERED_MAX,
  TABLE_SIZE_MAX,
  TOKEN_SIZE,
  WAIT_SIZE_MAX,
} from "../../lib/wire/messages.ts";
import type { FieldType, MessageShape } from "../../lib/wire/messages.ts";
import {
  putReadReply,
  putReadRequest,
  putWriteReply,
  putWriteRequest,
  READ_REQUEST_SIZE,
  REPLY_SIZE,
  WRITE_REQUEST_SIZE,
} from "../../lib/wire/templates.ts";
import { EVENT_COUNT_MAX, NAME_COUNT_MAX, NAME_SIZE_MAX, VALUE_SIZE_MAX } from "../../lib/registry/limits.ts";
import { ENTRY_MS_MAX } from "../../lib/node/common/door.ts";
import { EXCHANGE_TOTAL_MAX } from "../../lib/node/memory/exchange_pool.ts";
import { CALL_MS_MAX } from "../../lib/node/simple/cluster_source.ts";
import { ATTACHED_COUNT_MAX } from "../../lib/node/simple/simple_connection.ts";
import { exchangeOf } from "../../lib/wire/proof.ts";
import { RECORD_PREFIX_SIZE, RECORD_SIZE_MAX, Sealer, TAG_SIZE } from "../../lib/wire/seal.ts";
import { SHMID_DS_SIZE, SIMPLE_DATA_SIZE_MAX, SIMPLE_REPLY_SIZE, SIMPLE_REQUEST_SIZE } from "../../lib/wire/simple.ts";
import { ROOT } from "../task.ts";
import { dumpFrame, dumpParts } from "./frames.ts";
import { commandRows, refusalExample, statusExample, writeExample } from "./simple.ts";

/** One named limit. */
interface Limit {
  readonly name: string;
  readonly value: string;
  readonly file: string;
  readonly about: string;
}

type Show = (value: number) => string;

const plain: Show = (value) => value.toLocaleString("en-US");
const size: Show = (value) => formatSize(value).replace(/(\d)([A-Z])/, "$1 $2").replace(/ B$/, " bytes");
const time: Show = (value) => `${value / 1000} s`;

/** A limit from `{ NAME }`, so that its name and its value cannot part. */
function limit(constant: Readonly<Record<string, number>>, show: Show, file: string, about: string): Limit {
  const [[name, value]] = Object.entries(constant) as [[string, number]];
  return { name, value: show(value), file, about };
}

const LIMITS: readonly Limit[] = [
  limit({ PROTOCOL_VERSION }, plain, "wire/messages.ts", "the version of the native dialect"),
  limit({ PREFIX_SIZE }, size, "wire/messages.ts", "the two lengths before a header"),
  limit({ HEADER_SIZE_MAX }, size, "wire/messages.ts", "one header; a longer one closes the connection"),
  limit(
    { OPERATION_SIZE_MAX },
    size,
    "wire/messages.ts",
    "what one request reads, writes or fills; more is EINVAL, a longer payload closes the connection",
  ),
  limit({ WAIT_SIZE_MAX }, size, "wire/messages.ts", "what one `wait` compares"),
  limit({ GATHER_SIZE_MAX }, size, "wire/messages.ts", "changed bytes in one `gathered`"),
  limit({ TABLE_SIZE_MAX }, size, "wire/messages.ts", "a table of segments in one payload"),
  limit({ OWNER_ROWS_MAX }, plain, "wire/messages.ts", "ranges in one `owners`"),
  limit(
    { OWNED_RANGES_MAX },
    plain,
    "node/memory/segment_owners.ts",
    "ranges whose owners one server knows; it forgets them beyond that, and is told anew",
  ),
  limit(
    { TOLD_MS_MAX },
    time,
    "node/memory/segment_owners.ts",
    "how long a request waits to be told whose bytes it is for",
  ),
  limit({ TOKEN_SIZE }, size, "wire/messages.ts", "a session's token"),
  limit({ NONCE_SIZE }, size, "wire/messages.ts", "the random bytes of a `hello` and of a `challenge`"),
  limit({ ENTRY_HEADER_SIZE_MAX }, size, "wire/messages.ts", "the header of `hello` and of `prove`"),
  limit({ ENTRY_MS_MAX }, time, "node/common/door.ts", "to come in"),
  limit({ RECORD_SIZE_MAX }, size, "wire/seal.ts", "the body of a sealed record"),
  limit({ TAG_SIZE }, size, "wire/seal.ts", "a record's tag"),
  limit({ CLASSIC_REQUEST_SIZE }, size, "wire/classic.ts", "a classic read, and a classic write without its data"),
  limit({ GREETING_PREFIX_SIZE }, size, "wire/classic.ts", "the two words before a greeting's list"),
  limit({ GREETING_SIZE_MAX }, size, "wire/classic.ts", "the longest list a native client skips"),
  limit({ READ_REQUEST_SIZE }, size, "wire/templates.ts", "a read request as a template"),
  limit({ WRITE_REQUEST_SIZE }, size, "wire/templates.ts", "a write request as a template, without its data"),
  limit({ REPLY_SIZE }, size, "wire/templates.ts", "a reply without fields as a template, without its data"),
  limit({ RECEIVE_SIZE }, size, "net/transport.ts", "received at once"),
  limit({ OUTPUT_SIZE }, size, "net/transport.ts", "the replies of one batch, before they are sent"),
  limit(
    { PENDING_TOTAL_MAX },
    size,
    "net/transport.ts",
    "replies that the clients of a server have not taken; beyond it large reads wait",
  ),
  limit(
    { STASH_TOTAL_MAX },
    size,
    "net/transport.ts",
    "frames half received, of all clients; beyond it a connection that wants more room is closed",
  ),
  limit({ FRAME_MS_MAX }, time, "net/transport.ts", "for one frame to arrive; after it the connection is closed"),
  limit({ STALL_MS_MAX }, time, "net/transport.ts", "for a client to take some of its replies (`dsm server --stall`)"),
  limit({ SILENT_MS_MAX }, time, "net/transport.ts", "for a peer's kernel to give a sign of life"),
  limit({ REMEMBERED_MAX }, plain, "wire/messages.ts", "answers that a session remembers"),
  limit({ NAME_SIZE_MAX }, size, "registry/limits.ts", "a name"),
  limit({ VALUE_SIZE_MAX }, size, "registry/limits.ts", "what a name is bound to"),
  limit({ NAME_COUNT_MAX }, plain, "registry/limits.ts", "names in one registry; one more is ENOSPC"),
  limit({ EVENT_COUNT_MAX }, plain, "registry/limits.ts", "changes of names that are remembered"),
  limit({ NAMES_PER_REPLY_MAX }, plain, "wire/messages.ts", "names in one `listReply`, events in one `watchReply`"),
  limit({ MESSAGE_SIZE_MAX }, size, "wire/messages.ts", "one message; a registry's MSGMAX is 8,192 bytes"),
  limit({ CLIENT_WAITING_MAX }, plain, "node/registry/waiting_requests.ts", "requests of one session that wait"),
  limit({ WATCHERS_MAX }, plain, "node/memory/change_watch.ts", "`wait` requests on one server; one more is EAGAIN"),
  limit({ SIMPLE_REQUEST_SIZE }, size, "wire/simple.ts", "a simple request without its data"),
  limit({ SIMPLE_REPLY_SIZE }, size, "wire/simple.ts", "a simple reply without its data"),
  limit({ SIMPLE_DATA_SIZE_MAX }, size, "wire/simple.ts", "the data of one simple request or reply; more is EINVAL"),
  limit({ SHMID_DS_SIZE }, size, "wire/simple.ts", "a `struct shmid_ds`"),
  limit(
    { EXCHANGE_TOTAL_MAX },
    size,
    "node/memory/exchange_pool.ts",
    "large simple requests and replies under way on one server; whoever finds no room waits",
  ),
  limit(
    { ATTACHED_COUNT_MAX },
    plain,
    "node/simple/simple_connection.ts",
    "attachments of one simple connection; one more is EMFILE",
  ),
  limit({ CALL_MS_MAX }, time, "node/simple/cluster_source.ts", "for a call of the simple dialect on a cluster"),
  limit({ TIMEOUT_MS }, time, "net/channel.ts", "for a request, unless the client says otherwise"),
  limit({ SERVER_COUNT_MAX }, plain, "config/config_file.ts", "servers in one space"),
];

const FIELD_TYPES: Readonly<Record<FieldType, string>> = {
  u8: "an integer from 0 to 255",
  u32: "an integer from 0 to 2^32 - 1",
  u64: "an integer from 0 to 2^53 - 1",
  word: "an integer from 0 to 2^64 - 1",
  bool: "true or false",
  text: "a string, UTF-8",
  bytes: "a bin",
  rows: "an array of arrays of integers, strings and booleans",
};

const ROLES: Readonly<Record<MessageShape["roles"], string>> = {
  any: "all",
  server: "memory server",
  config: "config server",
  logger: "logger",
  registry: "registry",
};

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [row(titles), row(titles.map(() => "---")), ...rows.map(row)].join("\n");
}

function messageTable(): string {
  return table(
    ["kind", "message", "from", "role", "payload", "what it says"],
    Object.entries<MessageShape>(MESSAGES).map(([name, shape]) => [
      String(shape.kind),
      `\`${name}\``,
      shape.from,
      ROLES[shape.roles],
      shape.payloadMax === 0 ? "none" : `at most ${size(shape.payloadMax)}`,
      shape.about,
    ]),
  );
}

function fieldTable(): string {
  return table(
    ["message", "fields after id, kind, incarnation and epoch, in order"],
    Object.entries<MessageShape>(MESSAGES).map(([name, { fields }]) => {
      const list = Object.entries(fields).map(([field, type]) => `\`${field}\` ${type}`);
      return [`\`${name}\``, list.length === 0 ? "none" : list.join(", ")];
    }),
  );
}

function limitTable(): string {
  const rows = LIMITS.map(({ name, value, file, about }) => [`[\`${name}\`](../lib/${file})`, value, about]);
  return table(["constant", "value", "for"], rows);
}

// ---- worked examples: one conversation, "hello" at offset 8190 and back

const OFFSET = 8190;
const TEXT = new TextEncoder().encode("hello");
const ENVELOPE = { id: 0, incarnation: 0, epoch: 0 };
const TOKEN = Uint8Array.from({ length: TOKEN_SIZE }, (_, i) => 16 * i + i);

function template(frameSize: number, payload: Uint8Array, put: (view: DataView) => void): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(frameSize + payload.length);
  put(new DataView(frame.buffer));
  frame.set(payload, frameSize);
  return frame;
}

const NOTHING = new Uint8Array(0);
const SECRET = "0123456789abcdef0123456789abcdef";

/** The frames of the worked example, in the order in which they are sent. */
export const EXAMPLE_FRAMES = {
  hello: encodeFrame("hello", ENVELOPE, {
    versionMin: PROTOCOL_VERSION,
    versionMax: PROTOCOL_VERSION,
    software: "dsm",
    token: NOTHING,
    nonce: NOTHING,
    uid: 1000,
  }),
  welcome: encodeFrame("welcome", { ...ENVELOPE, epoch: 1 }, {
    version: PROTOCOL_VERSION,
    role: "server",
    token: TOKEN,
    resumed: false,
    cookie: TOKEN.toReversed().toHex(),
  }),
  write: template(WRITE_REQUEST_SIZE, TEXT, (view) => putWriteRequest(view, 0, 1, 0, 1, OFFSET, TEXT.length)),
  writeReply: template(REPLY_SIZE, NOTHING, (view) => putWriteReply(view, 0, 1, 0, 1)),
  read: template(READ_REQUEST_SIZE, NOTHING, (view) => putReadRequest(view, 0, 2, 0, 1, OFFSET, TEXT.length)),
  readReply: template(REPLY_SIZE, TEXT, (view) => putReadReply(view, 0, 2, 0, 1, TEXT.length)),
  compactRead: encodeFrame("read", { id: 2, incarnation: 0, epoch: 1 }, { offset: OFFSET, size: TEXT.length }),
  error: encodeFrame("error", { id: 3, incarnation: 0, epoch: 1 }, { code: "EINVAL", message: "why it was refused" }),
} as const;

/** A conversation that begins with a challenge. */
const PROVED_HELLO = encodeFrame("hello", ENVELOPE, {
  versionMin: PROTOCOL_VERSION,
  versionMax: PROTOCOL_VERSION,
  software: "dsm",
  token: NOTHING,
  nonce: Uint8Array.from({ length: NONCE_SIZE }, (_, i) => i),
  uid: 1000,
});
const CHALLENGE = encodeFrame("challenge", ENVELOPE, {
  nonce: Uint8Array.from({ length: NONCE_SIZE }, (_, i) => 255 - i),
  role: "server",
});
const EXCHANGE = exchangeOf(new TextEncoder().encode(SECRET), PROVED_HELLO, CHALLENGE);

function record(): string {
  const bytes = new Sealer(EXCHANGE.toClientKey).seal(EXAMPLE_FRAMES.welcome);
  return dumpParts(bytes, [
    [RECORD_PREFIX_SIZE, `the body has ${EXAMPLE_FRAMES.welcome.length} bytes`],
    [EXAMPLE_FRAMES.welcome.length, "the body: the welcome above"],
    [TAG_SIZE, "the tag of record 0"],
  ]);
}

function classicRequest(letter: number, data: Uint8Array): string {
  const bytes = new Uint8Array(CLASSIC_REQUEST_SIZE + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, letter);
  view.setUint32(1, 2);
  view.setUint32(5, 2 + TEXT.length);
  bytes.set(data, CLASSIC_REQUEST_SIZE);
  const parts: (readonly [number, string])[] = [
    [1, String.fromCharCode(letter)],
    [4, "start: 2"],
    [4, `end: ${2 + TEXT.length}, exclusive`],
  ];
  return dumpParts(bytes, data.length === 0 ? parts : [...parts, [data.length, "the data"]]);
}

async function greeting(): Promise<string> {
  const servers = parseConfig(await Deno.readTextFile(`${ROOT}/config.txt`), "config.txt");
  const bytes = encodeGreeting(servers);
  return dumpParts(bytes, [
    [4, `count: ${servers.length}`],
    [4, `length: ${bytes.length - GREETING_PREFIX_SIZE}`],
    ...servers.map((server) => [formatEndpoint(server).length + 1, `${formatEndpoint(server)};`] as const),
  ]);
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}

const fenced = (text: string, language = "text"): string => "```" + language + "\n" + text + "\n```";

function dumped({ bytes, parts }: ReturnType<typeof writeExample>): string {
  return fenced(dumpParts(bytes, parts));
}

async function quoted(file: string, language: string): Promise<string> {
  return fenced((await Deno.readTextFile(`${ROOT}/${file}`)).trimEnd(), language);
}

function commandTable(): string {
  const [titles = [], ...rows] = commandRows();
  return table(titles, rows);
}

async function insertions(): Promise<Map<string, string>> {
  const frames = EXAMPLE_FRAMES;
  return new Map<string, string>([
    ["MESSAGES", messageTable()],
    ["FIELDS", fieldTable()],
    ["LIMITS", limitTable()],
    ["FIELD_TYPES", table(["type", "what is accepted"], Object.entries(FIELD_TYPES))],
    ["OFFSET", String(OFFSET)],
    ["SEGMENT_COLUMNS", `[${SEGMENT_COLUMNS.join(", ")}]`],
    ["MAGIC", new TextDecoder().decode(MAGIC)],
    ["MAGIC_HEX", [...MAGIC].map(hex).join(" ")],
    ["CLASSIC_READ", hex(CLASSIC_READ)],
    ["CLASSIC_WRITE", hex(CLASSIC_WRITE)],
    ["CLASSIC_QUIT", hex(CLASSIC_QUIT)],
    ["EXAMPLE_HELLO", fenced(dumpFrame("hello", frames.hello))],
    ["EXAMPLE_WELCOME", fenced(dumpFrame("welcome", frames.welcome))],
    ["EXAMPLE_SECRET", SECRET],
    ["EXAMPLE_PROVED_HELLO", fenced(dumpFrame("hello", PROVED_HELLO))],
    ["EXAMPLE_CHALLENGE", fenced(dumpFrame("challenge", CHALLENGE))],
    ["EXAMPLE_PROVE", fenced(dumpFrame("prove", encodeFrame("prove", ENVELOPE, { proof: EXCHANGE.proof })))],
    ["EXAMPLE_RECORD", fenced(record())],
    ["EXAMPLE_WRITE", fenced(dumpFrame("write", frames.write))],
    ["EXAMPLE_WRITE_REPLY", fenced(dumpFrame("writeReply", frames.writeReply))],
    ["EXAMPLE_READ", fenced(dumpFrame("read", frames.read))],
    ["EXAMPLE_READ_REPLY", fenced(dumpFrame("readReply", frames.readReply))],
    ["EXAMPLE_COMPACT_READ", fenced(dumpFrame("read", frames.compactRead))],
    ["EXAMPLE_ERROR", fenced(dumpFrame("error", frames.error))],
    ["EXAMPLE_GREETING", fenced(await greeting())],
    ["EXAMPLE_CLASSIC_READ", fenced(classicRequest(CLASSIC_READ, NOTHING))],
    ["EXAMPLE_CLASSIC_WRITE", fenced(classicRequest(CLASSIC_WRITE, TEXT))],
    ["SIMPLE_COMMANDS", commandTable()],
    ["EXAMPLE_SIMPLE_WRITE", dumped(writeExample())],
    ["EXAMPLE_SIMPLE_STATUS", dumped(statusExample())],
    ["EXAMPLE_SIMPLE_REFUSAL", dumped(refusalExample())],
    ["EXAMPLE_SIMPLE_C", await quoted("examples/simple_client.c", "c")],
    ["EXAMPLE_SIMPLE_PYTHON", await quoted("examples/simple_client.py", "python")],
    ...LIMITS.map((each): [string, string] => [each.name, each.value]),
  ]);
}

/**
 * The document that `template` describes, formatted as `deno fmt` wants it.
 *
 * @throws Error for an `@NAME@` that nobody knows.
 */
export async function renderProtocol(template: string): Promise<string> {
  const known = await insertions();
  const text = template.replace(/^<!--.*?-->\s*/s, "").replace(/@([A-Z][A-Z_]+)@/g, (_, name: string) => {
    const value = known.get(name);
    if (value === undefined) {
      throw new Error(`the template asks for @${name}@, which tools/docs/protocol.ts does not know`);
    }
    return value;
  });
  return await formatted(text);
}

async function formatted(markdown: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "-"],
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(markdown));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  if (!success) throw new Error(`deno fmt: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
