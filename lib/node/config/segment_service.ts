/**
 * System V's calls as they come over the wire: who calls, what is answered.
 *
 *   - Who calls is whom the door has let in; his groups are those that this host's files give him. The pid is what he says.
 *   - Who governs may act for others (memory servers do, for clients of the simple dialect). Who is refused that is refused
 *     everything after it, so that no call is carried out for the wrong one.
 *   - What must not be carried out twice is remembered in its session from the moment it begins, so that a repeat waits for
 *     the same answer.
 */
import { CheckpointError, DsmError, SystemError } from "../../base/errors.ts";
import { IPC_SET } from "../../ipc/common/flags.ts";
import type { Principal } from "../../ipc/common/permissions.ts";
import { isQuestion, shmctl } from "../../ipc/segments/shmctl.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import type { Envelope, Header } from "../../wire/frame.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { mayGovern } from "../common/door.ts";
import type { Guest } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { NOBODY_UID } from "../common/peer_uid.ts";
import type { Session } from "../common/sessions.ts";
import { toShmctlReply } from "../common/shmctl_reply.ts";
import { groupsOf } from "../common/user_groups.ts";
import type { SegmentKeeper } from "./segment_keeper.ts";

const CALLS = ["shmget", "shmat", "shmdt", "shmctl"] as const;

/** One of System V's calls. */
export type SegmentCall = Header & { readonly name: (typeof CALLS)[number] };

type AnswerName = "shmgetReply" | "shmatReply" | "shmctlReply" | "done" | "error";

/** What a call is answered with. */
export type Answer = { [N in AnswerName]: { readonly name: N; readonly fields: Fields<N> } }[AnswerName];

/** Whether `header` is one of the calls answered here. */
export function isSegmentCall(header: Envelope & { readonly name: MessageName }): header is SegmentCall {
  return (CALLS as readonly string[]).includes(header.name);
}

/** What a call that was refused is answered with. @throws what is no refusal. */
export function errorAnswer(error: unknown): { readonly name: "error"; readonly fields: Fields<"error"> } {
  if (!(error instanceof DsmError)) throw error;
  const code = error instanceof SystemError ? error.code : error instanceof CheckpointError ? "EINVAL" : "EIO";
  return { name: "error", fields: { code, message: error.message } };
}

/** Who calls: whom the door has let in, or for whom he acts. */
export interface User extends Omit<Principal, "pid"> {
  /** His pid, where it is not to be believed: nobody knows it of whom somebody else acts for. */
  readonly pid?: number;
  /** Whether his calls are refused: he wanted to act for somebody else and may not. */
  readonly isRefused?: boolean;
}

const NOBODY: User = { uid: NOBODY_UID, gid: NOBODY_UID, groups: [] };

const NOT_FOR_OTHERS: Answer = {
  name: "error",
  fields: {
    code: "EPERM",
    message:
      "only root and the user the config server runs as, or who has proved the secret, act for others, and before any other call",
  },
};

/** See the head of this file. */
export class SegmentService {
  readonly #keeper: SegmentKeeper;
  readonly #log: LogSink;
  readonly #users = new WeakMap<Guest, User>();

  /** @param keeper of the table. */
  constructor(keeper: SegmentKeeper, log: LogSink) {
    this.#keeper = keeper;
    this.#log = log;
  }

  /** The answer to a call of `guest`; undefined when its session has ended meanwhile. */
  answer(guest: Guest, session: Session<Promise<Answer | undefined>>, call: SegmentCall): Promise<Answer | undefined> {
    const known = session.answered(call.id);
    if (known) return known;
    const user = this.#userOf(guest);
    if (user.isRefused) return Promise.resolve(NOT_FOR_OTHERS);
    const answer = this.#answer({ pid: call.fields.pid, ...user }, session, call);
    if (call.name !== "shmctl" || !isQuestion(call.fields.command)) session.remember(call.id, answer);
    return answer;
  }

  async #answer(
    who: Principal,
    session: Session<Promise<Answer | undefined>>,
    call: SegmentCall,
  ): Promise<Answer | undefined> {
    try {
      await this.#keeper.whenOpen();
      // what a session attaches after its end nobody would ever detach
      if (session.isOver) return undefined;
      return await this.#carryOut(who, session.token, call);
    } catch (error) {
      return errorAnswer(error);
    }
  }

  async #carryOut(who: Principal, session: string, call: SegmentCall): Promise<Answer> {
    const { table } = this.#keeper;
    const now = Math.floor(Date.now() / 1000);
    switch (call.name) {
      case "shmget": {
        const { key, size, flags } = call.fields;
        return { name: "shmgetReply", fields: { id: await this.#keeper.shmget(who, key, Number(size), flags) } };
      }
      case "shmat": {
        const attached = table.shmat(who, session, call.fields.id | 0, call.fields.flags, now);
        this.#keeper.store();
        return { name: "shmatReply", fields: { ...attached, regions: this.#keeper.memoryOf(call.fields.id | 0) } };
      }
      case "shmdt":
        table.shmdt(who, session, call.fields.attachment, now);
        this.#keeper.store();
        return { name: "done", fields: {} };
      case "shmctl": {
        const { id, command, uid, gid, mode } = call.fields;
        const result = shmctl(table, who, { id: id | 0, command, ownership: { uid, gid, mode } }, now);
        if (!isQuestion(command)) this.#keeper.store();
        if (command === IPC_SET) await this.#keeper.tellOwner(id | 0);
        return { name: "shmctlReply", fields: toShmctlReply(result) };
      }
    }
  }

  /** From now on the calls of `guest`, who has made none yet, are user `uid`'s. */
  actFor(link: Link, guest: Guest, uid: number): Answer {
    const known = this.#users.get(guest);
    if (known?.pid === 0 && known.uid === uid) return { name: "done", fields: {} };
    const mayAct = !known && mayGovern(guest, Deno.uid() ?? undefined);
    this.#users.set(guest, mayAct ? { uid, ...groupsOf(uid), pid: 0 } : { ...NOBODY, isRefused: true });
    if (mayAct) return { name: "done", fields: {} };
    this.#log("warn", `${peerName(link.peer)} may not act for user ${uid}`);
    return NOT_FOR_OTHERS;
  }

  /** Looked up once per connection: so who is put into a group has it after he has connected again. */
  #userOf(guest: Guest): User {
    let user = this.#users.get(guest);
    if (!user) this.#users.set(guest, user = { uid: guest.uid, ...groupsOf(guest.uid) });
    return user;
  }
}
