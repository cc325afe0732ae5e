/**
 * Sessions: what a server remembers of a client from one connection to the next.
 *
 *   - A FIN or RST ends a session at once. A peer whose kernel falls silent keeps it until the transport gives the
 *     connection up (SILENT_MS_MAX), and may resume it meanwhile with its token from another connection.
 *   - Within a session a request that must not be carried out twice is answered from memory when it comes again.
 */
import { REMEMBERED_MAX, TOKEN_SIZE } from "../../wire/messages.ts";
import type { Link } from "../../net/transport.ts";

/** One client's session; `Answer` is what a server keeps of an answer it has given. */
export class Session<Answer> {
  /** What resumes it; 32 hexadecimal digits. */
  readonly token: string;
  /** The connection it lives on. */
  link: Link;
  /** Whether it has ended. */
  isOver = false;
  /**
   * Whether this process remembers all that it has answered in it. One that goes on from an earlier process does not, and
   * its client may have missed being told so: only when it has asked for something since does it know.
   */
  isRemembered: boolean;
  readonly #answers = new Map<number, Answer>();

  /** @param token see above; @param link the connection that began it; @param isRemembered see above. */
  constructor(token: string, link: Link, isRemembered = true) {
    this.token = token;
    this.link = link;
    this.isRemembered = isRemembered;
  }

  /** The answer that request `id` was given already. */
  answered(id: number): Answer | undefined {
    return this.#answers.get(id);
  }

  /** Remembers the answer to request `id`, forgetting the oldest beyond REMEMBERED_MAX. */
  remember(id: number, answer: Answer): void {
    this.#answers.set(id, answer);
    if (this.#answers.size <= REMEMBERED_MAX) return;
    for (const oldest of this.#answers.keys()) {
      this.#answers.delete(oldest);
      return;
    }
  }
}

/** All sessions of a server. */
export class Sessions<Answer> {
  readonly #byToken = new Map<string, Session<Answer>>();

  /** Begins a session on `link`, under a new token unless it goes on from one that an earlier process gave. */
  begin(link: Link, token?: string): Session<Answer> {
    const fresh = crypto.getRandomValues(new Uint8Array(TOKEN_SIZE)).toHex();
    const session = new Session<Answer>(token ?? fresh, link, token === undefined);
    this.#byToken.set(session.token, session);
    return session;
  }

  /** Moves the session with that token to `link`, and returns it with the link it leaves; undefined when it has ended. */
  resume(token: string, link: Link): { session: Session<Answer>; left: Link } | undefined {
    const session = this.#byToken.get(token);
    if (!session) return undefined;
    const left = session.link;
    session.link = link;
    return { session, left };
  }

  /** The session with that token. */
  get(token: string): Session<Answer> | undefined {
    return this.#byToken.get(token);
  }

  /** Ends a session, unless it has moved to another link than `link`. @returns whether it has ended now. */
  end(session: Session<Answer>, link: Link): boolean {
    if (session.link !== link) return false;
    session.isOver = true;
    return this.#byToken.delete(session.token);
  }
}
