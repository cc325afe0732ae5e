/** A table of queues with one queue in it, and the calls on it in short. */
import { assert } from "@std/assert";
import { IPC_PRIVATE } from "../../../../lib/ipc/common/flags.ts";
import type { Principal } from "../../../../lib/ipc/common/permissions.ts";
import type { Completion } from "../../../../lib/ipc/queues/calls.ts";
import { DEFAULT_LIMITS } from "../../../../lib/ipc/queues/limits.ts";
import { QueueTable } from "../../../../lib/ipc/queues/queue_table.ts";
import { principal } from "../segments/tables.ts";

export const ROOT = principal(0, 0);
/** Whose the queue is, and who calls unless told otherwise. */
export const ALICE = principal(1, 1);
export const BOB = principal(2, 2);
export const NOW = 1_000;

/** A table with one queue, and the calls on it in short. */
export class Desk {
  readonly table: QueueTable;
  readonly id: number;
  now = NOW;

  constructor({ qbytes = DEFAULT_LIMITS.msgmnb, mode = 0o600, owner = ALICE } = {}) {
    this.table = new QueueTable();
    this.id = this.table.msgget(owner, IPC_PRIVATE, mode, NOW);
    this.table.set(owner, this.id, { uid: owner.uid, gid: owner.gid, mode, qbytes }, NOW);
  }

  /** "sent", or the ticket. */
  send(type: number, text: string, { who = ALICE, session = "sender", flags = 0 } = {}): "sent" | number {
    const data = new TextEncoder().encode(text);
    const outcome = this.table.msgsnd(who, session, { id: this.id, type, data, flags }, this.now);
    return outcome.outcome === "sent" ? "sent" : outcome.ticket;
  }

  /** The text, or the ticket. */
  receive(type: number, options: ReceiveOptions = {}): string | number {
    const { who = ALICE, session = "receiver", flags = 0, size = 100, isHeld = false } = options;
    const outcome = this.table.msgrcv(who, session, { id: this.id, size, type, flags, isHeld }, this.now);
    return outcome.outcome === "received" ? textOf(outcome.message) : outcome.ticket;
  }

  /** Receives into delivery. @returns what it is acknowledged by. */
  hold(type: number, session: string): number {
    const outcome = this.table.msgrcv(ALICE, session, { id: this.id, size: 100, type, flags: 0, isHeld: true }, NOW);
    assert(outcome.outcome === "received");
    return outcome.message.number;
  }

  /** By its ticket, what each call that waits no more has come to. */
  completed(): (readonly [string | number, string])[] {
    return this.table.takeCompletions().map((completion) => [completion.ticket, endOf(completion)]);
  }

  /** The texts that wait. */
  texts(): string[] {
    return this.table.toRows().messages.filter(({ session }) => session === null).map(textOf);
  }
}

interface ReceiveOptions {
  readonly who?: Principal;
  readonly session?: string;
  readonly flags?: number;
  readonly size?: number;
  readonly isHeld?: boolean;
}

function textOf({ data }: { readonly data: Uint8Array }): string {
  return new TextDecoder().decode(data);
}

function endOf(completion: Completion): string {
  if (completion.outcome === "refused") return completion.error.code;
  return completion.outcome === "sent" ? "sent" : textOf(completion.message);
}
