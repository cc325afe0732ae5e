/**
 * The table of message queues, and System V's calls on it: what they return, whom they refuse, what they leave behind.
 *
 *   - Where manual pages and Linux differ, Linux is right; a differential test holds the two together.
 *   - **Waiting is data.** A call that must wait is put into the queue's line and returns a ticket; whatever ends the wait
 *     later (a message, room, IPC_SET, IPC_RMID) makes a {@linkcode Completion} of it, which `takeCompletions` gives out. So
 *     whoever has the table calls `takeCompletions` after every call, or after a batch of them. `cancel` is EINTR.
 *   - A call that can be carried out at once is, whoever waits in line before it, as with Linux.
 *   - **Delivery.** A message received with `isHeld` is in delivery until its session acknowledges it, and goes back to its
 *     old place when that gives it back or ends; see exchange.ts. It keeps its room meanwhile, so that no queue is ever
 *     longer than its `qbytes`. Without `isHeld` all is as in a kernel.
 *   - A call that throws has changed nothing.
 *
 * Otherwise than Linux: types end at 2^53 - 1; IPC_SET refuses a `qbytes` beyond 2^31 - 1 instead of cutting it to an int.
 *
 * Pure: no clock, no socket. Times come in as seconds since 1970; what has to be stored goes out by `takeChanges`. Calls
 * that wait are not stored: after a restart they are made again.
 */
import { IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, PERMISSION_BITS } from "../common/flags.ts";
import { INDEX_COUNT } from "../common/object_ids.ts";
import { isPrivileged, mayAccess, mayControl, READ, WRITE } from "../common/permissions.ts";
import type { Principal } from "../common/permissions.ts";
import { keyText, refusal } from "../common/refusal.ts";
import type {
  Completion,
  QueueChange,
  QueueUsage,
  Received,
  ReceiveOutcome,
  ReceiveRequest,
  SendOutcome,
  SendRequest,
} from "./calls.ts";
import { MSG_COPY, MSG_EXCEPT, MSG_NOERROR } from "./flags.ts";
import { DEFAULT_LIMITS, QBYTES_MAX, TYPE_MAX } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { Exchange, receivedOf } from "./exchange.ts";
import type { Message, Queue, QueueStatus } from "./queue.ts";
import { fromRows, takeChangedRows, toRows } from "./queue_rows.ts";
import type { RowChanges, TableRows } from "./queue_rows.ts";
import { QueueStore } from "./queue_store.ts";
import { forbidden, tooLong } from "./refusals.ts";
import { selectionOf } from "./selection.ts";

/** How a table begins. */
export interface TableOptions {
  /** Linux's unless told. */
  readonly limits?: Limits;
  /** What `toRows` gave in an earlier life, from wherever it was kept. */
  readonly rows?: unknown;
}

/** `(uid_t) -1` and `(gid_t) -1`: nobody. */
const NOBODY = 0xffff_ffff;
const SEE_IPCS = "dsm ipcs -q shows what there is";

/** See the head of this file. */
export class QueueTable {
  /** What may be had. */
  readonly limits: Limits;
  readonly #store: QueueStore;
  readonly #exchange: Exchange;

