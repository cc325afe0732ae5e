/** Telling one process of this host from another that was given the same number later. */

/** When process `pid` started, in clock ticks since boot; "" when there is no such process, or no /proc. */
export function startOf(pid: number): string {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? "" : rest[18] ?? "";
  } catch {
    return "";
  }
}
