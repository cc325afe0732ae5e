/** Looking again and again: a screen of its own at a terminal, one document a line in a pipe. */
import { pause } from "../../lib/base/clock.ts";
import { untilStopped } from "../../lib/cli/daemon.ts";
import { print, printBytes } from "../../lib/cli/output.ts";

const LOOK_MS = 1_000;
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?1049l\x1b[?25h";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** Calls `look` once a second and shows what it returns, until it is stopped. */
export async function watch(look: () => Promise<string>, { json }: { readonly json: boolean }): Promise<number> {
  const isScreen = Deno.stdout.isTerminal() && !json;
  const over = new AbortController();
  const stopped = untilStopped({ signal: over.signal });
  const ending = new AbortController();
  stopped.then((reason) => ending.abort(reason));
  const show = (text: string): void => {
    if (!isScreen) return print(text);
    const lines = text.split("\n").map((line) => line + CLEAR_LINE).join("\n");
    printBytes(new TextEncoder().encode(`${HOME}${lines}\n${CLEAR_BELOW}`));
  };
  try {
    if (isScreen) printBytes(new TextEncoder().encode(ENTER));
    while (!ending.signal.aborted) {
      show(await look());
      await pause(LOOK_MS, ending.signal);
    }
  } finally {
    if (isScreen) printBytes(new TextEncoder().encode(LEAVE));
    over.abort("over");
    await stopped;
  }
  return 0;
}