  /**
   * An empty table, or that of an earlier life.
   *
   * @throws CheckpointError where `rows` are not those of a table.
   */
  constructor({ limits = DEFAULT_LIMITS, rows }: TableOptions = {}) {
    this.limits = limits;
    const read = rows === undefined ? undefined : fromRows(rows);
    this.#store = new QueueStore(read?.head, read?.head.nextMessage);
    read?.queues.forEach((queue) => this.#store.restore(queue));
    read?.messages.forEach((placed) => this.#store.restoreMessage(placed));
    this.#exchange = new Exchange(this.#store);
  }

  /** What must be stored before a call is answered: all that changed since this was last called. */
  takeChanges(): RowChanges {
    return takeChangedRows(this.#store);
  }

  /** The whole table. */
  toRows(): TableRows {
    return toRows(this.#store);
  }

  /** The calls that waited and do so no more since this was last called, in the order in which they ended. */
  takeCompletions(): Completion[] {
    return this.#exchange.takeCompletions();
  }

  /** How many calls wait. */
  get waitingCount(): number {
    return this.#exchange.waiting.count;
  }

  // ---- msgget

  /**
   * The id of the queue under `key`, or of a new one. The last nine bits of `flags` are a new one's mode, and what is wanted
   * of one that is there.
   *
   * @throws SystemError ENOENT, EEXIST, EACCES; ENOSPC: MSGMNI.
   */
  msgget(who: Principal, key: number, flags: number, now: number): number {
    const canonical = key >>> 0;
    const found = canonical === IPC_PRIVATE ? undefined : this.#store.find(canonical);
    if (found) return this.#open(who, found, flags);
    if (canonical === IPC_PRIVATE || flags & IPC_CREAT) return this.#create(who, canonical, flags, now);
    const next = "make it with IPC_CREAT (dsm ipcmk -Q), or see dsm ipcs -q for the keys there are";
    throw refusal("msgget", "ENOENT", `find a queue with key ${keyText(canonical)}`, next);
  }

  #open(who: Principal, queue: Queue, flags: number): number {
    if (flags & IPC_CREAT && flags & IPC_EXCL) {
      const next = "take another key, or leave out IPC_EXCL to have the one that is there";
      throw refusal("msgget", "EEXIST", `make a queue with key ${keyText(queue.key)}`, next);
    }
    if (!mayAccess(queue, who, flags)) throw forbidden("msgget", `get the queue with key ${keyText(queue.key)}`, queue);
    return queue.id;
  }

  #create(who: Principal, key: number, flags: number, now: number): number {
    const countMax = Math.min(this.limits.msgmni, INDEX_COUNT);
    if (this.#store.count >= countMax) {
      const next = `there are ${countMax}, which is MSGMNI; remove one (dsm ipcrm -q ID)`;
      throw refusal("msgget", "ENOSPC", "make another queue", next);
    }
    return this.#store.add({
      key,
      uid: who.uid,
      gid: who.gid,
      cuid: who.uid,
      cgid: who.gid,
      mode: flags & PERMISSION_BITS,
      qbytes: this.limits.msgmnb,
      stime: 0,
      rtime: 0,
      ctime: now,
      lspid: 0,
      lrpid: 0,
    }).id;
  }

  // ---- msgsnd

