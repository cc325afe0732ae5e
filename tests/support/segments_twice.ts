/**
 * System V's calls made twice, by the kernel and by us, and what comes of them compared: the value or the errno of
 * every call, and after it all that IPC_STAT tells of every segment there is.
 *
 * In an IPC namespace of their own the ids are the very same. In the host's they are mapped.
 */
import { assertEquals } from "@std/assert";
import { errnoName } from "../../lib/base/errno.ts";
import { SystemError } from "../../lib/base/errors.ts";
import type { Space } from "../../lib/config/space.ts";
import type { NewOwnership } from "../../lib/ipc/segments/calls.ts";
import { IPC_RMID, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import type { Principal } from "../../lib/ipc/common/permissions.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";
import { SegmentTable } from "../../lib/ipc/segments/segment_table.ts";
import { shmctl } from "../../lib/ipc/segments/shmctl.ts";
import type { ShmctlResult } from "../../lib/ipc/segments/shmctl.ts";
import { KernelCaller } from "./kernel_segments.ts";
import type { Identity } from "./kernel_process.ts";
import type { KernelCall, KernelReply, KernelStatus } from "./kernel_segments.ts";

/** How much later than ours the kernel's time of the same call may be, and 1 s earlier where it has not ticked yet. */
const LATER_S_MAX = 5;

/** Our side: the table itself, or a cluster over the wire. */
export interface OurSide {
  /** What there is, by ids, after the latest call. */
  statuses(): SegmentStatus[];
  /** Sets the limits. */
  limit(limits: Limits): void;
  /** Makes a call; `now` in seconds since 1970. */
  make(actor: Actor, call: Call, now: number): Promise<Outcome>;
}

/** A process, and its session with us. */
export interface Actor {
  readonly caller: KernelCaller;
  readonly who: Principal;
  readonly session: string;
  /** By the number it has with us, the address it has in the process. */
  readonly attached: Map<number, string>;
}

/** A call by an actor; an id is ours. */
export type Call =
  | { readonly call: "shmget"; readonly key: number; readonly size: number; readonly flags: number }
  | { readonly call: "shmat"; readonly id: number; readonly flags: number }
  /** An attachment of this actor; 0 for one that there is not. */
  | { readonly call: "shmdt"; readonly attachment: number }
  | {
    readonly call: "shmctl";
    readonly id: number;
    readonly command: number;
    readonly ownership?: NewOwnership;
  }
  | { readonly call: "end" };

/** What came of a call with us. */
export interface Outcome extends ShmctlResult {
  /** `ok`, or the errno's name. */
  readonly code: string;
}

/** An address where nothing is ever attached: it may not be mapped. */
const NO_ADDRESS = "4096";

/** The time in whole seconds. */
export function seconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** See the head of this file. */
export class Twice implements AsyncDisposable {
  /** The processes. */
  readonly actors: readonly Actor[];
  /** Whether nobody else's segments are in the way. */
  readonly isAlone: boolean;
  readonly #ours: OurSide;
  /** Of every segment there ever was. */
  readonly #kernelIds = new Map<number, number>();

  private constructor(actors: readonly Actor[], isAlone: boolean, ours: OurSide) {
    this.actors = actors;
    this.isAlone = isAlone;
    this.#ours = ours;
  }

  /**
   * Starts a process for each identity, the first of them uid 0; one without identity is as who runs the tests.
   *
   * @param config `host:port` of the config server that they are to connect to; none unless told.
   */
  static async start(
    identities: readonly (Identity | undefined)[],
    ours: OurSide,
    config?: string,
  ): Promise<Twice> {
    const first = await KernelCaller.start(identities[0], identities[0] ? "new" : "host", config);
    const { namespace } = first;
    const rest = await Promise.all(identities.slice(1).map((each) => KernelCaller.start(each, namespace, config)));
    const actors = [first, ...rest].map(({ caller }, index) => ({
      caller,
      who: { ...identities[index] ?? ownIdentity(), pid: caller.pid },
      session: `session ${index}`,
      attached: new Map<number, string>(),
    }));
    return new Twice(actors, namespace !== "host", ours);
  }

  /** Sets the limits on both sides; the kernel's only where nobody else lives under them. */
  async limit(limits: Limits): Promise<void> {
    this.#ours.limit(limits);
    for (const { caller } of this.actors) await caller.make({ call: "memlock", size: limits.memlock });
    if (!this.isAlone) return;
    for (const name of ["shmmax", "shmall", "shmmni"] as const) {
      await this.actors[0]?.caller.make({ call: "sysctl", name, value: `${limits[name]}` });
    }
  }

  /** The ids of the segments there are, ours. */
  get ids(): number[] {
    return this.statuses().map(({ id }) => id);
  }

  /** What we say of each. */
  statuses(): SegmentStatus[] {
    return this.#ours.statuses();
  }

  /** What the kernel says of our segment `id` to that actor. */
  async kernelStatus({ caller }: Actor, id: number): Promise<KernelStatus | undefined> {
    const kernelId = this.#kernelIds.get(id) ?? id;
    return (await caller.make({ call: "shmctl", id: kernelId, command: IPC_STAT })).status;
  }

  /** Makes a call on both sides and compares. */
  async make(actor: Actor, call: Call): Promise<Outcome> {
    const now = seconds();
    const ours = await this.#ours.make(actor, call, now);
    const theirs = await actor.caller.make(this.#forKernel(actor, call));
    assertEquals(ours.code, theirs.errno === 0 ? "ok" : errnoName(theirs.errno), "ours and the kernel's errno");
    if (ours.code === "ok") this.#settle(actor, call, ours, theirs);
    await this.compareAll();
    return ours;
  }

  #forKernel({ attached }: Actor, call: Call): KernelCall {
    switch (call.call) {
      case "shmget":
        return { ...call, size: `${BigInt.asUintN(64, BigInt(call.size))}` };
      case "shmat":
      case "shmctl":
        return { ...call, id: this.#kernelIds.get(call.id) ?? call.id };
      case "shmdt":
        return { call: "shmdt", address: attached.get(call.attachment) ?? NO_ADDRESS };
      case "end":
        return { call: "detachAll" };
    }
  }

  /** Takes down what a call that went well has changed, and compares what it returned. */
  #settle(actor: Actor, call: Call, ours: Outcome, theirs: KernelReply): void {
    switch (call.call) {
      case "shmget":
        if (!this.#kernelIds.has(ours.value)) this.#kernelIds.set(ours.value, theirs.value);
        assertEquals(this.#kernelIds.get(ours.value), theirs.value, "the id");
        if (this.isAlone) assertEquals(ours.value, theirs.value, "the very same id");
        break;
      case "shmat":
        actor.attached.set(ours.value, theirs.address ?? NO_ADDRESS);
        break;
      case "shmdt":
        actor.attached.delete(call.attachment);
        break;
      case "shmctl":
        if (ours.status && theirs.status) assertSame(ours.status, theirs.status);
        if (!this.isAlone) break;
        assertEquals(ours.value, theirs.value, "what shmctl returned");
        assertEquals(infoOf(ours), theirs.info, "what IPC_INFO or SHM_INFO told");
        break;
      case "end":
        actor.attached.clear();
    }
  }

  /** Compares all that there is. */
  async compareAll(): Promise<void> {
    const statuses = this.statuses();
    const ids = statuses.map(({ id }) => this.#kernelIds.get(id) ?? id);
    const { statuses: theirs = [] } = await this.#observer.make({ call: "stats", ids });
    for (const [index, status] of statuses.entries()) {
      const their = theirs[index];
      // without uid 0 the kernel does not show what its owner may not read
      if (their) assertSame(status, their);
      else assertEquals(this.#isSuperuser, false, `the kernel has no segment ${status.id}`);
    }
  }

  get #observer(): KernelCaller {
    return (this.actors[0] as Actor).caller;
  }

  get #isSuperuser(): boolean {
    return this.actors[0]?.who.uid === 0;
  }

  /** Ends all attachments and removes all segments, on both sides. */
  async clear(): Promise<void> {
    for (const actor of this.actors) await this.make(actor, { call: "end" });
    for (const { id, cuid } of this.statuses()) {
      const remover = this.actors.find(({ who }) => who.uid === 0 || who.uid === cuid);
      if (remover) await this.make(remover, { call: "shmctl", id, command: IPC_RMID });
    }
    assertEquals(this.ids, []);
  }

  /** Ends the processes; before that whatever they have made is removed, also after a failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { caller } of this.actors) {
      if (!this.isAlone && !caller.hasEnded) {
        await caller.make({ call: "detachAll" });
        for (const id of this.#kernelIds.values()) await caller.make({ call: "shmctl", id, command: IPC_RMID });
      }
      await caller.kill();
    }
  }
}

const SUPERUSER: Principal = { uid: 0, gid: 0, groups: [], pid: 0 };

/** Our side as the pure table. */
export class TableSide implements OurSide {
  /** Replaced with its limits. */
  table: SegmentTable;
  readonly #space: Space;

  /** @param space where its segments lie. */
  constructor(space: Space) {
    this.#space = space;
    this.table = new SegmentTable(space);
  }

  limit(limits: Limits): void {
    this.table = new SegmentTable(this.#space, { limits, rows: this.table.toRows() });
  }

  statuses(): SegmentStatus[] {
    return this.table.toRows().segments.map(({ id }) => this.table.stat(SUPERUSER, id));
  }

  make(actor: Actor, call: Call, now: number): Promise<Outcome> {
    try {
      return Promise.resolve({ code: "ok", ...this.#carryOut(actor, call, now) });
    } catch (error) {
      if (error instanceof SystemError) return Promise.resolve({ value: -1, code: error.code });
      throw error;
    }
  }

  #carryOut({ who, session }: Actor, call: Call, now: number): ShmctlResult {
    switch (call.call) {
      case "shmget": {
        const got = this.table.shmget(who, call.key, call.size, call.flags, now);
        if (got.outcome === "created") this.table.commit(got.id);
        return { value: got.id };
      }
      case "shmat":
        return { value: this.table.shmat(who, session, call.id, call.flags, now).attachment };
      case "shmdt":
        this.table.shmdt(who, session, call.attachment, now);
        return { value: 0 };
      case "shmctl":
        return shmctl(this.table, who, call, now);
      case "end":
        this.table.endSession(session, now);
        return { value: 0 };
    }
  }
}

function ownIdentity(): Identity {
  const groups = /^Groups:(.*)$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1] ?? "";
  return { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0, groups: groups.trim().split(/\s+/).filter(Boolean).map(Number) };
}

/** The words of `struct shminfo` and `struct shm_info` that mean something to us. */
function infoOf({ limits, usage }: ShmctlResult): string[] | undefined {
  if (limits) return [limits.shmmax, limits.shmmin, limits.shmmni, limits.shmmni, limits.shmall].map(String);
  return usage ? [usage.segmentCount, usage.pageCount].map(String) : undefined;
}

/** Field by field; a time is the same when it is set on both sides or on neither, and about the same second. */
function assertSame(ours: SegmentStatus, theirs: KernelStatus): void {
  const { id, range: _, ...fields } = ours;
  const times = ["atime", "dtime", "ctime"] as const;
  const theirTimes = Object.fromEntries(times.map((name) => [name, sameTime(fields[name], theirs[name])]));
  assertEquals(fields, { ...theirs, ...theirTimes }, `segment ${id} by us and by the kernel`);
}

/** Our time where the kernel's is the same, else the kernel's. */
function sameTime(ours: number, theirs: number): number {
  if (ours === 0 || theirs === 0) return theirs;
  const laterS = theirs - ours;
  return laterS >= -1 && laterS <= LATER_S_MAX ? ours : theirs;
}
