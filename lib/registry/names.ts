/** What a registry says of names: bindings, and how they change. */

/** A name and what it is bound to. */
export interface Binding {
  /** The name. */
  readonly name: string;
  /** What it is bound to: by custom `host:port`, or `queue:KEY`. */
  readonly value: string;
  /** The revision of the change that made it. */
  readonly revision: number;
  /** The session whose lease it is; null: it is durable. */
  readonly session: string | null;
  /** Who bound it. */
  readonly uid: number;
  /** When, in seconds since 1970. */
  readonly time: number;
}

/** One change: a name was bound, or is bound no more. */
export interface NameEvent {
  /** Its number; the one before it has the number before. */
  readonly revision: number;
  /** What happened to the name. */
  readonly kind: "bound" | "unbound";
  /** The name. */
  readonly name: string;
  /** What it is bound to now, or was until now. */
  readonly value: string;
  /** Whether the binding is, or was, a session's lease. */
  readonly isLeased: boolean;
  /** Whose the binding is, or was. */
  readonly uid: number;
  /** When, in seconds since 1970. */
  readonly time: number;
}

/** How a name is to be bound. */
export interface BindOptions {
  /** Whether the binding ends with the session that makes it; else it stays until it is unbound. */
  readonly isLeased: boolean;
  /** Whether it may take the place of another one of the same user's. */
  readonly replaces: boolean;
}

/** Who asks. Where he comes from is the caller's business; here he is believed. */
export interface Binder {
  /** User id; 0 may change everybody's names. */
  readonly uid: number;
  /** What ends his leases. */
  readonly session: string;
}
