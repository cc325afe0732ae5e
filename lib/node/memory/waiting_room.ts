/**
 * Connections whose next request cannot be served at once. Each of them is not read from meanwhile; nobody else waits.
 *
 *   - A request whose guards are taken is tried again for TRY_MS_MAX, then *parked*: the kernel gives the guards to a thread
 *     that waits for them.
 *   - In a lecture hall every request keeps its guards for a while before it is served.
 *   - A server that took its region over does not know yet whose bytes are whose: who needs to know waits for the config
 *     server to tell.
 *   - After a cut a connection that carries no epoch waits until every server has made it, RELEASE_MS_MAX at most.
 */
import { nowMs } from "../../base/clock.ts";
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import type { Link } from "../../net/transport.ts";
import { yieldProcessor } from "../../sys/host.ts";
import type { LogSink } from "../common/log_sink.ts";
import type { Conversation, Standing } from "./conversation.ts";
import type { MemoryHost, MemoryServiceOptions } from "./memory_host.ts";
import type { ServedGuards } from "./served_guards.ts";

/**
 * How long a request is tried again in every round before it is parked. Whoever holds a guard gives it back within
 * microseconds as a rule, and the way over another thread takes longer than that.
 */
const TRY_MS_MAX = 0.5;
/** How long a connection that carries no epoch is held after a cut. */
export const RELEASE_MS_MAX = 1_000;
/** How often it is looked at whether every server has made it. */
export const RELEASE_RETRY_MS = 2;
/** How often it is looked at whether owners have been told. */
const TOLD_RETRY_MS = 5;
/** How often a read that finds no room for its reply is tried again. */
const ROOM_RETRY_MS = 10;

/** A hold has to be broken: gives up the checkpoint whose cut has not been made everywhere, if there is one. */
export function voidUnreleased(region: Region, log: LogSink): void {
  if (!region.isCutUnreleased) return;
  const epoch = region.epochHeld;
  log("warn", `checkpoint ${epoch} is void: its cut was not made everywhere within ${RELEASE_MS_MAX} ms`);
  region.voidEpoch(epoch);
}

/** See the head of this file. */
export class WaitingRoom {
  /** How many requests have been parked so far. */
  parkedCount = 0;
  readonly #region: Region;
  readonly #guards: ServedGuards;
  readonly #host: MemoryHost;
  readonly #options: MemoryServiceOptions;
  /** Links whose conversation has a `dueMs`. */
  readonly #timed = new Set<Link>();

  /** @param guards of `region`. */
  constructor(region: Region, guards: ServedGuards, host: MemoryHost, options: MemoryServiceOptions) {
    this.#region = region;
    this.#guards = guards;
    this.#host = host;
    this.#options = options;
  }

  /** A connection went: what it holds is given back, now or as soon as it comes. */
  leave(link: Link, talk: Conversation): void {
    talk.isOver = true;
    this.#timed.delete(link);
    if (talk.standing === "holding" || talk.standing === "granted") this.#guards.give(talk.planOf(this.#region));
  }

  /** Its guards are somebody else's: it is tried again in the next rounds, then parked. */
  tryAgain(link: Link, talk: Conversation, plan: GuardPlan): void {
    const now = nowMs();
    if (talk.triedSinceMs === 0) talk.triedSinceMs = now;
    if (now - talk.triedSinceMs < TRY_MS_MAX) return this.#delay(link, talk, "retrying", 0);
    talk.triedSinceMs = 0;
    this.park(link, talk, plan);
  }

  /** It is served once the kernel has given it its guards. */
  park(link: Link, talk: Conversation, plan: GuardPlan): void {
    this.parkedCount++;
    talk.planOf(this.#region).copyFrom(plan);
    talk.standing = "waiting";
    link.pause();
    this.#host.takeInBackground(talk.planOf(this.#region), () => {
      if (talk.isOver) return this.#guards.give(talk.planOf(this.#region));
      if (this.#options.holdMs > 0) return this.hold(link, talk, talk.planOf(this.#region));
      this.#grant(link, talk);
    });
  }

  /** Its guards are held; it is served after `holdMs`. */
  hold(link: Link, talk: Conversation, plan: GuardPlan): void {
    if (plan !== talk.planOf(this.#region)) talk.planOf(this.#region).copyFrom(plan);
    this.#delay(link, talk, "holding", this.#options.holdMs);
  }

  /** There is no room for its reply; it is tried again in a moment. */
  awaitRoom(link: Link, talk: Conversation): void {
    this.#delay(link, talk, "retrying", ROOM_RETRY_MS);
  }

  /** Nobody has told yet whose the bytes it asks for are; it is tried again in a moment. */
  awaitOwners(link: Link, talk: Conversation): void {
    this.#delay(link, talk, "retrying", TOLD_RETRY_MS);
  }

  /** Whether it has to wait because a cut has been made here and maybe not elsewhere. To be asked under its guards. */
  mustAwaitRelease(talk: Conversation): boolean {
    return this.#region.isCutUnreleased && talk.dialect === "classic";
  }

  /** Gives back its guards; it is tried again in a moment. One that was held too long goes on, and voids the checkpoint. */
  awaitRelease(link: Link, talk: Conversation, plan: GuardPlan): void {
    this.#guards.give(plan);
    const now = nowMs();
    const epoch = this.#region.epochHeld;
    if (talk.heldEpoch !== epoch) {
      talk.heldEpoch = epoch;
      talk.heldSinceMs = now;
    } else if (now - talk.heldSinceMs >= RELEASE_MS_MAX) {
      voidUnreleased(this.#region, (level, message) => this.#host.log(level, message));
    }
    this.#delay(link, talk, "retrying", RELEASE_RETRY_MS);
  }

  /** Its guards are held: it is served at once, or tries again when its peer has taken the replies before it. */
  #grant(link: Link, talk: Conversation): void {
    if (link.isBlocked) this.#guards.give(talk.planOf(this.#region));
    talk.standing = link.isBlocked ? "ready" : "granted";
    link.resume();
  }

  #delay(link: Link, talk: Conversation, standing: Standing, ms: number): void {
    talk.standing = standing;
    talk.dueMs = nowMs() + ms;
    this.#timed.add(link);
    link.pause();
  }

  /** In how many ms `tick` is due; Infinity when nobody waits for the clock. */
  nextTickMs(): number {
    if (this.#timed.size === 0) return Infinity;
    const now = nowMs();
    let next = Infinity;
    for (const link of this.#timed) next = Math.min(next, Math.max(0, (link.state as Conversation).dueMs - now));
    return next;
  }

  /** Has those served or tried again whose time has come. */
  tick(): void {
    const now = nowMs();
    let retries = false;
    for (const link of this.#timed) {
      const talk = link.state as Conversation;
      if (talk.dueMs > now) continue;
      this.#timed.delete(link);
      retries ||= talk.triedSinceMs > 0;
      if (talk.standing === "holding") this.#grant(link, talk);
      else {
        talk.standing = "ready";
        link.resume();
      }
    }
    // whoever holds the guards may be waiting for this very processor
    if (retries) yieldProcessor();
  }
}
