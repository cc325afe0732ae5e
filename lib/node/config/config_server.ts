/**
 * A config server: it reads config.txt, watches the servers named there, and tells everybody the layout of the space.
 *
 * On reload only what appends to the space is taken over. Whatever would move bytes that are there is refused, and the
 * old layout stays. The table of segments is in its hands too: segment_keeper.ts.
 */
import { ConfigError, DsmError } from "../../base/errors.ts";
import { parseConfig } from "../../config/config_file.ts";
import type { ConfiguredServer } from "../../config/config_file.ts";
import { Space } from "../../config/space.ts";
import { DEFAULT_LIMITS } from "../../ipc/segments/limits.ts";
import type { Limits } from "../../ipc/segments/limits.ts";
import { NO_CREDENTIALS } from "../../net/credentials.ts";
import type { Credentials } from "../../net/credentials.ts";
import { findCheckpoint } from "../../checkpoint/store.ts";
import { DenoTransport } from "../../net/deno_transport.ts";
import type { DenoListener } from "../../net/deno_transport.ts";
import { STALL_MS_MAX } from "../../net/transport.ts";
import { numericHost } from "../../sys/sockets.ts";
import type { GreetedServer } from "../../wire/classic.ts";
import { meetEpoch } from "../../wire/epoch.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import { ConfigService } from "./config_service.ts";
import { listenDeno } from "../common/deno_listener.ts";
import { defaultDoor } from "../common/door.ts";
import type { Listening } from "../common/listening.ts";
import type { LogSink } from "../common/log_sink.ts";
import { stateDirectory } from "../common/state_directory.ts";
import { IN_MEMORY } from "../common/state_file.ts";
import { OwnerTellers } from "./owner_tellers.ts";
import { SegmentKeeper } from "./segment_keeper.ts";
import { SegmentService } from "./segment_service.ts";
import { SegmentState } from "./segment_state.ts";
import { ServerWatch } from "./server_watch.ts";
import { TablePicture } from "./table_picture.ts";
import { TableService } from "./table_service.ts";
import { Zeroing } from "./zeroing.ts";

/** What a config server is to be. */
export interface ConfigServerRequest extends Partial<Listening> {
  /** Name of the file. */
  readonly file: string;
  /** Where to listen. */
  readonly host: string;
  /** The port; 0 lets the kernel choose. */
  readonly port: number;
  /**
   * The file for the table of segments. Default: config-PORT.sqlite in the directory for state; on a port of the kernel's
   * choice, which nobody would find again, none: the table ends with the process.
   */
  readonly state?: string | undefined;
  /** The checkpoint whose table to begin with. */
  readonly restore?: { readonly directory: string; readonly name: string } | undefined;
  /** Bytes at the front of the space where no segment is put; 0 unless told. */
  readonly lowWaterMark?: number;
  /** Limits on segments other than Linux's. */
  readonly limits?: Partial<Limits>;
  /** What it shows to its servers. */
  readonly credentials?: Credentials;
}

/** Reads and parses a config file. @throws ConfigError, also when there is no such file. */
export async function readConfig(file: string): Promise<ConfiguredServer[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new ConfigError(file, 0, `${reason}; it names the servers: their number, then one host:port a line`, error);
  }
  return parseConfig(text, file);
}

async function greetedAs(server: ConfiguredServer): Promise<GreetedServer> {
  const host = await numericHost(server.host).catch(() => server.host);
  return { host, port: server.port };
}

/** A config server that runs. */
export class ConfigServer {
  /** The port, the real one where 0 was asked for. */
  readonly port: number;
  /** The address it listens on. */
  readonly host: string;
  readonly #file: string;
  readonly #log: LogSink;
  readonly #transport: DenoTransport;
  readonly #keeper: SegmentKeeper;
  readonly #zeroing: Zeroing;
  readonly #credentials: Credentials;
  readonly #owners: OwnerTellers;
  /** The highest epoch this process has seen. */
  readonly epoch: EpochWord = { incarnation: 0, epoch: 0 };
  #servers: ConfiguredServer[] = [];
  #watches: ServerWatch[] = [];
  #greeted: GreetedServer[] = [];
  #space: Space = new Space(0, []);

