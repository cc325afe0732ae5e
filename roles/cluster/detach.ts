/** `dsm up -d`: the same command once more, in the background, with its speech in a file. */
import { SystemError } from "../../lib/base/errors.ts";
import { pause } from "../../lib/base/clock.ts";
import { selfCommand } from "../../lib/cli/executable.ts";
import { print, say } from "../../lib/cli/output.ts";
import { stateDirectory } from "../../lib/node/common/state_directory.ts";

const LOOK_MS = 50;

/**
 * Starts it, waits until it is ready, prints its readiness line, and leaves it running.
 *
 * @param port the config server's, as asked for; it names the log.
 */
export async function detach(port: number): Promise<number> {
  await Deno.mkdir(stateDirectory(), { recursive: true, mode: 0o700 });
  const log = `${stateDirectory()}/up-${port}.log`;
  await Deno.writeTextFile(log, ""); // what an earlier cluster said there must not be taken for this one's readiness
  const self = selfCommand();
  const args = [...self.args, ...Deno.args.filter((arg) => arg !== "-d" && arg !== "--detach")];
  // the shell gives the child its files and is replaced by it; we keep no pipe to it
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'log=$1; shift; exec "$@" >"$log" 2>&1 </dev/null', "sh", log, self.command, ...args],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  let end: Deno.CommandStatus | undefined;
  child.status.then((status) => end = status);
  for (;;) {
    const text = await Deno.readTextFile(log).catch(() => "");
    const ready = /^ready up .*$/m.exec(text);
    if (ready) {
      print(ready[0]);
      say(`in the background (pid ${child.pid}), its log is ${log}; dsm down stops it`);
      child.unref();
      return 0;
    }
    if (end) throw new SystemError("exec", "ECHILD", `the cluster did not start:\n${text.trimEnd()}`);
    await pause(LOOK_MS);
  }
}
