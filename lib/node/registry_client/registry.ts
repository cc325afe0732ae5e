/**
 * A registry as a program sees it: names bound to values, for good or as leases, found, waited for and watched; and message
 * queues.
 *
 *   - It connects at the first request, and again whenever it must; requests wait for it, until their deadline.
 *   - A lease lives with the session: over a connection that breaks as long as the registry keeps that, over a registry that
 *     is restarted in time.
 */
import { PeerLostError, SystemError } from "../../base/errors.ts";
import { parseEndpoint } from "../../base/units.ts";
import { refusal } from "../../ipc/common/refusal.ts";
import type { RequestOptions } from "../../net/request.ts";
import type { BindOptions, NameEvent } from "../../registry/names.ts";
import type { EpochWord } from "../../wire/epoch.ts";
import type { Cell } from "../../wire/messages.ts";
import { readCredentials } from "../common/credentials.ts";
import { Queues } from "../queues/queues.ts";
import { Lease } from "./lease.ts";
import { RegistryChannel, WAIT_MS_MAX } from "./registry_channel.ts";
import { RegistryQueues } from "./registry_queues.ts";

/** Where the registry is when nobody says. */
export const DEFAULT_REGISTRY = "127.0.0.1:9750";

/** How to reach a registry. */
export interface RegistryOptions {
  /** The registry, `host:port`. Default: DSM_REGISTRY, else 127.0.0.1:9750. */
  readonly registry?: string;
  /** The file of the secret to prove to a registry beyond this host. Default: DSM_SECRET_FILE, else none. */
  readonly secret?: string | undefined;
  /** The file of the certificates (PEM) that the registry's must come from: with TLS. Default: DSM_TLS_CA, else none. */
  readonly tlsCa?: string | undefined;
  /** How long each request may take, in ms, unless it says itself. Default: 10,000. */
  readonly timeoutMs?: number;
}

/** A name as it is bound. */
export interface BoundName {
  /** The name. */
  readonly name: string;
  /** What it is bound to. */
  readonly value: string;
  /** The revision of the change that bound it. */
  readonly revision: number;
  /** Whether it ends with the session that bound it. */
  readonly isLeased: boolean;
  /** Who bound it. */
  readonly uid: number;
  /** When, in seconds since 1970. */
  readonly time: number;
}

/** The names as they were at one revision. */
export interface NameList {
  /** From here on {@linkcode Registry.watch} tells what has changed. */
  readonly revision: number;
  /** In the order of the names. */
  readonly names: readonly BoundName[];
}

/** What a registry tells of itself. */
export interface RegistryInfo {
  /** Its process. */
  readonly pid: number;
  /** How its connections are served: `epoll` or `deno`. */
  readonly transport: string;
  /** The revision of the latest change of a name. */
  readonly revision: number;
  /** How many names are bound. */
  readonly nameCount: number;
  /** How many message queues there are. */
  readonly queueCount: number;
  /** How many messages wait in them. */
  readonly messageCount: number;
  /** How many clients it has, this one included. */
  readonly sessionCount: number;
  /** How many sessions of an earlier life have not come back yet. */
  readonly absentCount: number;
  /** How many requests it has served in this life. */
  readonly requestCount: number;
  /** How long this life is, in ms. */
  readonly uptimeMs: number;
}

/** See the head of this file. */
export class Registry implements AsyncDisposable {
  /** Its message queues; their `calls` are System V's own. */
  readonly queues: Queues;
  readonly #channel: RegistryChannel;
  readonly #queueCalls: RegistryQueues;
  readonly #leases = new Set<Lease>();

