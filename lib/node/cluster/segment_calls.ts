/**
 * System V's calls as a client makes them of the config server, and the attachments that come of them.
 *
 *   - Attachments belong to the session with the config server. While there are any, a connection that broke is made again
 *     at once, because the server gives a session up when nobody comes back to it.
 *   - When the server has begun another session, what was attached in the old one is gone: those attachments say so instead
 *     of touching bytes that may be somebody else's by now.
 */
import { DsmError, SystemError } from "../../base/errors.ts";
import type { NewOwnership } from "../../ipc/segments/calls.ts";
import { IPC_SET } from "../../ipc/common/flags.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import { isQuestion } from "../../ipc/segments/shmctl.ts";
import type { ShmctlResult } from "../../ipc/segments/shmctl.ts";
import type { Channel } from "../../net/channel.ts";
import type { RequestOptions } from "../../net/request.ts";
import { SILENT_MS_MAX } from "../../net/transport.ts";
import type { Header } from "../../wire/frame.ts";
import type { Fields, MessageName } from "../../wire/messages.ts";
import { fromShmctlReply } from "../common/shmctl_reply.ts";
import { SegmentAttachment } from "./segment_attachment.ts";
import type { ByteSpace } from "./segment_attachment.ts";

/** See the head of this file. */
export class SegmentCalls {
  readonly #config: Channel;
  readonly #space: ByteSpace;
  readonly #attached = new Set<SegmentAttachment>();
  #session = "";

  /** @param config the channel to the config server. @param space where segments lie. */
  constructor(config: Channel, space: ByteSpace) {
    this.#config = config;
    this.#space = space;
    config.onConnected = () => this.#connected();
    config.onDropped = () => this.#dropped();
  }

  #connected(): void {
    const { session } = this.#config;
    if (session !== this.#session) this.#loseAll();
    this.#session = session;
  }

  #loseAll(): void {
    for (const attachment of this.#attached) attachment.lose();
    this.#attached.clear();
  }

  #dropped(): void {
    if (this.#attached.size === 0) return;
    this.#config.request("ping", {}, true, { timeoutMs: SILENT_MS_MAX }).catch((error) => {
      if (!(error instanceof DsmError)) throw error; // the next call says that nobody is there
    });
  }

  /** See `Cluster.shmget`. */
  async shmget(key: number, size: number, flags: number, options: RequestOptions): Promise<number> {
    if (!Number.isInteger(size)) throw refusal("shmget", "EINVAL", `get ${size} bytes`, "a size is a whole number");
    const fields = { key: key >>> 0, size: BigInt.asUintN(64, BigInt(size)), flags: flags >>> 0, pid: Deno.pid };
    const { id } = await this.#ask("shmget", fields, false, options, "shmgetReply");
    return id;
  }

  /** See `Cluster.shmat`. */
  async shmat(id: number, flags: number, options: RequestOptions): Promise<SegmentAttachment> {
    const fields = { id: id >>> 0, flags: flags >>> 0, pid: Deno.pid };
    const attached = await this.#ask("shmat", fields, false, options, "shmatReply");
    const memory = new Map(attached.regions.map(([server, cookie]) => [String(server), String(cookie)]));
    const attachment = new SegmentAttachment(
      id,
      { ...attached, memory },
      this.#space,
      (each) => this.shmdt(each, options),
    );
    this.#attached.add(attachment);
    return attachment;
  }

  /** See `Cluster.shmdt`. */
  async shmdt(attachment: SegmentAttachment, options: RequestOptions): Promise<void> {
    if (!this.#attached.delete(attachment)) {
      throw refusal("shmdt", "EINVAL", `detach segment ${attachment.id}`, "it is not attached here, or no more");
    }
    attachment.lose();
    await this.#ask("shmdt", { attachment: attachment.number, pid: Deno.pid }, false, options, "done");
  }

  /** See `Cluster.shmctl`. */
  async shmctl(
    id: number,
    command: number,
    ownership: NewOwnership | undefined,
    options: RequestOptions,
  ): Promise<ShmctlResult> {
    if (command === IPC_SET && !ownership) {
      throw refusal("shmctl", "EFAULT", `change segment ${id}`, "say which uid, gid and mode it is to have");
    }
    const { uid, gid, mode } = ownership ?? { uid: 0, gid: 0, mode: 0 };
    const fields = {
      id: id >>> 0,
      command: command >>> 0,
      uid: uid >>> 0,
      gid: gid >>> 0,
      mode: mode >>> 0,
      pid: Deno.pid,
    };
    return fromShmctlReply(await this.#ask("shmctl", fields, isQuestion(command), options, "shmctlReply"));
  }

  async #ask<N extends MessageName, R extends MessageName>(
    name: N,
    fields: Fields<N>,
    isRepeatable: boolean,
    options: RequestOptions,
    replyName: R,
  ): Promise<Fields<R>> {
    try {
      const { header } = await this.#config.request(name, fields, isRepeatable, options);
      return fieldsOf(header, replyName);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new SystemError(name, error.code, error.message, error);
    }
  }
}

function fieldsOf<R extends MessageName>(header: Header, name: R): Fields<R> {
  if (header.name === name) return header.fields as unknown as Fields<R>;
  throw new SystemError(name, "EPROTO", `a ${name} was expected, and ${header.name} came`);
}
