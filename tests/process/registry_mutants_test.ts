/**
 * Each promise of the registry, broken once: the simulation that shows the shipping service to be right must find it out.
 * How a mutant is made is in tests/support/mutants.ts.
 */
import { mutatedTree, requireFailure } from "../support/mutants.ts";
import type { Change } from "../support/mutants.ts";

const SIMULATION = "tests/unit/registry/registry_simulation_test.ts";

const SERVICE = "lib/node/registry/registry_service.ts";
const QUEUES = "lib/node/registry/queue_requests.ts";
const NAMES = "lib/node/registry/name_requests.ts";

const MUTANTS: readonly (Change & { readonly promise: string })[] = [
  {
    promise: "nobody is told what is not stored yet",
    file: SERVICE,
    from: "      while (this.#storeChanges() || this.#outbox.size > 0) this.#outbox.deliver();",
    to: "      do this.#outbox.deliver(); while (this.#storeChanges() || this.#outbox.size > 0);",
  },
  {
    promise: "what was in delivery to a session that has ended goes to another",
    file: QUEUES,
    from: "    this.#table.endSession(token, time);",
    to: "",
  },
  {
    promise: "a message that comes back has its old place",
    file: "lib/ipc/queues/queue_store.ts",
    from: "    this.enqueue(message);\n",
    to: "    this.enqueue({ ...message, number: this.#nextNumber++ });\n",
  },
  {
    promise: "a watch is told every change",
    file: NAMES,
    from: "events: events.map(eventRow) });",
    to: "events: events.filter(({ isLeased }) => !isLeased).map(eventRow) });",
  },
  {
    promise: "a lease ends with its session",
    file: NAMES,
    from: "    for (const name of this.#table.endSession(token, time)) this.#wake(name);",
    to: "",
  },
  {
    promise: "the sessions that do not come back to a restarted registry end",
    file: SERVICE,
    from: "    for (const token of absent) this.#endSession(token, undefined);\n",
    to: "",
  },
  {
    promise: "those that come back keep what they had",
    file: "lib/node/registry/clients.ts",
    from: "this.#absent.delete(token) ? token : undefined",
    to: "undefined",
  },
  {
    promise: "a request that comes again is answered again, not carried out again",
    file: SERVICE,
    from: "const answered = client.session.answered(header.id);",
    to: "const answered = undefined;",
  },
  {
    promise: "a msgrcv that comes again is given the same message",
    file: QUEUES,
    from: "    if (again) return this.#give(client, id, again);\n",
    to: "",
  },
  {
    promise: "also by the registry's next life",
    file: QUEUES,
    from: "request: this.#deliveries.get(row.number)?.request ?? null",
    to: "request: null",
  },
];

for (const { promise, ...change } of MUTANTS) {
  Deno.test(`mutant: ${promise}: broken, it is found out`, async () => {
    await using tree = await mutatedTree(change);
    await requireFailure(tree.path, SIMULATION, /cannot have been/);
  });
}
