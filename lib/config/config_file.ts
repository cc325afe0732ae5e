/**
 * config.txt: which servers make the space, in the order of their addresses.
 *
 * As the first ancestor has it: the number of servers on the first line, then one `ip:port` a line. Welcome besides:
 * comments from `#`, blank lines, host names, `[v6]:port`, and after the address `shm=1238 sem=1234 size=64MiB block=4KiB`,
 * which `dsm up` gives to the servers it starts.
 */
import { ConfigError } from "../base/errors.ts";
import { parseEndpoint, parseKey, parseSize } from "../base/units.ts";

/** A server as config.txt names it. */
export interface ConfiguredServer {
  /** A host name or address. */
  readonly host: string;
  /** Its port. */
  readonly port: number;
  /** Key of its shared memory, where the file says one. */
  readonly shmkey?: number;
  /** Key of its semaphores. */
  readonly semkey?: number;
  /** Bytes of its region. */
  readonly size?: number;
  /** Bytes per block. */
  readonly blockSize?: number;
}

/** The most servers a file may name. */
export const SERVER_COUNT_MAX = 1024;

type Extra = "shmkey" | "semkey" | "size" | "blockSize";

const EXTRAS = new Map<string, { readonly field: Extra; readonly parse: (text: string) => number }>([
  ["shm", { field: "shmkey", parse: parseKey }],
  ["sem", { field: "semkey", parse: parseKey }],
  ["size", { field: "size", parse: parseSize }],
  ["block", { field: "blockSize", parse: parseSize }],
]);

function parseServer(file: string, line: number, words: readonly string[]): ConfiguredServer {
  const fail = (message: string, cause?: unknown): never => {
    throw new ConfigError(file, line, message, cause);
  };
  const attempt = <T>(parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      return fail((error as Error).message, error);
    }
  };
  const [address = "", ...rest] = words;
  const endpoint = attempt(() => parseEndpoint(address));
  if (endpoint.port === 0) fail(`${address}: a server's port is from 1 to 65535`);
  const extras: Partial<Record<Extra, number>> = {};
  for (const word of rest) {
    const [name = "", value] = word.split("=", 2);
    const extra = EXTRAS.get(name);
    if (!extra || value === undefined) {
      return fail(
        `${word} is not known after an address; known are ${[...EXTRAS.keys()].map((key) => `${key}=`).join(" ")}`,
      );
    }
    extras[extra.field] = attempt(() => extra.parse(value));
  }
  return { host: endpoint.host, port: endpoint.port, ...extras };
}

/**
 * Parses the text of a config file.
 *
 * @param file its name, for errors.
 * @throws ConfigError with file and line: no count, a wrong count, a line that is no server, the same server twice.
 */
export function parseConfig(text: string, file: string): ConfiguredServer[] {
  const lines = text.split(/\r?\n/)
    .map((line, index) => ({ number: index + 1, words: line.replace(/#.*$/, "").trim().split(/\s+/).filter(Boolean) }))
    .filter(({ words }) => words.length > 0);
  const [first, ...rest] = lines;
  if (!first) {
    throw new ConfigError(file, 0, "it is empty; the first line is the number of servers, then one host:port a line");
  }
  if (first.words.length !== 1 || !/^\d+$/.test(first.words[0] as string)) {
    throw new ConfigError(file, first.number, `the first line is the number of servers, not ${first.words.join(" ")}`);
  }
  const count = Number(first.words[0]);
  if (count < 1 || count > SERVER_COUNT_MAX) {
    throw new ConfigError(file, first.number, `a space has 1 to ${SERVER_COUNT_MAX} servers, not ${count}`);
  }
  const seen = new Set<string>();
  const servers = rest.map(({ number, words }) => {
    const server = parseServer(file, number, words);
    const name = `${server.host}:${server.port}`;
    if (seen.has(name)) throw new ConfigError(file, number, `${name} is there twice`);
    seen.add(name);
    return server;
  });
  if (servers.length !== count) {
    throw new ConfigError(file, first.number, `it promises ${count} servers and names ${servers.length}`);
  }
  return servers;
}
