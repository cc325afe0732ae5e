/** How the roles listen on Deno's transport. */
import { SystemError } from "../../base/errors.ts";

/** Deno's listener, with an error in the words of the rest. @throws SystemError EADDRINUSE, EACCES, EADDRNOTAVAIL. */
export function listenDeno(host: string, port: number): Deno.TcpListener {
  try {
    return Deno.listen({ hostname: host, port });
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
    throw new SystemError(
      "bind",
      "EADDRNOTAVAIL",
      `cannot listen on ${host}:${port}: ${(error as Error).message}`,
      error,
    );
  }
}
