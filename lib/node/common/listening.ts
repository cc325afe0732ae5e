/** What a role is told about its door and its port's TLS, checked: nobody listens beyond this host without a way to prove. */
import { UsageError } from "../../base/errors.ts";
import { isLoopback } from "../../base/loopback.ts";
import type { Credentials } from "../../net/credentials.ts";
import { readPem } from "./credentials.ts";
import { defaultDoor, UNPROVED_DIALECTS } from "./door.ts";
import type { DoorSettings, UnprovedDialect } from "./door.ts";

/** What the options say. */
export interface ListenOptions {
  /** The address to listen on. */
  readonly host: string;
  /** Whether every user of this host is let in. */
  readonly open: boolean;
  /** Dialects let in from beyond this host without a proof, between commas. */
  readonly allowUnauthenticated: string | undefined;
  /** The file of the certificate. */
  readonly tlsCert: string | undefined;
  /** The file of its key. */
  readonly tlsKey: string | undefined;
}

/** A certificate and its key, in PEM. */
export interface ServerTls {
  /** The certificate, and those between it and the authority's. */
  readonly cert: string;
  /** Its private key. */
  readonly key: string;
}

/** What a role listens with. */
export interface Listening {
  /** For its service. */
  readonly door: DoorSettings;
  /** For its listener; undefined: in the clear. */
  readonly tls: ServerTls | undefined;
}

/**
 * From options to settings.
 *
 * @throws UsageError when the address is reachable from beyond this host and there is neither a secret nor a dialect that
 * is let in without; when half of certificate and key is missing. ConfigError: a file that is no certificate or key.
 */
export function listeningFrom(options: ListenOptions, { secret }: Credentials): Listening {
  const unproved = dialectsIn(options.allowUnauthenticated);
  if (!isLoopback(options.host) && !secret && unproved.length === 0) {
    throw new UsageError(
      `--host ${options.host} can be reached from other hosts, and nothing could be asked of who calls from there: ` +
        `give --secret FILE (dsm secret new FILE makes one; every role and tool of the cluster needs the same), or let ` +
        `dialects in that prove nothing: --allow-unauthenticated ${UNPROVED_DIALECTS.join(",")}`,
    );
  }
  return { door: { ...defaultDoor(), isOpen: options.open, secret, unproved }, tls: tlsFrom(options) };
}

function tlsFrom({ tlsCert, tlsKey }: ListenOptions): ServerTls | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new UsageError("--tls-cert and --tls-key go together: a certificate and its key");
  }
  return { cert: readPem(tlsCert, "CERTIFICATE"), key: readPem(tlsKey, "PRIVATE KEY") };
}

function dialectsIn(list: string | undefined): UnprovedDialect[] {
  if (list === undefined) return [];
  return list.split(",").map((name) => {
    const dialect = UNPROVED_DIALECTS.find((each) => each === name.trim());
    if (dialect) return dialect;
    throw new UsageError(`--allow-unauthenticated takes ${UNPROVED_DIALECTS.join(" and ")}, not ${name.trim()}`);
  });
}
