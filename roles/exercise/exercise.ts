/**
 * The parent of the exercise: it starts the registry, the servers and the clients as processes, tells what each of them
 * says, and ends them in order.
 *
 *   - Once all clients have ended and all servers are bound, it sends EXIT to the registry, and the registry to the
 *     servers: one that is slow to start may have been nobody's choice, and would else find no registry any more.
 *   - When it is stopped, or something fails, it closes the standard input of all of them, which is what they would see if
 *     it were killed; and it removes the queues of the kernel that it knows of, which wakes whoever still waits there. Over
 *     TCP they end with the registry's process.
 */
import { IPC_RMID } from "../../lib/ipc/common/flags.ts";
import { Child, describeEnd } from "../../lib/launch/child.ts";
import { pause } from "../../lib/base/clock.ts";
import { SystemError } from "../../lib/base/errors.ts";
import type { MessageQueues } from "../../lib/node/queues/message_queues.ts";
import type { Carrier } from "./carrier.ts";
import { ignoringGone } from "./gone.ts";
import { MessageType } from "./messages.ts";
import { BOUND_LINE, MAILBOXES_LINE } from "./registry_part.ts";
import { FINAL_LINE } from "./server_part.ts";

/** How long registry and servers may take to end when they are told to, before they are made to. */
const END_MS_MAX = 10_000;

/** How long a server may take to be bound once all clients have ended. */
const BOUND_MS_MAX = 20_000;

/** A program, and the arguments that come first. */
export interface Command {
  /** The executable. */
  readonly command: string;
  /** Its first arguments. */
  readonly args: readonly string[];
}

/** What is to be run. */
export interface ExerciseRequest {
  /** How many servers. */
  readonly servers: number;
  /** How many clients. */
  readonly clients: number;
  /** How many messages each client sends. */
  readonly messages: number;
  /** The time between two of them. */
  readonly intervalMs: number;
  /** What the registry is started as. */
  readonly registry: Command;
  /** What each server is started as; it gets `server NUMBER REQUESTS RESULTS`. */
  readonly server: Command;
  /** What each client is started as; it gets `client NUMBER REQUESTS RESULTS SERVERS MESSAGES INTERVAL_MS`. */
  readonly client: Command;
  /** Opens what carries the messages, at the address that the registry tells. */
  readonly openCarrier: (address: string) => Carrier;
  /** Called for every line a part says. */
  readonly onLine: (name: string, line: string) => void;
}

/** What came of it. */
export interface ExerciseOutcome {
  /** The last resource of each server; undefined where it never said. */
  readonly resources: readonly (number | undefined)[];
  /** What did not end as it should. */
  readonly failures: readonly string[];
}

/** The registry's two queues, and over TCP where they are. */
interface Mailboxes {
  readonly requests: number;
  readonly results: number;
  readonly address: string;
}

/** See the head of this file. To be run once. */
export class Exercise {
  readonly #request: ExerciseRequest;
  readonly #children: Child[] = [];
  /** The kernel's queues that somebody has told of. */
  readonly #queueIds: number[] = [];
  readonly #resources: (number | undefined)[];
  readonly #failures: string[] = [];
  /** For each server: that the registry has heard of it. */
  readonly #bound: readonly PromiseWithResolvers<void>[];

  /** Asks, and starts nothing yet. */
  constructor(request: ExerciseRequest) {
    this.#request = request;
    this.#resources = Array.from({ length: request.servers }, () => undefined);
    this.#bound = Array.from({ length: request.servers }, () => Promise.withResolvers<void>());
  }