  /** Connects when it is first asked. @param epoch of this process in its cluster; one of its own where there is none. */
  constructor(options: RegistryOptions = {}, epoch: EpochWord = { incarnation: 0, epoch: 0 }) {
    const endpoint = parseEndpoint(options.registry ?? Deno.env.get("DSM_REGISTRY") ?? DEFAULT_REGISTRY);
    const credentials = readCredentials({
      secret: options.secret ?? Deno.env.get("DSM_SECRET_FILE"),
      tlsCa: options.tlsCa ?? Deno.env.get("DSM_TLS_CA"),
    });
    this.#channel = new RegistryChannel(endpoint, epoch, credentials, options.timeoutMs);
    this.#queueCalls = new RegistryQueues(this.#channel);
    this.queues = new Queues(this.#queueCalls);
    this.#channel.onSessionLost = () => this.#loseAll();
  }

  #loseAll(): void {
    const why = "its session ended: it was out of the registry's reach for too long, or its connection broke";
    for (const lease of this.#leases) {
      this.#channel.release();
      lease.lose(new PeerLostError(`the lease of ${lease.name} is lost: ${why}`, "no"));
    }
    this.#leases.clear();
  }

  /**
   * Binds `name` to `value` for good: until it is unbound.
   *
   * @param options `replaces`: whether it may take the place of what this user has bound it to. Default: false.
   * @returns the revision of the change.
   * @throws SystemError EEXIST, EPERM (another user's), EINVAL, ENOSPC; TimeoutError or PeerLostError with
   * `outcome: "unknown"` where it may have been bound.
   */
  bind(
    name: string,
    value: string,
    options: RequestOptions & { readonly replaces?: boolean } = {},
  ): Promise<number> {
    return this.#bind(name, value, { isLeased: false, replaces: options.replaces ?? false }, options);
  }

  /** Binds `name` to `value` for as long as this session lasts. @throws as {@linkcode Registry.bind}. */
  async lease(
    name: string,
    value: string,
    options: RequestOptions & { readonly replaces?: boolean } = {},
  ): Promise<Lease> {
    const revision = await this.#bind(name, value, { isLeased: true, replaces: options.replaces ?? false }, options);
    const lease = new Lease(name, value, revision, (each, asked) => this.#endLease(each, asked));
    this.#leases.add(lease);
    this.#channel.keep();
    return lease;
  }

  async #bind(name: string, value: string, how: BindOptions, options: RequestOptions): Promise<number> {
    const asked = { ...requestOptions(options), isRepeatable: false };
    const { fields } = await this.#channel.ask("bind", { name, value, ...how }, "revisionReply", asked);
    return fields.revision;
  }

  async #endLease(lease: Lease, options?: RequestOptions): Promise<void> {
    if (!this.#leases.delete(lease)) return;
    this.#channel.release();
    await this.unbind(lease.name, options);
  }

