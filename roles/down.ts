/** `dsm down`: the end of what `dsm up` has started. */
import { Deadline, pause } from "../lib/base/clock.ts";
import { SystemError } from "../lib/base/errors.ts";
import { formatEndpoint } from "../lib/base/units.ts";
import { command } from "../lib/cli/command.ts";
import { say } from "../lib/cli/output.ts";
import { isRunning, readRecord, removeRecord } from "../lib/launch/cluster_record.ts";
import type { ProcessRecord } from "../lib/launch/cluster_record.ts";
import { removeAbandoned } from "../lib/memory/abandoned.ts";

/** How long a process may take to stop in order before it is killed. */
const STOP_MS_MAX = 15_000;
const LOOK_MS = 20;

async function stop(processes: readonly ProcessRecord[]): Promise<void> {
  const running = (): ProcessRecord[] => processes.filter(isRunning);
  for (const { pid } of running()) Deno.kill(pid, "SIGTERM");
  const deadline = new Deadline(STOP_MS_MAX);
  while (running().length > 0 && !deadline.passed) await pause(LOOK_MS);
  for (const { pid, name } of running()) {
    say(`dsm: ${name} (pid ${pid}) did not stop; it is killed`);
    Deno.kill(pid, "SIGKILL");
  }
  while (running().length > 0) await pause(LOOK_MS);
}

/** See the head of this file. */
export const down = command({
  name: "down",
  about: "stop the cluster that dsm up has started on this host",
  details: "It also stops what a dsm up that was killed has left running, and removes its shared memory and its files.",
  examples: [["dsm down", "the cluster of --config, on port 9740"], [
    "dsm down --config 127.0.0.1:9840",
    "another one",
  ]],
  async run(_args, _options, shared) {
    const { port } = shared.config;
    const record = await readRecord(port);
    if (!record) {
      throw new SystemError(
        "down",
        "ENOENT",
        `no cluster with config server ${formatEndpoint(shared.config)} was started here with dsm up`,
      );
    }
    await stop([record.up]);
    await stop(record.children);
    for (const shmkey of record.shmkeys) removeAbandoned(shmkey);
    await Deno.remove(record.directory, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // the dsm up that was stopped has removed it
    });
    await removeRecord(port);
    say(`stopped: ${formatEndpoint(shared.config)} and ${record.shmkeys.length} server(s)`);
    return 0;
  },
});
