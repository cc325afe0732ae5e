/** `dsm registry part`: one process of the exercise, as `dsm registry run` starts it. */
import { UsageError } from "../../lib/base/errors.ts";
import { command } from "../../lib/cli/command.ts";
import { startLog } from "../../lib/cli/logging.ts";
import { print } from "../../lib/cli/output.ts";
import { beginCarrier, CARRIERS, openCarrier } from "../exercise/carrier.ts";
import type { Carrier } from "../exercise/carrier.ts";
import { runClientPart } from "../exercise/client_part.ts";
import { untilParentEnds } from "../exercise/part.ts";
import type { Part } from "../exercise/part.ts";
import { runRegistryPart } from "../exercise/registry_part.ts";
import { runServerPart } from "../exercise/server_part.ts";

/** What each part has to be told: numbers, in this order. */
const WORDS = {
  registry: [],
  server: ["NUMBER", "REQUESTS", "RESULTS"],
  client: ["NUMBER", "REQUESTS", "RESULTS", "SERVERS", "MESSAGES", "INTERVAL_MS"],
} as const;

type PartName = keyof typeof WORDS;

/** See the head of this file. */
export const part = command({
  name: "part",
  about: "one process of the exercise, as run starts it",
  details: "It ends when its standard input does: that is how it sees that its parent has ended.",
  examples: [
    ["dsm registry part registry", "the registry, on the kernel's queues; it says the ids of its mailboxes"],
    ["dsm registry part server 1 65536 65537", "server 1, with those mailboxes"],
    ["dsm registry part client 1 65536 65537 2 3 1000", "client 1: 2 servers to choose from, 3 messages, one a second"],
  ],
  args: { name: { kind: "string", about: "which", choices: ["registry", "server", "client"] } },
  rest: { name: "words", about: "numbers; see dsm registry run --help" },
  options: {
    over: { kind: "string", about: "what carries the messages", choices: CARRIERS, default: "kernel" },
    address: { kind: "string", about: "where that is, over tcp", default: "" },
  },
  async run({ name, words }, { over, address }, shared) {
    const numbers = numbersOf(name, words);
    await using carrier: Carrier = name === "registry"
      ? await beginCarrier(over, startLog("registry", shared))
      : openCarrier(address);
    const self: Part = { queues: carrier.queues, say: print, signal: untilParentEnds() };
    const [number = 0, requests = 0, results = 0, servers = 0, messages = 0, intervalMs = 0] = numbers;
    switch (name) {
      case "registry":
        return await runRegistryPart(self, carrier.address);
      case "server":
        return await runServerPart(self, { number, requests });
      case "client":
        return await runClientPart(self, { requests, results, servers, messages, intervalMs });
    }
  },
});

function numbersOf(name: PartName, words: readonly string[]): number[] {
  const wanted = WORDS[name];
  const numbers = words.map(Number);
  if (words.length === wanted.length && numbers.every((each) => Number.isInteger(each) && each >= 0)) return numbers;
  throw new UsageError(`the ${name} of the exercise is started with ${wanted.join(" ") || "nothing more"}`);
}