  private constructor(request: ConfigServerRequest, listener: DenoListener, state: SegmentState, log: LogSink) {
    this.#file = request.file;
    this.#log = log;
    const { hostname, port } = listener.addr as Deno.NetAddr;
    this.host = hostname;
    this.port = port;
    this.#credentials = request.credentials ?? NO_CREDENTIALS;
    this.#zeroing = new Zeroing(this.epoch, this.#credentials);
    this.#keeper = new SegmentKeeper(state, (space, range) => this.#zeroing.zero(space, range), {
      lowWaterMark: request.lowWaterMark ?? 0,
      limits: { ...DEFAULT_LIMITS, ...request.limits },
      tell: (id) => this.#owners.tell(id),
    }, log);
    this.#owners = new OwnerTellers(() => this.#keeper.table, this.epoch, this.#credentials, log);
    const segments = new SegmentService(this.#keeper, log);
    const table = new TableService(this.#keeper, new TablePicture(this.epoch, () => this.#keeper.table), log);
    const service = new ConfigService(this, this.#keeper, segments, table, request.door ?? defaultDoor(), log);
    this.#transport = new DenoTransport(listener, new Uint8Array(0), service, { log }, { stallMsMax: STALL_MS_MAX });
  }

  /**
   * Reads the file and the state, binds the port, begins to watch.
   *
   * @throws ConfigError; SystemError EADDRINUSE, EBUSY, EIO; EEXIST: there is a table already, which a restore would
   *   overwrite; CheckpointError: the state is no table, the checkpoint is damaged, or there is none.
   */
  static async start(request: ConfigServerRequest, log: LogSink): Promise<ConfigServer> {
    const servers = await readConfig(request.file);
    const { restore } = request;
    const checkpoint = restore === undefined ? undefined : await findCheckpoint(restore.directory, restore.name);
    const listener = listenDeno(await numericHost(request.host), request.port, request.tls);
    let state: SegmentState | undefined;
    let server: ConfigServer;
    try {
      state = SegmentState.open(stateFile(request));
      if (checkpoint) state.begin(checkpoint.manifest.table);
      server = new ConfigServer(request, listener, state, log);
    } catch (error) {
      state?.close();
      listener.close();
      throw error;
    }
    if (checkpoint) log("info", `restored ${checkpoint.manifest.table.segments.length} segments of ${checkpoint.path}`);
    await server.#append(servers);
    Promise.all(server.#watches.map((watch) => watch.first)).then(() => server.#keeper.begin());
    return server;
  }

  /** The space as it is known now. */
  get space(): Space {
    return this.#space;
  }

  /** The servers as the classic greeting names them. */
  get greeted(): readonly GreetedServer[] {
    return this.#greeted;
  }

  /** Asks the servers soon which epoch they are in: somebody has met one that this process does not believe him alone. */
  askServers(): void {
    for (const watch of this.#watches) watch.hurry();
  }

  async #append(servers: ConfiguredServer[]): Promise<void> {
    const added = servers.slice(this.#servers.length);
    this.#greeted = await Promise.all(servers.map(greetedAs));
    this.#servers = servers;
    for (const server of added) {
      this.#watches.push(
        new ServerWatch(server, this, this.#credentials, () => this.#life(), () => this.#layOut(), this.#log),
      );
    }
    this.#layOut();
  }

  /** The life that servers are to belong to: the latest that one of them is in, else a new one, numbered by the clock. */
  #life(): EpochWord | undefined {
    if (!this.#watches.every((watch) => watch.isAsked)) return undefined;
    if (this.epoch.incarnation === 0) meetEpoch(this.epoch, Math.floor(Date.now() / 1000), 1);
    return this.epoch;
  }

  #layOut(): void {
    this.#space = new Space(this.#space.revision + 1, this.#watches.map((watch) => watch.place));
    const cookies = this.#watches.map((watch) => watch.cookie);
    this.#keeper.layOut(this.#space, cookies);
    this.#owners.layOut(this.#space, cookies);
  }

  /** Reads the file again. What is wrong with it is logged, and changes nothing. */
  async reload(): Promise<void> {
    try {
      const servers = await readConfig(this.#file);
      const moved = this.#servers.findIndex((server, i) => !isSamePlace(server, servers[i]));
      if (moved >= 0) {
        const { host, port } = this.#servers[moved] as ConfiguredServer;
        throw new ConfigError(
          this.#file,
          0,
          `refused: server ${moved} (${host}:${port}) is no longer in its place, which would move its bytes; only append servers`,
        );
      }
      const added = servers.length - this.#servers.length;
      await this.#append(servers);
      this.#log("info", added === 0 ? "config read again: nothing new" : `config read again: ${added} more server(s)`);
    } catch (error) {
      if (!(error instanceof DsmError)) throw error;
      this.#log("error", `config not read again: ${error.message}`);
    }
  }

  /** Stops watching and serving. */
  async stop(): Promise<void> {
    this.#keeper.end();
    await Promise.all([...this.#watches, this.#transport].map((each) => each.stop()));
    await Promise.all([this.#zeroing, this.#owners].map((each) => each.close()));
    await this.#keeper.close();
  }
}

function stateFile({ state, port }: ConfigServerRequest): string {
  if (state !== undefined) return state;
  return port === 0 ? IN_MEMORY : `${stateDirectory()}/config-${port}.sqlite`;
}

function isSamePlace(old: ConfiguredServer, now: ConfiguredServer | undefined): boolean {
  return now !== undefined && old.host === now.host && old.port === now.port &&
    (old.size === undefined || now.size === undefined || old.size === now.size);
}
