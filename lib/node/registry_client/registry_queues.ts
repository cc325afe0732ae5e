/**
 * The message queues of a registry: System V's calls over TCP.
 *
 *   - A message is in delivery to this session from the moment it is given out until this program acknowledges it: on its
 *     receipt (with the next call, or within a millisecond), or when the program says so. If the program dies first, or is
 *     out of the registry's reach for longer than its lease, the message goes to another receiver.
 *   - `msgrcv` survives connections and registries: what it waits for goes on waiting. A `msgsnd` whose answer did not come
 *     before the connection broke fails with `outcome: "unknown"` where nobody can know; it is never sent twice.
 *   - A call that is given up (signal, time over) was not carried out: a message that was on its way here goes back, and
 *     whether one was sent is asked first.
 */
import { pause } from "../../base/clock.ts";
import { DsmError, PeerLostError, SystemError } from "../../base/errors.ts";
import { IPC_NOWAIT } from "../../ipc/common/flags.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import type { QueueChange } from "../../ipc/queues/calls.ts";
import { isQuestion } from "../../ipc/queues/msgctl.ts";
import type { MsgctlResult } from "../../ipc/queues/msgctl.ts";
import type { RequestOptions } from "../../net/request.ts";
import { MESSAGE_SIZE_MAX } from "../../wire/messages.ts";
import type { Fields } from "../../wire/messages.ts";
import { fromMsgctlReply } from "../common/msgctl_reply.ts";
import { untilTimeout } from "../common/until_timeout.ts";
import type { CallOptions, MessageQueues, MsgrcvOptions } from "../queues/message_queues.ts";
import { QueueMessage } from "../queues/queue_message.ts";
import type { AskOptions, RegistryChannel } from "./registry_channel.ts";

/** How long a `msgsnd` that was given up waits to hear whether it was carried out. */
const GIVEN_UP_MS_MAX = 2_000;
/** How long an acknowledgement on receipt waits for another request that it can travel with. */
const ACKNOWLEDGE_MS_MAX = 1;
/** How long the end of a session waits for acknowledgements that are on their way. */
const CLOSE_MS_MAX = 1_000;

/** See the head of this file. */
export class RegistryQueues implements MessageQueues {
  readonly #channel: RegistryChannel;
  /** Acknowledgements on their way. */
  readonly #acknowledging = new Set<Promise<void>>();
  /** Acknowledgements that wait for a request to travel with, so that the registry stores both at once. */
  #owed: (() => void)[] = [];
  #owedTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param channel to a registry. */
  constructor(channel: RegistryChannel) {
    this.#channel = channel;
  }

  /** As {@linkcode MessageQueues.msgget}. */
  async msgget(key: number, flags: number, options: RequestOptions = {}): Promise<number> {
    const fields = { key: key >>> 0, flags: flags >>> 0, pid: Deno.pid };
    return (await this.#channel.ask("msgget", fields, "msggetReply", { ...options, isRepeatable: false })).fields.id;
  }

  /** As {@linkcode MessageQueues.msgsnd}; resolves when the message is stored. */
  async msgsnd(id: number, type: number, data: Uint8Array, options: CallOptions = {}): Promise<void> {
    const { flags = 0, ...request } = options;
    request.signal?.throwIfAborted();
    const what = `send ${data.length} bytes of type ${type} to queue ${id}`;
    if (!Number.isSafeInteger(type) || type < 1) {
      throw refusal("msgsnd", "EINVAL", what, "types are whole numbers from 1");
    }
    if (data.length > MESSAGE_SIZE_MAX) {
      throw refusal("msgsnd", "EINVAL", what, `a message has at most ${MESSAGE_SIZE_MAX} bytes, or fewer (MSGMAX)`);
    }
    this.#payOwed();
    const fields = { id: id >>> 0, type, flags: flags >>> 0, pid: Deno.pid };
    if (flags & IPC_NOWAIT) {
      await this.#channel.ask("msgsnd", fields, "done", { ...request, isRepeatable: false, payload: data });
    } else {
      await untilTimeout(what, request, (signal) => this.#waitToSend(what, fields, data, signal));
    }
  }

  async #waitToSend(what: string, fields: Fields<"msgsnd">, payload: Uint8Array, signal?: AbortSignal): Promise<void> {
    let request = 0;
    const onId = (id: number): void => void (request = id);
    const waiting = { isRepeatable: false, waits: true, timeoutMs: Infinity, payload, onId };
    const sent = this.#channel.ask("msgsnd", fields, "done", waiting);
    if (!signal) return void await sent;
    const givenUp = Promise.withResolvers<boolean>();
    const giveUp = (): void => givenUp.resolve(true);
    signal.addEventListener("abort", giveUp);
    const isGivenUp = await Promise.race([sent.then(() => false), givenUp.promise])
      .finally(() => signal.removeEventListener("abort", giveUp));
    if (!isGivenUp) return;
    this.#channel.cancel(request);
    const heard = new AbortController();
    const unknown = pause(GIVEN_UP_MS_MAX, heard.signal).then(() => {
      throw new PeerLostError(`cannot ${what}: given up, and nobody answers whether it was sent`, "unknown");
    });
    try {
      await Promise.race([sent, unknown]);
    } catch (error) {
      throw error instanceof SystemError && error.code === "EINTR" ? signal.reason : error;
    } finally {
      heard.abort();
    }
  }

  /** As {@linkcode MessageQueues.msgrcv}. */
  async msgrcv(id: number, size: number, type: number, options: MsgrcvOptions = {}): Promise<QueueMessage> {
    const { flags = 0, acknowledge = "at once", ...request } = options;
    request.signal?.throwIfAborted();
    const what = `receive from queue ${id}`;
    if (!Number.isSafeInteger(type)) throw refusal("msgrcv", "EINVAL", what, "types are whole numbers");
    if (!(Number.isSafeInteger(size) && size >= 0)) {
      throw refusal("msgrcv", "EINVAL", what, `there is no room of ${size} bytes`);
    }
    this.#payOwed();
    const fields = {
      ...{ id: id >>> 0, size, type: BigInt.asUintN(64, BigInt(type)), flags: flags >>> 0, pid: Deno.pid },
      isHeld: true,
    };
    const ask = (asked: Partial<AskOptions>) => {
      return this.#channel.ask("msgrcv", fields, "msgrcvReply", { ...asked, isRepeatable: true, isGivenBack: true });
    };
    const received = await (flags & IPC_NOWAIT ? ask(request) : untilTimeout(what, request, (signal) => {
      return ask({ waits: true, timeoutMs: Infinity, ...(signal ? { signal } : {}) });
    }));
    return this.#messageOf(received.fields, received.payload, acknowledge);
  }

  #messageOf(
    { message, type, deliveryCount }: Fields<"msgrcvReply">,
    data: Uint8Array<ArrayBuffer>,
    when: "at once" | "later",
  ): QueueMessage {
    const { session } = this.#channel;
    if (when === "later") {
      this.#channel.keep();
      return new QueueMessage(type, data, deliveryCount, () => {
        return this.#acknowledge(message, deliveryCount, session).finally(() => this.#channel.release());
      });
    }
    this.#owe(() => this.#acknowledge(message, deliveryCount, session));
    return new QueueMessage(type, data, deliveryCount);
  }

