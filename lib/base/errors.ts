/**
 * The errors of dsm: one class per *reaction* of whoever catches it.
 *
 *   - Callers branch on the class or on `code`, never on the text.
 *   - The text is for people: what was being done, to what, and what to do next.
 *   - Only main.ts turns an error into an exit status.
 */
import { ERRNO } from "./errno.ts";

/** What every error of dsm has in common. */
export abstract class DsmError extends Error {
  /** Stable and machine-readable: an errno name (`EINVAL`) or a word of ours (`PEER_LOST`). */
  readonly code: string;

  /**
   * Makes the error.
   *
   * @param code stable.
   * @param message for people.
   * @param cause what this error was made from.
   */
  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.name = new.target.name;
  }
}

/** A mistake on the command line or in an argument of the library: say so and exit with 2. */
export class UsageError extends DsmError {
  /**
   * Makes the error.
   *
   * @param message what was given, and what is expected.
   */
  constructor(message: string) {
    super("USAGE", message);
  }
}

/** A mistake in a file somebody wrote: config.txt, a machine file. */
export class ConfigError extends DsmError {
  /** The file's name as the user gave it. */
  readonly file: string;
  /** The line, counted from 1; 0 when it is about the file as a whole. */
  readonly line: number;

  /**
   * Makes the error.
   *
   * @param file as the user gave it.
   * @param line from 1, or 0 for the whole file.
   * @param message what is wrong there.
   */
  constructor(file: string, line: number, message: string, cause?: unknown) {
    super("CONFIG", line > 0 ? `${file}:${line}: ${message}` : `${file}: ${message}`, cause);
    this.file = file;
    this.line = line;
  }
}

/** A call refused with an errno, by this host's kernel or by a server; `code` is the errno's name. */
export class SystemError extends DsmError {
  /** The call that was refused, such as `shmget`, `read`. */
  readonly call: string;

  /**
   * Makes the error.
   *
   * @param call what was refused.
   * @param code the errno's name.
   * @param message what was being done, to what, what next.
   */
  constructor(call: string, code: string, message: string, cause?: unknown) {
    super(code, message, cause);
    this.call = call;
  }

  /** Linux's number for `code`; undefined for one that has no number here. */
  get errno(): number | undefined {
    return (ERRNO as Readonly<Record<string, number>>)[this.code];
  }
}

/** Bytes that are not the protocol: the connection they came on is closed. */
export class ProtocolError extends DsmError {
  /**
   * Makes the error.
   *
   * @param message which rule the bytes break.
   */
  constructor(message: string, cause?: unknown) {
    super("PROTOCOL", message, cause);
  }
}

/** Whether a request took effect: `no` certainly not, `unknown` it may have. */
export type Outcome = "no" | "unknown";

/** A server that cannot be reached, or a connection that broke: try again, or go on without that range. */
export class PeerLostError extends DsmError {
  /** Whether the request may have been carried out. */
  readonly outcome: Outcome;

  /**
   * Makes the error.
   *
   * @param message which peer, and what to do.
   * @param outcome whether the request may have been carried out.
   */
  constructor(message: string, outcome: Outcome, cause?: unknown) {
    super("PEER_LOST", message, cause);
    this.outcome = outcome;
  }
}

/** A checkpoint that is damaged or does not fit: the file is refused. */
export class CheckpointError extends DsmError {
  /**
   * Makes the error.
   *
   * @param message which file, which byte range, and what is wrong.
   */
  constructor(message: string, cause?: unknown) {
    super("CHECKPOINT", message, cause);
  }
}

/** A deadline that passed before the answer came. */
export class TimeoutError extends DsmError {
  /** Whether the request may have been carried out. */
  readonly outcome: Outcome;

  /**
   * Makes the error.
   *
   * @param message what was waited for, and how long.
   * @param outcome whether the request may have been carried out.
   */
  constructor(message: string, outcome: Outcome = "no", cause?: unknown) {
    super("TIMEOUT", message, cause);
    this.outcome = outcome;
  }
}

/** A bug of ours: never caught, the process ends. */
export class InvariantError extends DsmError {
  /**
   * Makes the error.
   *
   * @param message the condition that should have held.
   */
  constructor(message: string) {
    super("INVARIANT", message);
  }
}
