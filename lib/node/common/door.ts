/**
 * The door before every service: who may come in, and as whom.
 *
 *   - From this host: whom the kernel names, whatever he says himself. Root and the user this process runs as are let in,
 *     others only through an open door.
 *   - From beyond it: whoever proves the secret, as whom he says, but never as root. Dialects that cannot prove anything are
 *     turned away unless they were allowed by name; then they are nobody's.
 *   - Before that no frame but `hello` and `prove` is read, nothing large is kept, and time is limited. To whom it turns away
 *     from beyond this host the door says always the same; the log says why.
 *
 * A service makes a {@linkcode Visit} per connection, has the door look at it until it has a guest, and then forgets it.
 */
import { nowMs } from "../../base/clock.ts";
import { ProtocolError } from "../../base/errors.ts";
import { isLoopback } from "../../base/loopback.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import { decodeHeader, encodeFrame, frameSizes } from "../../wire/frame.ts";
import type { Header } from "../../wire/frame.ts";
import { ENTRY_HEADER_SIZE_MAX, MAGIC, NONCE_SIZE, PREFIX_SIZE } from "../../wire/messages.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { exchangeOf, isSame } from "../../wire/proof.ts";
import type { Exchange } from "../../wire/proof.ts";
import { Opener, Sealer } from "../../wire/seal.ts";
import type { LogSink } from "./log_sink.ts";
import { acceptHello, startsNative } from "./native_hello.ts";
import { putBytes } from "./native_reply.ts";
import { NOBODY_UID, uidOfPeer } from "./peer_uid.ts";

/** How long somebody may take to come in, from the first bytes of the native dialect, or from the call if he has to prove. */
export const ENTRY_MS_MAX = 3_000;

/** Dialects in which nothing can be proved. */
export const UNPROVED_DIALECTS = ["classic", "simple"] as const;
/** One of them. */
export type UnprovedDialect = (typeof UNPROVED_DIALECTS)[number];
/** What a connection speaks. */
export type Dialect = "native" | UnprovedDialect;

/** How a door is to be. Plain data, so that it can be sent to a Worker. */
export interface DoorSettings {
  /** The user this process runs as. */
  readonly ownUid: number;
  /** Whether every user of this host is let in. */
  readonly isOpen: boolean;
  /** What must be proved beyond this host; undefined: nobody is let in from there who speaks the native dialect. */
  readonly secret: Uint8Array<ArrayBuffer> | undefined;
  /** Dialects that are let in from beyond this host although they prove nothing. */
  readonly unproved: readonly UnprovedDialect[];
}

/** A door that nobody has said anything about. */
export function defaultDoor(): DoorSettings {
  return { ownUid: Deno.uid() ?? NOBODY_UID, isOpen: false, secret: undefined, unproved: [] };
}

/** Somebody who was let in. */
export interface Guest {
  /** Whose program it is. */
  readonly uid: number;
  /** Who says so: the kernel, he himself with a proof of the secret, or nobody. */
  readonly by: "kernel" | "secret" | "nobody";
}

/**
 * Whether somebody may tell a role what only another role and the cluster's keeper tell it: root and the role's own user on
 * this host, who could do it without asking, and whoever has proved the secret, whatever uid he claims.
 */
export function mayGovern({ uid, by }: Guest, ownUid: number | undefined): boolean {
  return by === "secret" || (by === "kernel" && (uid === 0 || uid === ownUid));
}

/** Who stands before the door. */
export interface Caller {
  /** Whether he is on this host. */
  readonly isLocal: boolean;
  /** Whom the kernel names. */
  readonly uid: number | undefined;
}

/** What is to happen to a caller. */
export type Judgement =
  | { readonly kind: "in"; readonly guest: Guest }
  | { readonly kind: "challenge"; readonly secret: Uint8Array<ArrayBuffer> }
  | { readonly kind: "away"; readonly reason: string; readonly told: string };