  #owe(acknowledge: () => Promise<void>): void {
    this.#owed.push(() => {
      const acknowledged = acknowledge().catch((error) => {
        if (!(error instanceof DsmError)) throw error; // another receiver may get it too: that is what was promised
      }).finally(() => this.#acknowledging.delete(acknowledged));
      this.#acknowledging.add(acknowledged);
    });
    this.#owedTimer ??= setTimeout(() => this.#payOwed(), ACKNOWLEDGE_MS_MAX);
  }

  #payOwed(): void {
    clearTimeout(this.#owedTimer);
    this.#owedTimer = undefined;
    const owed = this.#owed;
    this.#owed = [];
    for (const pay of owed) pay();
  }

  /** @throws PeerLostError: the session it was in delivery to has ended, and another receiver may get it. */
  async #acknowledge(message: number, deliveryCount: number, session: string): Promise<void> {
    const isLost = (): boolean => this.#channel.session !== session;
    const fields = { message, deliveryCount, isAccepted: true };
    if (!isLost()) await this.#channel.ask("msgack", fields, "done", { isRepeatable: true });
    if (!isLost()) return;
    const why = "the session that received it has ended";
    throw new PeerLostError(
      `cannot acknowledge message ${message}: ${why}; another receiver may get it too`,
      "unknown",
    );
  }

  /** As {@linkcode MessageQueues.msgctl}. */
  async msgctl(
    id: number,
    command: number,
    change?: QueueChange,
    options: RequestOptions = {},
  ): Promise<MsgctlResult> {
    const { uid, gid, mode, qbytes } = change ?? { uid: 0, gid: 0, mode: 0, qbytes: 0 };
    if (!(Number.isSafeInteger(qbytes) && qbytes >= 0)) {
      throw refusal("msgctl", "EINVAL", `change queue ${id}`, `it cannot hold ${qbytes} bytes`);
    }
    this.#payOwed();
    const fields = {
      ...{ id: id >>> 0, command: command >>> 0, uid: uid >>> 0, gid: gid >>> 0, mode: mode >>> 0, qbytes },
      ...{ isGiven: change !== undefined, pid: Deno.pid },
    };
    const asked = { ...options, isRepeatable: isQuestion(command) };
    return fromMsgctlReply((await this.#channel.ask("msgctl", fields, "msgctlReply", asked)).fields);
  }

  /** Waits until what was received is acknowledged: what is not, another receiver gets. */
  async settle(): Promise<void> {
    this.#payOwed();
    const over = new AbortController();
    await Promise.race([Promise.all(this.#acknowledging), pause(CLOSE_MS_MAX, over.signal)]);
    over.abort();
  }
}
