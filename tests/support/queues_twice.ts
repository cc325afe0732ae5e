/**
 * System V's calls on queues made twice, by the kernel and on our table, and what comes of them compared: the value, the
 * message or the errno of every call, at once or when its wait ends; after it all that IPC_STAT tells of every queue there
 * is, and every message in it, in order.
 *
 *   - A process that waits is seen to sleep in the call (blocked.ts). Whoever waits with us must sleep, and nobody else.
 *   - Where the kernel wakes several at once, their order is the scheduler's. Such calls are told beforehand
 *     (`isAmbiguous`), and not made.
 *   - In an IPC namespace of their own the ids are the very same. In the host's they are mapped.
 */
import { assert, assertEquals } from "@std/assert";
import { errnoName } from "../../lib/base/errno.ts";
import { SystemError } from "../../lib/base/errors.ts";
import { IPC_RMID, IPC_SET } from "../../lib/ipc/common/flags.ts";
import type { Principal } from "../../lib/ipc/common/permissions.ts";
import type { Completion } from "../../lib/ipc/queues/calls.ts";
import type { Limits } from "../../lib/ipc/queues/limits.ts";
import { msgctl } from "../../lib/ipc/queues/msgctl.ts";
import type { MsgctlResult } from "../../lib/ipc/queues/msgctl.ts";
import type { QueueStatus } from "../../lib/ipc/queues/queue.ts";
import { QueueTable } from "../../lib/ipc/queues/queue_table.ts";
import { isWanted, selectionOf } from "../../lib/ipc/queues/selection.ts";
import { blockedCount } from "./blocked.ts";
import { ownIdentity } from "./kernel_process.ts";
import type { Identity } from "./kernel_process.ts";
import { infoOf, startQueueCaller } from "./kernel_queues.ts";
import type { KernelCall, KernelMessage, KernelReply, KernelStatus, QueueCaller } from "./kernel_queues.ts";
import { until, within } from "./until.ts";

/** How much later than ours the kernel's time of the same call may be, and 1 s earlier where it has not ticked yet. */
const LATER_S_MAX = 15;

/** A call by an actor; an id is ours. */
export type Call = Exclude<KernelCall, { call: "look" | "sysctl" | "abort" }>;

/** A call that may wait. */
type MayWait = Extract<Call, { call: "msgsnd" | "msgrcv" }>;

/** A call that waits on both sides. */
export interface Wait {
  readonly ticket: number;
  readonly call: MayWait;
  readonly reply: Promise<KernelReply>;
}

/** A process, and its session with us. */
export interface Actor {
  readonly caller: QueueCaller;
  readonly who: Principal;
  readonly session: string;
  /** The call it waits in. */
  waiting?: Wait | undefined;
}

/** What came of a call with us. */
export interface Outcome {
  /** What it returned. */
  readonly value?: number;
  readonly message?: KernelMessage;
  readonly result?: MsgctlResult;
  /** `ok`, `blocked`, or the errno's name. */
  readonly code: string;
}

/** A call that had waited, and what it came to. */
export interface Ended {
  readonly actor: Actor;
  readonly call: MayWait;
  readonly code: string;
}

const SUPERUSER: Principal = { uid: 0, gid: 0, groups: [], pid: 0 };

/** The time in whole seconds. */
function seconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** See the head of this file. */
export class QueuesTwice implements AsyncDisposable {
  /** The processes. */
  readonly actors: readonly Actor[];
  /** Whether nobody else's queues are in the way. */
  readonly isAlone: boolean;
  table = new QueueTable();
  readonly #observer: QueueCaller;
  readonly #kind: "kernel" | "carrier";
  /** Of every queue there ever was. */
  readonly #kernelIds = new Map<number, number>();

  private constructor(
    actors: readonly Actor[],
    observer: QueueCaller,
    isAlone: boolean,
    kind: "kernel" | "carrier",
  ) {
    this.actors = actors;
    this.#observer = observer;
    this.isAlone = isAlone;
    this.#kind = kind;
  }

