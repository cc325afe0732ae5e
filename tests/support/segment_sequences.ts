/** Random sequences of System V's calls on segments, made on both sides and compared (segments_twice.ts). */
import type { Random } from "../../lib/base/random.ts";
import { IPC_CREAT, IPC_EXCL, IPC_INFO, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT } from "../../lib/ipc/common/flags.ts";
import { INDEX_COUNT } from "../../lib/ipc/common/object_ids.ts";
import {
  SHM_EXEC,
  SHM_INFO,
  SHM_LOCK,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_STAT,
  SHM_STAT_ANY,
  SHM_UNLOCK,
} from "../../lib/ipc/segments/flags.ts";
import { PAGE_SIZE } from "../../lib/ipc/segments/limits.ts";
import type { Limits } from "../../lib/ipc/segments/limits.ts";
import type { SegmentStatus } from "../../lib/ipc/segments/segment.ts";
import { cellOf } from "./segment_cells.ts";
import type { Actor, Call, Twice } from "./segments_twice.ts";

/** More than any memory: the kernel has no room for it, unless it promises everything to everybody. */
const TOO_LARGE = 2 ** 60;
/** Whether the kernel promises more memory than there is. */
export const PROMISES_EVERYTHING = Deno.readTextFileSync("/proc/sys/vm/overcommit_memory").trim() === "1";

/** Makes up calls that have something to meet. */
class Generator {
  readonly #random: Random;
  readonly #twice: Twice;
  readonly #keys: readonly number[];

  constructor(random: Random, twice: Twice) {
    this.#random = random;
    this.#twice = twice;
    this.#keys = [random.word(), random.word(), random.between(1, 2 ** 31 - 1)];
  }

  next(): { readonly actor: Actor; readonly call: Call } {
    const actor = this.#random.pick(this.#twice.actors);
    const dice = this.#random.below(100);
    if (dice < 27) return { actor, call: this.#get() };
    const attachment = this.#attachment(actor);
    if (dice < 47 && attachment !== undefined) return { actor, call: { call: "shmdt", attachment } };
    if (dice < 59) return { actor, call: { call: "shmat", id: this.#id(), flags: this.#attachFlags() } };
    if (dice < 62) return { actor, call: { call: "end" } };
    return { actor, call: this.#control() };
  }

  /** The segment that a call is about. */
  about(call: Call): SegmentStatus | undefined {
    const all = this.#twice.statuses();
    if (call.call === "shmget") return all.find(({ key }) => key === call.key && key !== IPC_PRIVATE);
    return call.call === "shmctl" ? all.find(({ id }) => id === call.id) : undefined;
  }

  #get(): Call {
    const random = this.#random;
    const key = random.isOneIn(5) ? IPC_PRIVATE : random.pick(this.#keys);
    const flags = this.#mode() | (random.isOneIn(3) ? 0 : IPC_CREAT) | (random.isOneIn(4) ? IPC_EXCL : 0);
    return { call: "shmget", key, size: this.#size(), flags };
  }

  #size(): number {
    const random = this.#random;
    if (random.isOneIn(25)) return random.pick([2 ** 63, -1].slice(this.#twice.isAlone ? 0 : 2)) ?? 0;
    if (random.isOneIn(25) && !PROMISES_EVERYTHING) return TOO_LARGE;
    return random.pick([0, 1, 100, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE, random.between(1, 5 * PAGE_SIZE)]);
  }

  #mode(): number {
    const random = this.#random;
    return random.isOneIn(2) ? random.below(0o1000) : random.pick([0o600, 0o640, 0o660, 0o666, 0o777, 0o400, 0o111, 0]);
  }

  #attachFlags(): number {
    const random = this.#random;
    const flags = (random.isOneIn(2) ? SHM_RDONLY : 0) | (random.isOneIn(4) ? SHM_EXEC : 0);
    const unknown = random.isOneIn(5) ? 0o20000 | 1 << random.between(20, 30) | random.below(0o1000) : 0;
    return flags | unknown | (random.isOneIn(20) ? SHM_REMAP : 0);
  }

  /** Mostly the id of a segment; else one that was never there, or not any more. */
  #id(): number {
    const random = this.#random;
    const { ids } = this.#twice;
    if (ids.length > 0 && !random.isOneIn(8)) return random.pick(ids);
    const near = ids.length > 0 ? random.pick(ids) : 0;
    const far = this.#twice.isAlone ? [near + INDEX_COUNT, Math.max(0, near - INDEX_COUNT), 2 ** 31 - 1] : [];
    return random.pick([-1, -near - 1, ...far.filter((id) => !ids.includes(id))]);
  }

  /** One that the actor has, or 0, which nobody has; undefined where he has none. */
  #attachment({ attached }: Actor): number | undefined {
    if (this.#random.isOneIn(12)) return 0;
    return attached.size === 0 ? undefined : this.#random.pick([...attached.keys()]);
  }

  #control(): Call {
    const random = this.#random;
    const id = this.#id();
    if (this.#twice.isAlone && random.isOneIn(5)) {
      const index = random.isOneIn(2) ? id : random.pick([random.below(80), id & INDEX_COUNT - 1]);
      return { call: "shmctl", id: index, command: random.pick([SHM_STAT, SHM_STAT_ANY]) };
    }
    const command = random.pick([IPC_STAT, IPC_SET, IPC_SET, IPC_RMID, SHM_LOCK, SHM_LOCK, SHM_UNLOCK]);
    if (random.isOneIn(8)) return { call: "shmctl", id, command: random.pick([IPC_INFO, SHM_INFO, 4, 10, 16, 99, -1]) };
    return { call: "shmctl", id, command, ...command === IPC_SET ? { ownership: this.#ownership() } : {} };
  }

  #ownership(): { uid: number; gid: number; mode: number } {
    const random = this.#random;
    const [{ uid }, { gid }] = [random.pick(this.#twice.actors).who, random.pick(this.#twice.actors).who];
    const nobody = 2 ** 32 - 1;
    return {
      uid: random.isOneIn(12) ? nobody : uid,
      gid: random.isOneIn(12) ? nobody : gid,
      // bits that are not the caller's to set
      mode: this.#mode() | (random.isOneIn(4) ? 0o7000 : 0),
    };
  }
}

/** Makes `count` random calls and clears up after them. @param reached is told the cell of each. */
export async function playSequence(
  random: Random,
  twice: Twice,
  limits: Limits,
  count: number,
  reached: (cell: string) => void = () => {},
): Promise<void> {
  const generator = new Generator(random, twice);
  const history: string[] = [];
  try {
    for (let step = 0; step < count; step++) {
      const { actor, call } = generator.next();
      const before = generator.about(call);
      history.push(`uid ${actor.who.uid} pid ${actor.who.pid}: ${JSON.stringify(call)}`);
      const { code } = await twice.make(actor, call);
      history.push(`  ${code}`);
      reached(cellOf({ call, code, who: actor.who, before, limits }));
    }
    await twice.clear();
  } catch (error) {
    console.error(history.join("\n"));
    throw error;
  }
}
