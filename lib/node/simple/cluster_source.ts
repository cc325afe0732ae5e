/**
 * The table of the cluster whose config server has taken this server over.
 *
 *   - Each connection has a session of its own with the config server, which carries out its calls for the connection's
 *     user (`actFor`) and undoes with the session what was attached.
 *   - Bytes travel over one client of the cluster that all connections share: what a connection may touch its attachments
 *     say, and they are checked before.
 *   - Before a config server has come it is ENOTCONN. When it has gone, calls wait for it as any client's do and then fail
 *     (EHOSTDOWN); the bytes of what is attached can be reached meanwhile, because their servers are still there.
 */
import { DsmError, PeerLostError, SystemError } from "../../base/errors.ts";
import { formatEndpoint, parseEndpoint } from "../../base/units.ts";
import type { Endpoint } from "../../base/units.ts";
import type { NewOwnership } from "../../ipc/segments/calls.ts";
import type { ShmctlResult } from "../../ipc/segments/shmctl.ts";
import { Channel } from "../../net/channel.ts";
import type { Credentials } from "../../net/credentials.ts";
import type { RequestOptions } from "../../net/request.ts";
import { readCredentials } from "../common/credentials.ts";
import type { CredentialFiles } from "../common/credentials.ts";
import type { LogSink } from "../common/log_sink.ts";
import type { SimpleHome } from "../memory/simple_calls.ts";
import { connect, epochOf } from "../cluster/cluster.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { SegmentCalls } from "../cluster/segment_calls.ts";
import { whenReleased } from "./release.ts";
import type { AttachedSegment, SegmentCaller, SegmentSource } from "./segment_source.ts";

/** How long a call may take before its caller hears that the cluster does not answer. */
export const CALL_MS_MAX = 5_000;

/** See the head of this file. */
export class ClusterSource implements SegmentSource {
  /** See {@linkcode SegmentSource}. */
  readonly isStandalone = false;
  readonly #home: SimpleHome;
  readonly #files: CredentialFiles;
  readonly #credentials: Credentials;
  readonly #log: LogSink;
  /** The clients for bytes, by config server. */
  readonly #spaces = new Map<string, Promise<Cluster>>();
  readonly #closing = new AbortController();
  /** Where the config server listens; "" before one has come. */
  #config = "";

  /** Knows of no cluster yet. @param files what it proves itself with to config servers beyond this host. */
  constructor(home: SimpleHome, { secret, tlsCa }: CredentialFiles, log: LogSink) {
    this.#home = home;
    this.#files = { secret, tlsCa };
    this.#credentials = readCredentials(this.#files);
    this.#log = log;
  }

  /** See {@linkcode SegmentSource}. */
  adopted(config: Endpoint): void {
    const name = formatEndpoint(config);
    if (name !== this.#config) this.#log("info", `belongs to the space of ${name}`);
    this.#config = name;
  }

  /** See {@linkcode SegmentSource}. */
  async open(_caller: number, uid: number, signal: AbortSignal): Promise<SegmentCaller> {
    const config = this.#config;
    if (config === "") {
      throw new SystemError(
        "connect",
        "ENOTCONN",
        "this server has no table of segments: name it in the config.txt of a config server, or start it with --standalone",
      );
    }
    return new ClusterCaller(config, await this.#spaceOf(config), this.#credentials, uid, signal, this.#log);
  }

  async #spaceOf(config: string): Promise<Cluster> {
    let space = this.#spaces.get(config);
    if (!space) {
      this.#spaces.set(
        config,
        space = connect({ ...this.#files, config, timeoutMs: CALL_MS_MAX, signal: this.#closing.signal }),
      );
    }
    try {
      return await space;
    } catch (error) {
      this.#spaces.delete(config);
      throw error;
    }
  }

  /** See {@linkcode SegmentSource}. */
  async released(signal: AbortSignal): Promise<void> {
    if (this.#config !== "") await whenReleased(this.#home.region, epochOf(this.#config), this.#log, signal);
  }

  /** See {@linkcode SegmentSource}. */
  interrupt(): void {
    this.#closing.abort(new PeerLostError("the server is stopping", "no"));
  }

  /** See {@linkcode SegmentSource}. */
  async close(): Promise<void> {
    const spaces = await Promise.allSettled(this.#spaces.values());
    await Promise.all(spaces.map((space) => space.status === "fulfilled" ? space.value.close() : undefined));
  }
}

class ClusterCaller implements SegmentCaller {
  readonly #channel: Channel;
  readonly #calls: SegmentCalls;
  readonly #options: RequestOptions;

  constructor(
    config: string,
    space: Cluster,
    credentials: Credentials,
    uid: number,
    signal: AbortSignal,
    log: LogSink,
  ) {
    const { host, port } = parseEndpoint(config);
    this.#options = { timeoutMs: CALL_MS_MAX, signal };
    this.#channel = new Channel(host, port, epochOf(config), credentials);
    this.#calls = new SegmentCalls(this.#channel, space);
    const connected = this.#channel.onConnected;
    this.#channel.onConnected = () => {
      // the first thing said over each connection; where it is refused, so is everything after it
      this.#channel.request("actFor", { uid }, true, this.#options).catch((error) => {
        if (signal.aborted) return;
        if (!(error instanceof DsmError)) throw error;
        log("warn", `calls of user ${uid} in the simple dialect: ${error.message}`);
      });
      connected();
    };
  }

  async shmget(key: number, size: number, flags: number): Promise<number> {
    return await this.#calls.shmget(key, size, flags, this.#options);
  }

  async shmat(id: number, flags: number): Promise<AttachedSegment> {
    const options = this.#options;
    const attachment = await this.#calls.shmat(id, flags, options);
    return {
      isWritable: attachment.isWritable,
      read: async (offset, into) => into.set(await attachment.read(offset, into.length, options)),
      // memory that threads share cannot be handed to a socket
      write: (offset, bytes) => attachment.write(offset, bytes.slice(), options),
      detach: () => this.#calls.shmdt(attachment, options),
    };
  }

  async shmctl(id: number, command: number, ownership?: NewOwnership): Promise<ShmctlResult> {
    return await this.#calls.shmctl(id, command, ownership, this.#options);
  }

  async end(): Promise<void> {
    await this.#channel.close();
  }
}