  /** Starts a process for each identity; one without is as who runs the tests. The carrier's call through KernelQueues. */
  static async start(
    identities: readonly (Identity | undefined)[],
    kind: "kernel" | "carrier" = "kernel",
  ): Promise<QueuesTwice> {
    const first = await startQueueCaller(undefined, identities[0] ? "new" : "host");
    const others = identities.map((identity) => startQueueCaller(identity, first.namespace, kind));
    const actors = (await Promise.all(others)).map(({ caller }, index) => ({
      caller,
      who: { ...identities[index] ?? ownIdentity(), pid: caller.pid },
      session: `session ${index}`,
    }));
    return new QueuesTwice(actors, first.caller, first.namespace !== "host", kind);
  }

  /** Sets the limits on both sides while nobody waits; the kernel's only where nobody else lives under them. */
  async limit(limits: Limits): Promise<void> {
    this.table = new QueueTable({ limits, rows: this.table.toRows() });
    if (!this.isAlone) return;
    for (const name of ["msgmax", "msgmnb", "msgmni"] as const) {
      await this.#observer.make({ call: "sysctl", name, value: limits[name] });
    }
  }

  /** The ids of the queues there are, ours. */
  get ids(): number[] {
    return this.table.toRows().queues.map(({ id }) => id);
  }

  /** What our table says of each. */
  statuses(): QueueStatus[] {
    return this.ids.map((id) => this.table.stat(SUPERUSER, id));
  }

  /** What the kernel says of our queue `id`. */
  async kernelStatus(id: number): Promise<KernelStatus | undefined> {
    const { seen } = await this.#observer.make({ call: "look", ids: [this.#kernelIds.get(id) ?? id] });
    return seen?.[0]?.status;
  }

  /** Those who wait, for queue `id` where that is given. */
  waiting(id?: number): (Actor & { readonly waiting: Wait })[] {
    return this.actors.flatMap((actor) => {
      const { waiting } = actor;
      return waiting && (id === undefined || waiting.call.id === id) ? [{ ...actor, waiting }] : [];
    });
  }

  /** Whether the kernel would wake several who then race. */
  isAmbiguous({ who, session }: Actor, call: Call): boolean {
    if (call.call === "msgget") return false;
    const waits = this.waiting(call.id).map(({ waiting }) => waiting.call);
    const receivers = waits.filter((each) => each.call === "msgrcv");
    const probe = new QueueTable({ limits: this.table.limits, rows: this.table.toRows() });
    try {
      carryOut(probe, who, session, call, 0);
    } catch (error) {
      if (error instanceof SystemError) return false;
      throw error;
    }
    if (call.call === "msgsnd") {
      // who got E2BIG through the carrier asks anew, and may find that another has the message
      const wanting = receivers.filter(({ type, flags }) => isWanted(selectionOf(type, flags), call.type));
      return this.#kind === "carrier" && wanting.length > 1;
    }
    const woken = waits.filter((each) => each.call === "msgsnd" && hasRoom(probe, each.id, each.text.length)).length;
    if (call.call === "msgctl" && call.command === IPC_SET) return woken + receivers.length > 1;
    return woken > 1;
  }

  /** Makes a call on both sides and compares. @returns what came of it with us, and of the calls whose wait it has ended. */
  async make(actor: Actor, call: Call): Promise<{ readonly outcome: Outcome; readonly ended: Ended[] }> {
    assert(!actor.waiting, "who waits makes no call");
    const { outcome, ticket } = this.#onTable(actor, call);
    const reply = actor.caller.make(this.#forKernel(call));
    if (outcome.code === "blocked") {
      actor.waiting = { ticket, call: call as MayWait, reply };
      await this.#seenBlocked(actor, actor.waiting);
    } else this.#compare(call, outcome, await within(call.call, reply));
    const ended = await this.#settle();
    await this.compareAll();
    return { outcome, ended };
  }

  #onTable({ who, session }: Actor, call: Call): { readonly outcome: Outcome; readonly ticket: number } {
    try {
      const done = carryOut(this.table, who, session, call, seconds());
      return "ticket" in done ? { outcome: { code: "blocked" }, ticket: done.ticket } : { outcome: done, ticket: 0 };
    } catch (error) {
      if (error instanceof SystemError) return { outcome: { code: error.code }, ticket: 0 };
      throw error;
    }
  }