/** What everybody is told who is turned away from beyond this host. */
export const NOT_LET_IN = "not let in";

const NOBODY: Guest = { uid: NOBODY_UID, by: "nobody" };

/** The one place that decides. */
export function judge(settings: DoorSettings, caller: Caller, dialect: Dialect): Judgement {
  if (caller.isLocal) return judgeLocal(settings, caller.uid);
  if (dialect === "native") {
    if (settings.secret) return { kind: "challenge", secret: settings.secret };
    return { kind: "away", reason: "it is not on this host, and there is no secret here (--secret)", told: NOT_LET_IN };
  }
  if (settings.unproved.includes(dialect)) return { kind: "in", guest: NOBODY };
  const reason =
    `it is not on this host, and the ${dialect} dialect proves nothing (--allow-unauthenticated ${dialect})`;
  return { kind: "away", reason, told: NOT_LET_IN };
}

function judgeLocal({ isOpen, ownUid }: DoorSettings, uid: number | undefined): Judgement {
  if (uid === undefined) {
    if (isOpen) return { kind: "in", guest: NOBODY };
    const told =
      "the kernel does not say which user's process this is; start the server with --open to let everybody in";
    return { kind: "away", reason: "the kernel does not say which user's process it is (--open)", told };
  }
  if (uid === 0 || uid === ownUid || isOpen) return { kind: "in", guest: { uid, by: "kernel" } };
  const told = `uid ${uid} is not let in, only ${ownUid === 0 ? "root" : `uid ${ownUid} and root`}; ` +
    `start the server with --open to let in every user of its host`;
  return { kind: "away", reason: `it is uid ${uid}'s, and the door is not open (--open)`, told };
}

type Hello = Header & { readonly name: "hello" };

/** A connection that is not let in yet. */
export class Visit {
  /** Known from its first bytes on; set by the service. */
  dialect: Dialect | undefined;
  /** Set once it is let in. */
  guest: Guest | undefined;
  /** The hello it was let in with, to be answered with `welcome`; of a native one only. */
  hello: Hello | undefined;
  /** The version of the protocol that both sides speak, once it has said hello. */
  version = 0;
  /** Whether it was turned away. */
  isOver = false;
  /** What it has to prove. */
  exchange: Exchange | undefined;
  /** When it must be in. */
  dueMs = Infinity;

  /** @param link the connection; @param caller who is there. */
  constructor(readonly link: Link, readonly caller: Caller) {}
}

/** See the head of this file. */
export class Door {
  readonly #settings: DoorSettings;
  readonly #role: string;
  readonly #log: LogSink;
  readonly #awaited = new Set<Visit>();
  #nextDueMs = Infinity;

  /** @param role what the server is; it is part of what is proved. */
  constructor(settings: DoorSettings, role: string, log: LogSink) {
    this.#settings = settings;
    this.#role = role;
    this.#log = log;
  }

  /**
   * A connection came. On this host the kernel is asked now, while the caller is most likely still there.
   *
   * @param silentMsMax how long it may say nothing. Unless told, for as long as it likes when it may speak a dialect that
   * proves nothing: such a client may connect early and speak late.
   */
  opened(link: Link, silentMsMax?: number): Visit {
    const isLocal = isLoopback(link.peer.host);
    const visit = new Visit(link, { isLocal, uid: isLocal ? uidOfPeer(link.peer, link.local) : undefined });
    const mayBeSilent = isLocal || this.#settings.unproved.length > 0;
    this.#await(visit, silentMsMax ?? (mayBeSilent ? Infinity : ENTRY_MS_MAX));
    return visit;
  }

  /** A connection went. */
  closed(visit: Visit): void {
    visit.isOver = true;
    this.#forget(visit);
  }

  /** Has no more than `ms` for what it does next. */
  expect(visit: Visit, ms: number): void {
    this.#await(visit, ms);
  }