  /**
   * Sends a message: to a receiver that waits for it, else into the queue. Without room it waits.
   *
   * @throws SystemError EINVAL: no such queue, type below 1, longer than MSGMAX; EACCES; EAGAIN: no room, and IPC_NOWAIT.
   */
  msgsnd(who: Principal, session: string, request: SendRequest, now: number): SendOutcome {
    const { id, type, data, flags } = request;
    if (data.length > this.limits.msgmax) {
      throw refusal("msgsnd", "EINVAL", sending(request), `a message has at most ${this.limits.msgmax} bytes (MSGMAX)`);
    }
    if (!(Number.isInteger(type) && type >= 1 && type <= TYPE_MAX)) {
      throw refusal("msgsnd", "EINVAL", sending(request), `types are whole numbers from 1 to ${TYPE_MAX}`);
    }
    const queue = this.#require("msgsnd", "send", id);
    if (!mayAccess(queue, who, WRITE)) throw forbidden("msgsnd", sending(request), queue);
    if (this.#store.hasRoom(id, data.length)) {
      this.#exchange.send(id, who, type, data, now);
      return { outcome: "sent" };
    }
    if (flags & IPC_NOWAIT) {
      throw refusal(
        "msgsnd",
        "EAGAIN",
        sending(request),
        `its ${queue.qbytes} bytes are full; receive from it, or wait`,
      );
    }
    return { outcome: "blocked", ticket: this.#exchange.waiting.addSender({ queueId: id, who, session, type, data }) };
  }

  // ---- msgrcv

  /**
   * Receives a message. Where there is none that is wanted it waits. With MSG_COPY `type` is an index, and the message stays.
   *
   * @throws SystemError EINVAL: no such queue, negative size, MSG_COPY without IPC_NOWAIT, with MSG_EXCEPT, or of a message
   *   that MSG_NOERROR would cut; EACCES; E2BIG: longer than `size`, without MSG_NOERROR; ENOMSG: none, and IPC_NOWAIT.
   */
  msgrcv(who: Principal, session: string, request: ReceiveRequest, now: number): ReceiveOutcome {
    const { id, size, type, flags, isHeld = false } = request;
    const what = `receive from queue ${id}`;
    if (!(size >= 0)) throw refusal("msgrcv", "EINVAL", what, `there is no room of ${size} bytes`);
    if (flags & MSG_COPY && (flags & MSG_EXCEPT || !(flags & IPC_NOWAIT))) {
      throw refusal("msgrcv", "EINVAL", what, "MSG_COPY goes with IPC_NOWAIT, and not with MSG_EXCEPT");
    }
    const queue = this.#require("msgrcv", what, id);
    if (!mayAccess(queue, who, READ)) throw forbidden("msgrcv", what, queue);
    const wanted = selectionOf(type, flags);
    const waiting = this.#store.waitingIn(id);
    const message = flags & MSG_COPY ? waiting.at(type) : waiting.find(wanted);
    const sizeMax = flags & MSG_NOERROR ? Infinity : size;
    if (!message) {
      if (flags & IPC_NOWAIT) throw refusal("msgrcv", "ENOMSG", what, "it has no such message; send one, or wait");
      const receiver = { queueId: id, who, session, wanted, sizeMax, roomSize: size, isHeld };
      return { outcome: "blocked", ticket: this.#exchange.waiting.addReceiver(receiver) };
    }
    if (message.data.length > sizeMax) throw tooLong(id, message.data.length, size);
    if (flags & MSG_COPY) return { outcome: "received", message: this.#copy(message, size) };
    const receiver = { who, session, roomSize: size, isHeld };
    return { outcome: "received", message: this.#exchange.receive(message, receiver, now) };
  }

  /** On Linux what has not room for all of it is refused, MSG_NOERROR or not (ipc/msgutil.c: `copy_msg`). */
  #copy(message: Message, size: number): Received {
    const what = `copy a message of ${message.data.length} bytes`;
    if (message.data.length > Math.min(size, this.limits.msgmax)) {
      throw refusal("msgrcv", "EINVAL", what, `ask for all of it: MSG_COPY does not cut to ${size}`);
    }
    return receivedOf(message, size);
  }

  // ---- what becomes of calls and messages

  /** Ends a call that waits, as a signal does on Linux (EINTR); says whether it did wait. There is no completion of it. */
  cancel(ticket: number): boolean {
    return this.#exchange.waiting.remove(ticket);
  }

  /**
   * The message `number`, held by `session`, has arrived: it is gone, and its room is free.
   *
   * @returns false where the session does not hold it: it was acknowledged or given back, or its queue removed.
   */
  acknowledge(session: string, number: number, now: number): boolean {
    return this.#exchange.acknowledge(session, number, now);
  }

  /** The message `number`, held by `session`, was not wanted after all. @returns as {@linkcode acknowledge}. */
  giveBack(session: string, number: number, now: number): boolean {
    return this.#exchange.giveBack(session, number, now);
  }

  /** The sessions that hold messages. */
  get sessions(): string[] {
    return this.#store.sessions;
  }

  /** A session is over: its calls wait no more, and what it holds goes to others. */
  endSession(session: string, now: number): void {
    this.#exchange.endSession(session, now);
  }

  // ---- msgctl

  /** IPC_STAT. @throws SystemError EACCES, EINVAL. */
  stat(who: Principal, id: number): QueueStatus {
    return this.#statusFor(who, this.#require("msgctl", `look at queue ${id}`, id));
  }

  /** MSG_STAT: what is at `index`, an id or 0 to {@linkcode indexMax}. @throws SystemError EACCES, EINVAL. */
  statAt(who: Principal, index: number): QueueStatus {
    return this.#statusFor(who, this.#at(index));
  }

  /** MSG_STAT_ANY: the same for whoever asks, as /proc/sysvipc/msg tells everybody. @throws SystemError EINVAL. */
  statAnyAt(index: number): QueueStatus {
    return this.#statusOf(this.#at(index));
  }

  #at(index: number): Queue {
    return this.#require("msgctl", `look at the queue with index ${index}`, this.#store.ids.at(index));
  }

  #statusFor(who: Principal, queue: Queue): QueueStatus {
    if (!mayAccess(queue, who, READ)) throw forbidden("msgctl", `look at queue ${queue.id}`, queue);
    return this.#statusOf(queue);
  }

  #statusOf(queue: Queue): QueueStatus {
    const { size, count } = this.#store.waitingIn(queue.id);
    return { ...queue, cbytes: size, qnum: count };
  }

