/** `dsm client`: read and write the space, at a prompt or from a script. */
import { formatEndpoint } from "../lib/base/units.ts";
import { bytesToText } from "../lib/cli/bytes.ts";
import { command } from "../lib/cli/command.ts";
import type { Params, Values } from "../lib/cli/command.ts";
import { print, printBytes } from "../lib/cli/output.ts";
import type { Shared } from "../lib/cli/shared.ts";
import { connect } from "../lib/node/cluster/cluster.ts";
import type { Cluster } from "../lib/node/cluster/cluster.ts";
import { load, printInfo, save, sizeOf } from "./client/actions.ts";
import { parseByte, prompt } from "./client/prompt.ts";

/** How long the config server may take: who types has no patience. */
const CONNECT_MS_MAX = 1_500;

const CONNECTION = {
  attach: { kind: "boolean", about: "go through shared memory where the server is on this host", default: true },
  timeout: { kind: "time", about: "how long each request may take", default: 5_000 },
} as const satisfies Params;

const START = { kind: "integer", about: "address of the first byte" } as const;
const END = { kind: "integer", about: "address after the last byte" } as const;

async function withCluster<T>(
  options: Values<typeof CONNECTION>,
  shared: Shared,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  await using cluster = await connect({
    config: formatEndpoint(shared.config),
    secret: shared.secret,
    tlsCa: shared.tlsCa,
    attach: options.attach,
    timeoutMs: options.timeout,
    connectTimeoutMs: Math.min(CONNECT_MS_MAX, options.timeout),
  });
  return await work(cluster);
}

function printDone(shared: Shared, start: number, size: number): number {
  if (shared.json) print(JSON.stringify([{ start, end: start + size, size }]));
  return 0;
}

async function standardInput(): Promise<Uint8Array> {
  return await new Response(Deno.stdin.readable).bytes();
}

const read = command({
  name: "read",
  about: "print the bytes from START to END",
  examples: [
    ["dsm client read 0 5", "five bytes as text; what is not text as \\xNN"],
    ["dsm client read 0 4096 --raw | sha256sum", "the bytes alone"],
  ],
  args: { start: START, end: END },
  options: {
    hex: { kind: "boolean", about: "as hexadecimal digits" },
    raw: { kind: "boolean", about: "the bytes alone, without a newline" },
    ...CONNECTION,
  },
  async run({ start, end }, options, shared) {
    const size = sizeOf(start, end);
    const bytes = await withCluster(options, shared, (cluster) => cluster.read(start, size));
    if (shared.json) print(JSON.stringify([{ start, end, text: bytesToText(bytes), hex: bytes.toHex() }]));
    else if (options.raw) printBytes(bytes);
    else print(options.hex ? bytes.toHex() : bytesToText(bytes));
    return 0;
  },
});

const write = command({
  name: "write",
  about: "write TEXT, or standard input, at START",
  examples: [
    ['dsm client write 0 "hello"', "five bytes"],
    ["dsm client write 4096 - < picture.png", "what comes on standard input"],
  ],
  args: { start: START, text: { kind: "string", about: "what to write; -: standard input" } },
  options: CONNECTION,
  async run({ start, text }, options, shared) {
    const bytes = text === "-" ? await standardInput() : new TextEncoder().encode(text);
    await withCluster(options, shared, (cluster) => cluster.write(start, bytes));
    return printDone(shared, start, bytes.length);
  },
});

const fill = command({
  name: "fill",
  about: "set every byte from START to END",
  examples: [["dsm client fill 0 4096 0", "a block of zeros"], ["dsm client fill 0 10 -", "ten dashes"]],
  args: { start: START, end: END, byte: { kind: "string", about: "one character, or a number from 0 to 255" } },
  options: CONNECTION,
  async run({ start, end, byte }, options, shared) {
    const size = sizeOf(start, end);
    await withCluster(options, shared, (cluster) => cluster.fill(start, size, parseByte(byte)));
    return printDone(shared, start, size);
  },
});

const loadFile = command({
  name: "load",
  about: "read FILE into the space at START",
  examples: [["dsm client load data.bin 0", "straight into shared memory where the server is on this host"]],
  args: { file: { kind: "string", about: "a file" }, start: START },
  options: CONNECTION,
  async run({ file, start }, options, shared) {
    return printDone(shared, start, await withCluster(options, shared, (cluster) => load(cluster, file, start)));
  },
});

const saveFile = command({
  name: "save",
  about: "write the bytes from START to END into FILE",
  examples: [["dsm client save 0 65536 data.bin", "the first 64 KiB"]],
  args: { start: START, end: END, file: { kind: "string", about: "a file, made or overwritten" } },
  options: CONNECTION,
  async run({ start, end, file }, options, shared) {
    return printDone(shared, start, await withCluster(options, shared, (cluster) => save(cluster, start, end, file)));
  },
});

const info = command({
  name: "info",
  about: "which servers there are, and how each is reached",
  examples: [["dsm client info", "a table"], ["dsm client info --json", "for programs"]],
  options: CONNECTION,
  async run(_args, options, shared) {
    await withCluster(options, shared, (cluster) => printInfo(cluster, shared.json));
    return 0;
  },
});

/** See the head of this file. */
export const client = command({
  name: "client",
  about: "read and write the space, at a prompt or from a script",
  details: "Without a subcommand it is a prompt with the ancestor's r, w and q; lines may be piped in.",
  examples: [
    ["dsm client", "a prompt: r 0 5, w 0 5 hello, help"],
    ["dsm client write 0 hello", "write five bytes"],
    ["dsm client read 0 5", "read them"],
    ["echo 'r 0 5' | dsm client", "the prompt's commands from a pipe"],
  ],
  options: CONNECTION,
  subcommands: [read, write, fill, loadFile, saveFile, info],
  async run(_args, options, shared) {
    return await withCluster(options, shared, prompt) === 0 ? 0 : 1;
  },
});