  #forKernel(call: Call): KernelCall {
    return call.call === "msgget" ? call : { ...call, id: this.#kernelIds.get(call.id) ?? call.id };
  }

  #compare(call: Call, ours: Outcome, theirs: KernelReply): void {
    assertEquals(ours.code, theirs.errno === 0 ? "ok" : errnoName(theirs.errno), "ours and the kernel's errno");
    if (ours.code !== "ok") return;
    if (ours.message) assertEquals(ours.message, theirs.message, "the message");
    if (call.call === "msgget" && ours.value !== undefined) {
      if (!this.#kernelIds.has(ours.value)) this.#kernelIds.set(ours.value, theirs.value);
      assertEquals(this.#kernelIds.get(ours.value), theirs.value, "the id");
    }
    if (ours.result?.status && theirs.status) this.#compareStatus(ours.result.status, theirs.status);
    if (!this.isAlone) return;
    assertEquals(ours.value, theirs.value, "what it returned");
    if (ours.result) assertEquals(infoOf(ours.result), theirs.info, "what IPC_INFO or MSG_INFO told");
  }

  /** Waits for the kernel's end of all that ended with us, and sees that all others still sleep. */
  async #settle(): Promise<Ended[]> {
    const ended: Ended[] = [];
    for (const completion of this.table.takeCompletions()) {
      const actor = this.actors.find(({ waiting }) => waiting?.ticket === completion.ticket);
      assert(actor?.waiting, "who waits no more did wait");
      const { call, reply } = actor.waiting;
      actor.waiting = undefined;
      const outcome = endOf(completion);
      this.#compare(call, outcome, await within(`the end of ${JSON.stringify(call)}`, reply));
      ended.push({ actor, call, code: outcome.code });
    }
    for (const actor of this.actors) if (actor.waiting) await this.#seenBlocked(actor, actor.waiting);
    return ended;
  }

