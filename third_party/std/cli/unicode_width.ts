/**
 * Stand-in for `jsr:@std/cli/unicode-width`. The npm copy of the genuine code lacks its data file, so another well-kept
 * package does the counting. docs/DEPENDENCIES.md says why.
 */
import stringWidth from "npm:string-width@7.2.0";

/** How many columns `str` takes at a terminal. */
export function unicodeWidth(str: string): number {
  return stringWidth(str);
}
