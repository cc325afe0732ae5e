/**
 * Secrets and certificates as files.
 *
 * A secret is one line of text: what it says, without white space at its ends, is the key. Nobody but its owner may read
 * the file, so it travels by `scp -p` and the like, never on a command line.
 */
import { ConfigError } from "../../base/errors.ts";
import { NO_CREDENTIALS } from "../../net/credentials.ts";
import type { Credentials } from "../../net/credentials.ts";

/** The shortest secret that is accepted, in bytes. */
export const SECRET_SIZE_MIN = 32;
/** Random bytes in a new one; twice as many digits. */
const NEW_SECRET_SIZE = 32;
/** The largest file that is read as a secret. */
const SECRET_FILE_SIZE_MAX = 4096;
const OTHERS = 0o077;

/** Which files. */
export interface CredentialFiles {
  /** The secret's; undefined: none. */
  readonly secret?: string | undefined;
  /** The file of the certificates, in PEM, that servers' certificates must come from; undefined: no TLS. */
  readonly tlsCa?: string | undefined;
}

/** Reads them. @throws ConfigError naming the file: missing, readable for others, too short, not PEM. */
export function readCredentials(files: CredentialFiles): Credentials {
  return {
    ...NO_CREDENTIALS,
    secret: files.secret === undefined ? undefined : readSecret(files.secret),
    tlsCa: files.tlsCa === undefined ? undefined : readPem(files.tlsCa, "CERTIFICATE"),
  };
}

function readSecret(file: string): Uint8Array<ArrayBuffer> {
  const { mode, size } = attempt(file, () => Deno.statSync(file));
  if (mode !== null && (mode & OTHERS) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, "0");
    throw new ConfigError(file, 0, `others than its owner may use this secret (mode ${shown}): chmod 600 ${file}`);
  }
  if (size > SECRET_FILE_SIZE_MAX) throw new ConfigError(file, 0, `${size} bytes are no secret of ours; one line is`);
  const secret = new TextEncoder().encode(attempt(file, () => Deno.readTextFileSync(file)).trim());
  if (secret.length < SECRET_SIZE_MIN) {
    throw new ConfigError(
      file,
      0,
      `a secret of ${secret.length} bytes can be guessed; ${SECRET_SIZE_MIN} are the least: dsm secret new FILE makes one`,
    );
  }
  return secret;
}

/** The text of a file in PEM. @throws ConfigError when there is none of `label` in it. */
export function readPem(file: string, label: "CERTIFICATE" | "PRIVATE KEY"): string {
  const text = attempt(file, () => Deno.readTextFileSync(file));
  if (!text.includes("-----BEGIN ") || !text.includes(`${label}-----`)) {
    throw new ConfigError(file, 0, `there is no ${label.toLowerCase()} in PEM in it`);
  }
  return text;
}

function attempt<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new ConfigError(file, 0, "there is no such file", error);
    throw new ConfigError(file, 0, `it cannot be read: ${(error as Error).message}`, error);
  }
}

/** Makes a new secret in a new file that only its owner may read. @throws ConfigError when there is one of that name. */
export function makeSecret(file: string): void {
  const secret = crypto.getRandomValues(new Uint8Array(NEW_SECRET_SIZE)).toHex();
  try {
    Deno.writeTextFileSync(file, `${secret}\n`, { createNew: true, mode: 0o600 });
  } catch (error) {
    const reason = error instanceof Deno.errors.AlreadyExists
      ? "it is there already, and may be in use; give another name, or remove it first"
      : `it cannot be written: ${(error as Error).message}`;
    throw new ConfigError(file, 0, reason, error);
  }
}
