/** The rule that keeps a server without authentication from being reached by strangers. */
import { UsageError } from "../../base/errors.ts";

/** Whether `host` names only this host. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host);
}

/** @throws UsageError when `host` is reachable from elsewhere and nobody said that this is meant. */
export function requireLoopback(host: string, isMeant: boolean): void {
  if (isMeant || isLoopback(host)) return;
  throw new UsageError(
    `--host ${host} can be reached from other hosts, and nobody would be asked who they are; add --insecure if that is meant`,
  );
}