  /** Whether it would be let in with a dialect that proves nothing: only to such a one anything may be said first. */
  admits(visit: Visit, dialect: UnprovedDialect): boolean {
    return judge(this.#settings, visit.caller, dialect).kind === "in";
  }

  /** It has sent its first bytes, or some of them: it has not much time to go on. */
  #begun(visit: Visit): void {
    if (visit.dialect || visit.dueMs === Infinity) this.#await(visit, ENTRY_MS_MAX);
  }

  /**
   * Looks at what one says who is not let in yet, `bytes[start … end]`. Afterwards it has a guest, with a hello if it speaks
   * the native dialect, or is over, or has more to send.
   *
   * @param dialectOf the dialect of the first bytes; undefined while they may still become one. Unless given, the service
   * speaks the native one only.
   * @returns up to where they were taken.
   * @throws ProtocolError for bytes of no dialect, and for frames out of their turn.
   */
  enter(
    visit: Visit,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView,
    start: number,
    end: number,
    dialectOf: (first: Uint8Array) => Dialect | undefined = nativeOrNone,
  ): number {
    let at = start;
    if (!visit.dialect) {
      visit.dialect = dialectOf(bytes.subarray(start, end));
      this.#begun(visit);
      if (!visit.dialect) return start;
      if (visit.dialect === "native") at += MAGIC.length;
    }
    if (visit.dialect === "native") return this.#enterNative(visit, bytes, view, at, end);
    this.#enterUnproved(visit, visit.dialect);
    return visit.isOver ? end : at;
  }

  /** Looks at one that speaks a dialect that proves nothing: it has a guest afterwards, or is closed. */
  #enterUnproved(visit: Visit, dialect: UnprovedDialect): void {
    const judgement = judge(this.#settings, visit.caller, dialect);
    if (judgement.kind === "in") this.#letIn(visit, judgement.guest);
    else this.#turnAway(visit, judgement.kind === "away" ? judgement.reason : NOT_LET_IN);
  }

