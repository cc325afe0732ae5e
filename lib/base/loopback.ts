/** Which addresses are this host's own, so that only its own processes can be at their other end. */

/** Whether `host` names only this host. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host);
}
