/**
 * The clients of a registry: one session each, whatever connection it lives on, and what there is of it besides the tables.
 *
 * A session of an earlier life of the registry may be taken up by its token as long as it is *absent*: what it leased and
 * what was in delivery to it is still its own. What it had been answered is not known any more.
 */
import type { Principal } from "../../ipc/common/permissions.ts";
import type { Link } from "../../net/transport.ts";
import { Sessions } from "../common/sessions.ts";
import type { Session } from "../common/sessions.ts";

/** Who is at the other end of a connection. */
export type User = Omit<Principal, "pid">;

/** One client. */
export interface Client {
  /** Its session; answers are remembered as the bytes that were sent. */
  readonly session: Session<Uint8Array<ArrayBuffer>>;
  /** Who it was when it began; only he resumes its session. */
  readonly user: User;
  /** Which life of the cluster it is in, by its latest request. */
  incarnation: number;
}

/** See the head of this file. */
export class Clients {
  readonly #sessions = new Sessions<Uint8Array<ArrayBuffer>>();
  readonly #byToken = new Map<string, Client>();
  readonly #absent: Set<string>;

  /** @param absent tokens of an earlier life. */
  constructor(absent: Iterable<string>) {
    this.#absent = new Set(absent);
  }

  /** How many there are. */
  get count(): number {
    return this.#byToken.size;
  }

  /** How many sessions of an earlier life have not come back. */
  get absentCount(): number {
    return this.#absent.size;
  }

  /** The client with that token; undefined for one that has not come, or not come back. */
  get(token: string): Client | undefined {
    return this.#byToken.get(token);
  }

  /**
   * A hello with `token` came over `link`.
   *
   * @returns the client, and where it was resumed the link that it leaves.
   */
  greet(token: string, link: Link, user: User): { readonly client: Client; readonly left: Link | undefined } {
    const present = this.#byToken.get(token);
    const known = present?.user.uid === user.uid ? present : undefined;
    const resumed = known && this.#sessions.resume(token, link);
    if (known && resumed) return { client: known, left: resumed.left };
    const session = this.#sessions.begin(link, this.#absent.delete(token) ? token : undefined);
    const client: Client = { session, user, incarnation: 0 };
    this.#byToken.set(session.token, client);
    return { client, left: undefined };
  }

  /** A connection went. @returns whether the client's session has ended with it: it may have moved to another one. */
  end({ session }: Client, link: Link): boolean {
    return this.#sessions.end(session, link) && this.#byToken.delete(session.token);
  }

  /** The tokens that are still absent, and from now on are known no more. */
  takeAbsent(): readonly string[] {
    const absent = [...this.#absent];
    this.#absent.clear();
    return absent;
  }
}