  /** Runs it to its end, or until `signal`. @throws SystemError when a program cannot be started. */
  async run(signal: AbortSignal): Promise<ExerciseOutcome> {
    const closeInputs = (): void => this.#children.forEach((child) => child.closeInput());
    signal.addEventListener("abort", closeInputs);
    try {
      const [registry, mailboxes] = await this.#startRegistry();
      await using carrier = this.#request.openCarrier(mailboxes.address);
      await this.#play(registry, mailboxes, carrier.queues, signal);
    } finally {
      signal.removeEventListener("abort", closeInputs);
      closeInputs();
      await using kernel = this.#request.openCarrier("");
      for (const id of this.#queueIds) await ignoringGone(kernel.queues.msgctl(id, IPC_RMID));
      await this.#ended(this.#children);
    }
    return { resources: this.#resources, failures: this.#failures };
  }

  async #play(registry: Child, mailboxes: Mailboxes, queues: MessageQueues, signal: AbortSignal): Promise<void> {
    const servers = this.#startServers(mailboxes);
    const clients = this.#startClients(mailboxes);
    let isEnding = false;
    registry.ended.then(() => {
      // one that ends before its time takes all others with it
      if (!isEnding) this.#children.forEach((child) => child.closeInput());
    });
    await Promise.all(clients.map((client) => client.ended));
    await Promise.race([
      registry.ended,
      pause(BOUND_MS_MAX, signal),
      Promise.all(servers.map((server, i) => Promise.race([server.ended, this.#bound[i]?.promise]))),
    ]);
    isEnding = true;
    if (signal.aborted) return;
    await ignoringGone(queues.msgsnd(mailboxes.requests, MessageType.exit, new Uint8Array(0), { signal }));
    await this.#ended([registry, ...servers]);
  }

  async #startRegistry(): Promise<[Child, Mailboxes]> {
    const { promise, resolve, reject } = Promise.withResolvers<Mailboxes>();
    let isOverKernel = false;
    const registry = this.#start("registry", this.#request.registry, ["registry"], (line) => {
      const [, requests, results, address = ""] = MAILBOXES_LINE.exec(line) ?? [];
      if (requests !== undefined) {
        isOverKernel = address === "";
        resolve({
          requests: this.#heardOf(requests, isOverKernel),
          results: this.#heardOf(results, isOverKernel),
          address,
        });
      }
      const [, number, queue] = BOUND_LINE.exec(line) ?? [];
      if (queue !== undefined) this.#heardOf(queue, isOverKernel);
      this.#bound[Number(number) - 1]?.resolve();
    });
    registry.ended.then((status) => {
      reject(
        new SystemError("exec", "ECHILD", `the registry ended before it had its mailboxes: ${describeEnd(status)}`),
      );
    });
    return [registry, await promise];
  }

  #heardOf(word: string | undefined, isOfKernel: boolean): number {
    const id = Number(word);
    if (isOfKernel) this.#queueIds.push(id);
    return id;
  }

  #startServers({ requests, results, address }: Mailboxes): Child[] {
    const program = atAddress(this.#request.server, address);
    return Array.from({ length: this.#request.servers }, (_, i) => {
      return this.#start(`server ${i + 1}`, program, ["server", i + 1, requests, results], (line) => {
        const final = FINAL_LINE.exec(line)?.[1];
        if (final !== undefined) this.#resources[i] = Number(final);
      });
    });
  }

  #startClients({ requests, results, address }: Mailboxes): Child[] {
    const { clients, client, servers, messages, intervalMs } = this.#request;
    const program = atAddress(client, address);
    return Array.from({ length: clients }, (_, i) => {
      const words = ["client", i + 1, requests, results, servers, messages, intervalMs];
      return this.#start(`client ${i + 1}`, program, words, () => {});
    });
  }

  #start(name: string, program: Command, words: readonly (string | number)[], heard: (line: string) => void): Child {
    const child = new Child({
      name,
      command: program.command,
      args: [...program.args, ...words.map(String)],
      keepsInputOpen: true,
      onLine: (line) => {
        heard(line);
        this.#request.onLine(name, line);
      },
    });
    this.#children.push(child);
    child.ended.then((status) => {
      if (!status.success) this.#failures.push(`${name}: ${describeEnd(status)}`);
    });
    return child;
  }

  /** Waits until all of them have ended; those that do not are made to. */
  async #ended(children: readonly Child[]): Promise<void> {
    const timer = setTimeout(() => children.forEach((child) => child.signal("SIGKILL")), END_MS_MAX);
    await Promise.all(children.map((child) => child.ended));
    clearTimeout(timer);
  }
}

/** A program that is told where the mailboxes are, when that is not the kernel. */
function atAddress({ command, args }: Command, address: string): Command {
  return { command, args: address === "" ? args : [...args, "--address", address] };
}