  /**
   * IPC_SET.
   *
   * @throws SystemError EPERM: neither owner nor creator, or `qbytes` beyond MSGMNB; EINVAL: no such queue, uid or gid
   *   2^32 - 1, which is nobody, or no such `qbytes`.
   */
  set(who: Principal, id: number, { uid, gid, mode, qbytes }: QueueChange, now: number): void {
    const what = `change queue ${id}`;
    this.#requireControl(who, what, id);
    if (!(Number.isInteger(qbytes) && qbytes >= 0 && qbytes <= QBYTES_MAX)) {
      throw refusal("msgctl", "EINVAL", what, `qbytes is from 0 to ${QBYTES_MAX}, not ${qbytes}`);
    }
    if (qbytes > this.limits.msgmnb && !isPrivileged(who)) {
      const next = `more than ${this.limits.msgmnb} bytes (MSGMNB) are for uid 0 to give`;
      throw refusal("msgctl", "EPERM", `make queue ${id} hold ${qbytes} bytes`, next);
    }
    const owner = { uid: uid >>> 0, gid: gid >>> 0 };
    if (owner.uid === NOBODY || owner.gid === NOBODY) {
      throw refusal("msgctl", "EINVAL", what, `uid and gid ${NOBODY} are nobody's`);
    }
    this.#store.update(id, { ...owner, mode: mode & PERMISSION_BITS, qbytes, ctime: now });
    this.#exchange.recheck(id, now);
  }

  /** IPC_RMID: the queue goes with all its messages, and whoever waits gets EIDRM. @throws SystemError EPERM, EINVAL. */
  remove(who: Principal, id: number): void {
    this.#requireControl(who, `remove queue ${id}`, id);
    this.#exchange.remove(id);
  }

  /** The highest index in use, 0 when there is none: what IPC_INFO and MSG_INFO return. */
  get indexMax(): number {
    return this.#store.all.reduce((max, { id }) => Math.max(max, id % INDEX_COUNT), 0);
  }

  /** MSG_INFO. */
  get usage(): QueueUsage {
    const waiting = this.#store.all.map(({ id }) => this.#store.waitingIn(id));
    return {
      queueCount: waiting.length,
      messageCount: waiting.reduce((sum, { count }) => sum + count, 0),
      size: waiting.reduce((sum, { size }) => sum + size, 0),
    };
  }

  // ---- what all calls need

  #require(call: string, what: string, id: number | undefined): Queue {
    const queue = id === undefined ? undefined : this.#store.get(id);
    if (queue) return queue;
    throw refusal(call, "EINVAL", what, `there is none, or no more; ${SEE_IPCS}`);
  }

  #requireControl(who: Principal, what: string, id: number): void {
    const queue = this.#require("msgctl", what, id);
    if (mayControl(queue, who)) return;
    const next = `that is for its owner (uid ${queue.uid}), its creator (uid ${queue.cuid}) and uid 0`;
    throw refusal("msgctl", "EPERM", what, next);
  }
}

function sending({ id, type, data }: SendRequest): string {
  return `send ${data.length} bytes of type ${type} to queue ${id}`;
}