  async #seenBlocked({ caller }: Actor, { call, reply }: Wait): Promise<void> {
    const answered = reply.then((early) => early);
    const blocked = until(`process ${caller.pid} in ${call.call}`, () => blockedCount(caller.pid, call.call) === 1);
    const seen = await Promise.race([answered, blocked]);
    assertEquals(seen, true, `${JSON.stringify(call)} waits with us, and not in the kernel`);
  }

  /** Ends a call that waits, as a signal does. */
  async interrupt(actor: Actor): Promise<Ended> {
    assert(actor.waiting, "it waits");
    const { ticket, call, reply } = actor.waiting;
    actor.waiting = undefined;
    assert(this.table.cancel(ticket), "it waits with us");
    if (this.#kind === "kernel") actor.caller.signal("SIGUSR1");
    else await actor.caller.tell({ call: "abort" });
    const { errno } = await within("EINTR", reply);
    assertEquals(errnoName(errno), "EINTR");
    await this.#settle();
    await this.compareAll();
    return { actor, call, code: "EINTR" };
  }

  /** Compares all that there is. */
  async compareAll(): Promise<void> {
    const { queues, messages } = this.table.toRows();
    const ids = queues.map(({ id }) => this.#kernelIds.get(id) ?? id);
    const { seen = [] } = await this.#observer.make({ call: "look", ids });
    for (const [index, { id }] of queues.entries()) {
      const their = seen[index];
      // without uid 0 the kernel does not show what its owner may not read
      if (!their) assert(Deno.uid() !== 0, `the kernel has no queue ${id}`);
      else {
        this.#compareStatus(this.table.stat(SUPERUSER, id), their.status);
        const ours = messages.filter(({ queueId }) => queueId === id);
        assertEquals(ours.map(asText), their.messages, `messages of queue ${id} by us and by the kernel`);
      }
    }
  }

  /** Field by field; a time is the same when it is set on both sides or on neither, and about the same second. */
  #compareStatus(ours: QueueStatus, theirs: KernelStatus): void {
    const { id, ...fields } = ours;
    const times = ["stime", "rtime", "ctime"] as const;
    const theirTimes = Object.fromEntries(times.map((name) => [name, sameTime(fields[name], theirs[name])]));
    // who waited through the carrier did so on another thread, whose id the kernel takes for the process's
    const lrpid = this.#kind === "carrier" ? fields.lrpid : theirs.lrpid;
    assertEquals(fields, { ...theirs, ...theirTimes, lrpid }, `queue ${id} by us and by the kernel`);
  }

  /** Ends all calls that wait and removes all queues, on both sides. */
  async clear(): Promise<void> {
    for (const actor of this.actors) if (actor.waiting) await this.interrupt(actor);
    for (const { id, cuid } of this.table.toRows().queues) {
      const remover = this.actors.find(({ who }) => who.uid === 0 || who.uid === cuid);
      if (remover) await this.make(remover, { call: "msgctl", id, command: IPC_RMID });
    }
    assertEquals(this.ids, []);
  }

  /** Ends the processes; before that whatever they have made is removed, also after a failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { caller, waiting } of this.actors) {
      await caller[Symbol.asyncDispose]();
      await waiting?.reply.catch(() => {}); // whoever was killed while it waited does not answer
    }
    if (!this.isAlone) {
      for (const id of this.#kernelIds.values()) await this.#observer.make({ call: "msgctl", id, command: IPC_RMID });
    }
    await this.#observer[Symbol.asyncDispose]();
  }
}

/** Carries out a call on a table. */
function carryOut(
  table: QueueTable,
  who: Principal,
  session: string,
  call: Call,
  now: number,
): Outcome | { readonly ticket: number } {
  switch (call.call) {
    case "msgget":
      return { code: "ok", value: table.msgget(who, call.key, call.flags, now) };
    case "msgsnd": {
      const outcome = table.msgsnd(who, session, { ...call, data: new TextEncoder().encode(call.text) }, now);
      return outcome.outcome === "sent" ? { code: "ok", value: 0 } : outcome;
    }
    case "msgrcv": {
      const outcome = table.msgrcv(who, session, call, now);
      if (outcome.outcome === "blocked") return outcome;
      return { code: "ok", value: outcome.message.data.length, message: asText(outcome.message) };
    }
    case "msgctl": {
      const result = msgctl(table, who, call, now);
      return { code: "ok", value: result.value, result };
    }
  }
}

function endOf(completion: Completion): Outcome {
  if (completion.outcome === "refused") return { code: completion.error.code };
  if (completion.outcome === "sent") return { code: "ok", value: 0 };
  return { code: "ok", value: completion.message.data.length, message: asText(completion.message) };
}

function asText({ type, data }: { readonly type: number; readonly data: Uint8Array }): KernelMessage {
  return { type, text: new TextDecoder().decode(data) };
}

/** As ipc/msg.c reckons (`msg_fits_inqueue`); in a queue that is not there nobody finds room. */
function hasRoom(table: QueueTable, id: number, size: number): boolean {
  const row = table.toRows().queues.find((queue) => queue.id === id);
  if (!row) return false;
  const { cbytes, qnum, qbytes } = table.stat(SUPERUSER, id);
  return cbytes + size <= qbytes && qnum + 1 <= qbytes;
}

/** Our time where the kernel's is the same, else the kernel's. */
function sameTime(ours: number, theirs: number): number {
  if (ours === 0 || theirs === 0) return theirs;
  const laterS = theirs - ours;
  return laterS >= -1 && laterS <= LATER_S_MAX ? ours : theirs;
}
