/** One link of every chain that takes its path there: `chain_link.ts CONFIG LINK PATH HOST:PORT…`. See support/chains.ts. */
import { connect } from "../../../mod.ts";
import { CHAIN_COUNT, counterAt, pathOf, RANGE_SIZE, rangeAt, REGION_SIZE, SPACE_KEY } from "../../support/chains.ts";
import type { Path } from "../../support/chains.ts";
import { SimpleClient } from "../../support/simple_client.ts";

/** The bytes of the servers, reached on one path. */
interface Memory {
  read(server: number, offset: number, size: number): Promise<Uint8Array>;
  write(server: number, offset: number, bytes: Uint8Array): Promise<void>;
}

async function native(config: string, attach: boolean): Promise<Memory> {
  const cluster = await connect({ config, attach });
  return {
    read: (server, offset, size) => cluster.read(server * REGION_SIZE + offset, size),
    write: (server, offset, bytes) => cluster.write(server * REGION_SIZE + offset, bytes),
  };
}

async function classic(servers: readonly string[]): Promise<Memory> {
  const streams = await Promise.all(servers.map((server) => {
    const [hostname = "", port] = server.split(":");
    return Deno.connect({ hostname, port: Number(port) });
  }));
  const send = async (server: number, command: "r" | "w", start: number, size: number, bytes?: Uint8Array) => {
    const request = new Uint8Array(9 + (bytes?.length ?? 0));
    const view = new DataView(request.buffer);
    view.setUint8(0, command.charCodeAt(0));
    view.setInt32(1, start);
    view.setInt32(5, start + size);
    if (bytes) request.set(bytes, 9);
    for (let at = 0; at < request.length;) at += await (streams[server] as Deno.Conn).write(request.subarray(at));
  };
  const read = async (server: number, offset: number, size: number): Promise<Uint8Array> => {
    await send(server, "r", offset, size);
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const count = await (streams[server] as Deno.Conn).read(bytes.subarray(at));
      if (count === null) throw new Error("the server closed the connection");
      at += count;
    }
    return bytes;
  };
  return {
    read,
    async write(server, offset, bytes): Promise<void> {
      await send(server, "w", offset, bytes.length, bytes);
      await read(server, offset, 1); // a classic write has no answer: a read behind it says that it is done
    },
  };
}

/**
 * The space as one segment, which was made before any link began. What is read comes through the server it lies on, what is
 * written goes through another one: so what the reader has learnt reaches the writer through this process only.
 */
async function simple(servers: readonly string[]): Promise<Memory> {
  const clients = await Promise.all(servers.map((server) => SimpleClient.connect(Number(server.split(":")[1]))));
  const client = (server: number): SimpleClient => clients[server % clients.length] as SimpleClient;
  const id = await client(0).create(SPACE_KEY, 0, 0);
  await Promise.all(clients.map((each) => each.attach(id)));
  return {
    read: (server, offset, size) => client(server).read(id, server * REGION_SIZE + offset, size),
    write: (server, offset, bytes) => client(server + 1).write(id, server * REGION_SIZE + offset, bytes),
  };
}

function memoryOf(path: string, config: string, servers: readonly string[]): Promise<Memory> {
  if (path === "classic") return classic(servers);
  return path === "simple" ? simple(servers) : native(config, path === "attached");
}

const [config = "", linkText = "", path = "", ...servers] = Deno.args;
const link = Number(linkText);
const memory = await memoryOf(path, config, servers);
const chains = Array.from({ length: CHAIN_COUNT }, (_, chain) => chain).filter((chain) => pathOf(chain, link) === path);
const counters = new Uint32Array(CHAIN_COUNT);
const word = new Uint8Array(4);
const range = new Uint8Array(RANGE_SIZE);
console.log("at work");
for (let round = 1;; round++) {
  for (const chain of chains) {
    let next = round;
    if (link > 0) {
      const seen = await memory.read(link - 1, counterAt(chain), 4);
      next = new DataView(seen.buffer, seen.byteOffset).getUint32(0, true);
      if (next === counters[chain]) continue;
    }
    counters[chain] = next;
    new DataView(word.buffer).setUint32(0, next, true);
    await memory.write(link, counterAt(chain), word.slice());
  }
  new Uint32Array(range.buffer).fill(round);
  await memory.write(link, rangeAt(path as Path), range);
}
