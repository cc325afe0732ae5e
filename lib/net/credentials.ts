/** What a program shows and asks for when it dials. Handed down from whoever read the files; nothing global. */

/** See the head of this file. */
export interface Credentials {
  /** Shared by all of a cluster; undefined: only servers on this host let the program in. */
  readonly secret: Uint8Array<ArrayBuffer> | undefined;
  /** Whose program it is; believed together with the secret. */
  readonly uid: number;
  /** The certificates, in PEM, that a server's must come from. With them every connection is TLS, without none is. */
  readonly tlsCa: string | undefined;
}

/** A program's that stays on its own host. */
export const NO_CREDENTIALS: Credentials = { secret: undefined, uid: Deno.uid() ?? 65_534, tlsCa: undefined };
