/** How the roles listen on Deno's transport. */
import { SystemError, UsageError } from "../../base/errors.ts";
import type { DenoListener } from "../../net/deno_transport.ts";
import type { ServerTls } from "./listening.ts";

/**
 * Deno's listener, with an error in the words of the rest.
 *
 * @param tls with which it listens; without, in the clear.
 * @throws SystemError EADDRINUSE, EACCES, EADDRNOTAVAIL; UsageError: certificate and key do not fit.
 */
export function listenDeno(host: string, port: number, tls?: ServerTls): DenoListener {
  try {
    return tls ? Deno.listenTls({ hostname: host, port, ...tls }) : Deno.listen({ hostname: host, port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new SystemError(
        "bind",
        "EADDRINUSE",
        `cannot listen on ${host}:${port}: EADDRINUSE; another process has that port (ss -ltnp names it); choose another port`,
        error,
      );
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new SystemError(
        "bind",
        "EACCES",
        `cannot listen on ${host}:${port}: EACCES; ports below 1024 are root's`,
        error,
      );
    }
    if (tls && error instanceof Deno.errors.InvalidData) {
      throw new UsageError(`--tls-cert and --tls-key cannot be used: ${error.message}`);
    }
    throw new SystemError(
      "bind",
      "EADDRNOTAVAIL",
      `cannot listen on ${host}:${port}: ${(error as Error).message}`,
      error,
    );
  }
}
