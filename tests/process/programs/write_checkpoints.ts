/**
 * Writes one checkpoint after the other into DIRECTORY, each built on the one before, keeps three, until it is killed:
 * `deno run -A tests/process/programs/write_checkpoints.ts DIRECTORY [CALLS]`. Says `written EPOCH` after each.
 *
 * With CALLS it kills itself in front of the next call to the file system after that many.
 */
import { isComplete, listCheckpoints, pruneCheckpoints } from "../../../lib/checkpoint/store.ts";
import { writeFull, writeIncremental } from "../../support/checkpoints.ts";

const MIB = 1024 * 1024;
const [directory = "", calls = "Infinity"] = Deno.args;

/** What the servers hold at an epoch: three memories, of which the last never changes. */
function memoriesAt(epoch: number): Uint8Array<ArrayBuffer>[] {
  const [first, second, third] = [new Uint8Array(2 * MIB), new Uint8Array(MIB + 20), new Uint8Array(8192).fill(3)];
  return [first.fill(epoch, MIB / 2, MIB), second.fill(epoch, MIB), third];
}

function killAfter(count: number): void {
  let left = count;
  for (const name of ["link", "makeTempDir", "mkdir", "open", "remove", "rename"] as const) {
    const call = Deno[name] as (...args: unknown[]) => unknown;
    const counted = (...args: unknown[]): unknown => {
      if (left-- === 0) Deno.kill(Deno.pid, "SIGKILL");
      return call(...args);
    };
    Object.defineProperty(Deno, name, { value: counted });
  }
}

killAfter(Number(calls));
const newest = (await listCheckpoints(directory)).find(isComplete);
let epoch = (newest?.manifest.epoch ?? 0) + 1;
let previous = newest ?? await writeFull(directory, { epoch, memories: memoriesAt(epoch) });
for (;;) {
  const before = memoriesAt(previous.manifest.epoch);
  epoch = previous.manifest.epoch + 1;
  previous = await writeIncremental(directory, { epoch, memories: memoriesAt(epoch) }, previous, before);
  console.log(`written ${epoch}`);
  await pruneCheckpoints(directory, 3);
}