  /**
   * Takes the first frames of one that speaks the native dialect, from `bytes[start … end]` behind the magic. Afterwards it
   * has a guest and a hello, or is over, or has more to send.
   *
   * @returns up to where they were taken.
   * @throws ProtocolError for anything but `hello` and `prove` in their turn.
   */
  #enterNative(visit: Visit, bytes: Uint8Array<ArrayBuffer>, view: DataView, start: number, end: number): number {
    let at = start;
    while (end - at >= PREFIX_SIZE && !visit.guest && !visit.isOver) {
      const { headerSize, payloadSize } = frameSizes(view, at);
      const frameEnd = at + PREFIX_SIZE + headerSize;
      if (payloadSize > 0 || headerSize > ENTRY_HEADER_SIZE_MAX) {
        throw new ProtocolError(
          `a first frame of ${headerSize} and ${payloadSize} bytes; it has no payload, and a header of at most ` +
            `${ENTRY_HEADER_SIZE_MAX}`,
        );
      }
      if (frameEnd > end) {
        visit.link.want(frameEnd - at);
        break;
      }
      const frame = bytes.slice(at, frameEnd);
      at = frameEnd;
      if (!visit.hello) this.#hear(visit, frame);
      else this.#check(visit, frame, at === end);
    }
    return visit.isOver ? end : at;
  }

  #hear(visit: Visit, frame: Uint8Array<ArrayBuffer>): void {
    const header = decodeHeader(frame.subarray(PREFIX_SIZE));
    if (header.name !== "hello") throw new ProtocolError(`${header.name} before hello`);
    visit.version = acceptHello(header.fields);
    visit.hello = header;
    putBytes(visit.link, MAGIC);
    const judgement = judge(this.#settings, visit.caller, "native");
    switch (judgement.kind) {
      case "in":
        return this.#letIn(visit, judgement.guest);
      case "away":
        return this.#turnAway(visit, judgement.reason, judgement.told);
      case "challenge":
        return this.#challenge(visit, frame, header, judgement.secret);
    }
  }

  #challenge(visit: Visit, helloFrame: Uint8Array, hello: Hello, secret: Uint8Array): void {
    if (hello.fields.nonce.length !== NONCE_SIZE) return this.#turnAway(visit, "it has no secret", NOT_LET_IN);
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_SIZE));
    const challenge = frameOf(hello.id, "challenge", { nonce, role: this.#role });
    visit.exchange = exchangeOf(secret, helloFrame, challenge);
    putBytes(visit.link, challenge);
  }

  #check(visit: Visit, frame: Uint8Array<ArrayBuffer>, isLast: boolean): void {
    const header = decodeHeader(frame.subarray(PREFIX_SIZE));
    const { exchange, hello, link } = visit;
    if (header.name !== "prove" || !exchange || !hello) throw new ProtocolError(`${header.name} instead of a proof`);
    if (!isSame(header.fields.proof, exchange.proof)) {
      return this.#turnAway(visit, "its proof is wrong: it has another secret, or repeats somebody else's", NOT_LET_IN);
    }
    // what is not sealed after this was put there by somebody else
    if (!isLast) return this.#turnAway(visit, "it went on before it was welcome", NOT_LET_IN);
    const { uid } = hello.fields;
    this.#letIn(visit, { uid: uid === 0 ? NOBODY_UID : uid, by: "secret" });
    if (link.isEncrypted) return;
    link.flush();
    link.seal = { sealer: new Sealer(exchange.toClientKey), opener: new Opener(exchange.toServerKey) };
  }

  #letIn(visit: Visit, guest: Guest): void {
    visit.guest = guest;
    this.#forget(visit);
  }

  /** @param told what one hears who has said hello; others hear nothing. */
  #turnAway(visit: Visit, reason: string, told: string = NOT_LET_IN): void {
    this.#log("warn", `${peerName(visit.link.peer)} is not let in: ${reason}`);
    if (visit.hello) putBytes(visit.link, frameOf(visit.hello.id, "error", { code: "EACCES", message: told }));
    visit.isOver = true;
    visit.link.close();
  }

  // ---- time

  #await(visit: Visit, ms: number): void {
    if (ms === Infinity) return;
    visit.dueMs = nowMs() + ms;
    this.#awaited.add(visit);
    this.#nextDueMs = Math.min(this.#nextDueMs, visit.dueMs);
  }

  /** Where nobody is waited for, the clock is not looked at in every round. */
  #forget(visit: Visit): void {
    if (this.#awaited.delete(visit) && this.#awaited.size === 0) this.#nextDueMs = Infinity;
  }

  /** In how many ms somebody has taken too long; Infinity when nobody is waited for. */
  nextTickMs(): number {
    return this.#nextDueMs === Infinity ? Infinity : Math.max(0, this.#nextDueMs - nowMs());
  }

  /** Closes whoever has taken too long; of those who never said anything without a word in the log. */
  tick(): void {
    const now = nowMs();
    if (now < this.#nextDueMs) return;
    this.#nextDueMs = Infinity;
    for (const visit of [...this.#awaited]) {
      if (visit.dueMs > now) this.#nextDueMs = Math.min(this.#nextDueMs, visit.dueMs);
      else this.#giveUp(visit);
    }
  }

  #giveUp(visit: Visit): void {
    if (visit.dialect) {
      this.#log("warn", `closed ${peerName(visit.link.peer)}: it did not come in within ${ENTRY_MS_MAX} ms`);
    }
    visit.isOver = true;
    this.#forget(visit);
    visit.link.close();
  }
}

function nativeOrNone(first: Uint8Array): Dialect | undefined {
  return startsNative(first) ? "native" : undefined;
}

/** A frame of one who says nothing of lives and epochs to strangers. */
function frameOf<N extends MessageName>(id: number, name: N, fields: Fields<N>): Uint8Array<ArrayBuffer> {
  return encodeFrame(name, { id, incarnation: 0, epoch: 0 }, fields);
}
