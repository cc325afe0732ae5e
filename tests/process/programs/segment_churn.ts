/**
 * Makes segments, writes into them, removes them, without end: to be killed.
 *
 *   segment_churn.ts CONFIG LOG attach|tcp
 *
 * Every eight bytes that it writes are the segment's id and a word of its own (`markOf`). LOG gets a line `+ID` once a segment
 * was made, and `-ID` before it is removed, each in one write.
 */
import { connect, IPC_PRIVATE, IPC_RMID, SystemError } from "../../../mod.ts";
import { markOf } from "../../support/segment_marks.ts";

const KEPT_COUNT_MAX = 5;
const SIZE_MAX = 10_000;

const [config = "", log = "", way = ""] = Deno.args;
const file = Deno.openSync(log, { create: true, append: true });
const say = (line: string): void => void file.writeSync(new TextEncoder().encode(`${line}\n`));
const cluster = await connect({ config, attach: way === "attach" });
const kept: number[] = [];

async function make(): Promise<void> {
  const size = 8 * (1 + Math.floor(Math.random() * SIZE_MAX / 8));
  const id = await cluster.shmget(IPC_PRIVATE, size, 0o600);
  kept.push(id);
  say(`+${id}`);
  await using attached = await cluster.shmat(id);
  await attached.write(0, markOf(id, size));
}

async function remove(): Promise<void> {
  const [id] = kept.splice(Math.floor(Math.random() * kept.length), 1);
  if (id === undefined) return;
  say(`-${id}`);
  await cluster.shmctl(id, IPC_RMID);
}

console.log("at work");
for (;;) {
  if (kept.length >= KEPT_COUNT_MAX) await remove();
  try {
    await make();
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== "ENOMEM") throw error;
    await remove(); // the others have the rest of the space
  }
}
