/** Where what must outlive a process is kept. */

/** `$XDG_STATE_HOME/dsm`, else `~/.local/state/dsm`. */
export function stateDirectory(): string {
  const base = Deno.env.get("XDG_STATE_HOME") || `${Deno.env.get("HOME") || "/tmp"}/.local/state`;
  return `${base}/dsm`;
}