  /** Unbinds `name`. @returns the revision of the change. @throws SystemError ENOENT, EPERM; as {@linkcode Registry.bind}. */
  async unbind(name: string, options: RequestOptions = {}): Promise<number> {
    const { fields } = await this.#channel.ask("unbind", { name }, "revisionReply", {
      ...options,
      isRepeatable: false,
    });
    return fields.revision;
  }

  /**
   * What `name` is bound to; undefined when it is not, and was not within `waitMs` (default: 0).
   *
   * @throws TimeoutError, PeerLostError; the signal's reason.
   */
  query(name: string, options: RequestOptions & { readonly waitMs?: number } = {}): Promise<BoundName | undefined> {
    return this.#channel.poll(options.waitMs ?? 0, requestOptions(options), async (waitMs, asked) => {
      try {
        const { fields } = await this.#channel.ask("query", { name, waitMs }, "queryReply", asked);
        return { name, ...fields };
      } catch (error) {
        if (error instanceof SystemError && error.code === "ENOENT") return undefined;
        throw error;
      }
    });
  }

  /**
   * The names that begin with `prefix` (default: all), as they are at one revision.
   *
   * @throws TimeoutError, PeerLostError; SystemError ESTALE: they change faster than they can be read.
   */
  async list(prefix = "", options: RequestOptions = {}): Promise<NameList> {
    const names = new Map<string, BoundName>();
    const asked = { ...options, isRepeatable: true };
    let revision: number | undefined;
    for (let after = "", isLast = false; !isLast;) {
      const { fields } = await this.#channel.ask("list", { prefix, after }, "listReply", asked);
      for (const row of fields.names) names.set(...entryFrom(row));
      // what changed between two pages is made up for
      if (revision !== undefined) await this.#catchUp(names, prefix, revision, fields.revision, options);
      revision = fields.revision;
      isLast = fields.isLast;
      after = String(fields.names.at(-1)?.[0] ?? "");
    }
    const sorted = [...names.values()].sort((a, b) => a.name < b.name ? -1 : 1);
    return { revision: revision ?? 0, names: sorted };
  }

  async #catchUp(
    names: Map<string, BoundName>,
    prefix: string,
    since: number,
    until: number,
    options: RequestOptions,
  ): Promise<void> {
    for (let next = since; next < until;) {
      const { fields } = await this.#watchOnce(next, 0, options);
      for (const { kind, ...bound } of fields.events.map(eventFrom)) {
        if (bound.revision > until || !bound.name.startsWith(prefix)) continue;
        if (kind === "unbound") names.delete(bound.name);
        else names.set(bound.name, bound);
      }
      next = fields.next;
    }
  }

  #watchOnce(since: number, waitMs: number, options: RequestOptions) {
    const asked = { ...options, isRepeatable: true, waits: waitMs > 0 };
    return this.#channel.ask("watch", { since, waitMs }, "watchReply", asked);
  }

  /**
   * All changes after revision `since` (default: from now on), without a gap, over as many connections as it takes; ends
   * with the signal's reason, or with the loop.
   *
   * @throws SystemError ESTALE: what follows `since`, or where this watch had come, is not remembered any more: list the
   * names, and watch from the list's revision; EINVAL: the registry has begun anew and is not there yet.
   */
  async *watch(options: RequestOptions & { readonly since?: number } = {}): AsyncGenerator<NameEvent, never, void> {
    const { timeoutMs, ...asked } = requestOptions(options);
    let next = options.since ?? (await this.info(requestOptions(options))).revision;
    for (;;) {
      const waitingMs = WAIT_MS_MAX + (timeoutMs ?? WAIT_MS_MAX);
      const { fields } = await this.#watchOnce(next, WAIT_MS_MAX, { ...asked, timeoutMs: waitingMs });
      for (const row of fields.events) yield eventFrom(row);
      next = fields.next;
    }
  }

  /** What the registry tells of itself. @throws TimeoutError, PeerLostError; SystemError EPROTO: it is no registry. */
  async info(options: RequestOptions = {}): Promise<RegistryInfo> {
    return (await this.#channel.ask("registryInfo", {}, "registryInfoReply", { ...options, isRepeatable: true }))
      .fields;
  }

  /** Ends the session, and with it all leases; what was received and not acknowledged goes to others. */
  async close(): Promise<void> {
    await this.#queueCalls.settle();
    this.#loseAll();
    await this.#channel.close();
  }

  /** The same as {@linkcode Registry.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function requestOptions({ timeoutMs, signal }: RequestOptions): RequestOptions {
  return { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal ? { signal } : {}) };
}

function entryFrom([name, value, revision, isLeased, uid, time]: readonly Cell[]): [string, BoundName] {
  const bound = {
    name: String(name),
    value: String(value),
    revision: Number(revision),
    isLeased: isLeased === true,
    uid: Number(uid),
    time: Number(time),
  };
  return [bound.name, bound];
}

function eventFrom([revision, kind, ...rest]: readonly Cell[]): NameEvent {
  if (kind !== "bound" && kind !== "unbound") {
    throw refusal("watch", "EPROTO", "read an event", `it is ${String(kind)}`);
  }
  const [name, value, isLeased, uid, time] = rest;
  const [, bound] = entryFrom([name ?? "", value ?? "", revision ?? 0, isLeased ?? false, uid ?? 0, time ?? 0]);
  return { ...bound, kind };
}
