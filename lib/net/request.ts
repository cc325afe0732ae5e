/** A request on its way: what is asked, until when, and whom to tell. */
import type { Header } from "../wire/frame.ts";

/** How a request is to be made. */
export interface RequestOptions {
  /** How long it may take, in ms. */
  readonly timeoutMs?: number;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  /**
   * The memory that is meant: cookies by `host:port` of their servers. A server that has come back with other memory is not
   * asked, and the request fails with EIDRM.
   */
  readonly memory?: ReadonlyMap<string, string>;
}

/** The same within dsm. */
export interface ChannelRequestOptions extends RequestOptions {
  /** Told the number that the request has in its session: what it is cancelled by, where the server has it wait. */
  readonly onId?: (id: number) => void;
}

/** A reply: its header, and its payload. */
export interface Reply {
  /** The decoded header. */
  readonly header: Header;
  /** The bytes after it. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Reads and writes have templates; everything else brings its frame. */
export type PendingKind = "read" | "write" | "other";

/** A request whose answer has not come. */
export class Pending {
  /** Whether it may have reached the server. */
  wasSent = false;
  /** Whether its server has refused it because this process is ahead of it. */
  isAhead = false;
  /** Whether whoever asked has been told. */
  isDone = false;
  /** Which one it was among the requests sent that may not be repeated. */
  turn = 0;
  /** The cookie of the memory that is meant; undefined: whatever memory the server has. */
  cookie: string | undefined;
  /** Stops listening to its signal. */
  forgetSignal: (() => void) | undefined;

  /** Everything but the kind and id may be empty, as the kind has it. */
  constructor(
    readonly kind: PendingKind,
    readonly id: number,
    readonly offset: number,
    readonly size: number,
    readonly payload: Uint8Array,
    /** The frame without payload, for what has no template. */
    readonly frame: Uint8Array | undefined,
    readonly isRepeatable: boolean,
    readonly deadlineMs: number,
    readonly resolve: (value: never) => void,
    readonly reject: (error: unknown) => void,
  ) {}
}
