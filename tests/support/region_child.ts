/**
 * Another process at work on a region: started by tests with {@linkcode RegionChild.start}, and the program it runs.
 *
 * It prints `at work` once it is, does what its first argument says, and ends or waits to be killed.
 */
import { fail } from "@std/assert";
import { Attachment } from "../../lib/memory/attachment.ts";
import { attachForLogger, closeRegion, leaveRegion, openRegion } from "../../lib/memory/open.ts";
import { Picture } from "../../lib/memory/picture.ts";
import { recognise } from "../../lib/memory/layout.ts";
import { Region } from "../../lib/memory/region.ts";
import { SharedMemory } from "../../lib/sys/shared_memory.ts";
import { Operations, SEM_UNDO, semopBlocking } from "../../lib/sys/semaphores.ts";
import { Program } from "./processes.ts";

/** What it can do. */
export type Work = "hold" | "half" | "add" | "fill" | "every" | "open" | "race" | "take" | "prepare" | "cut" | "raise";

/** See the head of this file. */
export class RegionChild implements AsyncDisposable {
  readonly program: Program;

  private constructor(program: Program) {
    this.program = program;
  }

  /** Starts one on `region`, and waits until it is at work. */
  static async start(work: Work, region: Region, ...args: string[]): Promise<RegionChild> {
    const child = RegionChild.spawn(work, `${region.memory.id}`, `${region.guards.id}`, region.cookie, ...args);
    try {
      await child.program.saysOut(/^at work$/m);
      return child;
    } catch (error) {
      await child.kill();
      throw error;
    }
  }

  /** Starts one with any arguments. */
  static spawn(work: Work, ...args: string[]): RegionChild {
    const self = new URL(import.meta.url).pathname;
    return new RegionChild(new Program([Deno.execPath(), "run", "-A", "--no-check", self, work, ...args]));
  }

  /** Waits for its end, which must be a good one. */
  async done(): Promise<void> {
    const { code } = await this.program.end();
    if (code !== 0) fail(`the child failed: ${this.program.stderr}`);
  }

  /** Kills it with SIGKILL. */
  async kill(): Promise<void> {
    if (!this.program.hasExited) await this.program.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Blocks this thread for ever: nothing but a signal ends it. */
function sleepForEver(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function attach([shmid = "", semid = "", cookie = ""]: readonly string[]): Attachment {
  const opened = Attachment.open({ shmid: Number(shmid), semid: Number(semid), cookie });
  if (opened instanceof Attachment) return opened;
  throw new Error(opened.reason);
}

async function main([work, ...args]: readonly string[]): Promise<void> {
  if (work === "open") return await open(args);
  if (work === "take") return take(args);
  if (work === "race") return await race();
  if (work === "prepare" || work === "cut") return picture(work, args);
  if (work === "raise") return raise(args);
  const attachment = attach(args);
  const [first = "0", second = "0"] = args.slice(3);
  switch (work) {
    case "hold": // takes the guards of `second` bytes from `first` and keeps them
      attachment.tryLend(Number(first), Number(second), "r", () => {
        console.log("at work");
        sleepForEver();
      });
      return;
    case "half": // overwrites `second` bytes from `first` and stays half way
      attachment.tryLend(Number(first), Number(second), "w", (bytes) => {
        bytes.fill(0xaa, 0, bytes.length / 2);
        console.log("at work");
        sleepForEver();
      });
      return;
    case "add": // adds 1 to the 64-bit word at `first`, `second` times
      console.log("at work");
      for (let i = 0; i < Number(second);) {
        const { attempt } = attachment.tryUpdate(Number(first), 8, (word) => word + 1n);
        if (attempt === "done") i++;
        else if (attempt === "refused") throw new Error("refused");
      }
      return;
    case "every": // does everything once, over one block and over several
      for (const size of [1, 3 * 4096]) {
        attachment.readInto(0, new Uint8Array(size));
        attachment.write(0, new Uint8Array(size));
        attachment.tryFill(0, size, 1);
        attachment.tryLend(0, size, "w", () => {});
        await attachment.whenFree(0, size, 1_000, undefined, () => attachment.tryFill(0, size, 1));
      }
      attachment.tryUpdate(0, 8, (word) => word + 1n);
      return;
    case "fill": // fills `second` bytes from `first` with one byte after the other
      console.log("at work");
      for (let byte = 100;; byte = byte === 199 ? 100 : byte + 1) {
        attachment.write(Number(first), new Uint8Array(Number(second)).fill(byte));
      }
  }
}

/** Moves a region's footer to an epoch. */
function raise([shmid = "", semid = "", , epoch = ""]: readonly string[]): void {
  using memory = SharedMemory.attach(Number(shmid));
  const found = recognise(memory.bytes);
  if ("foreign" in found) throw new Error(found.foreign);
  console.log("at work");
  new Region(memory, found.layout, Number(semid)).raiseEpoch(Number(epoch));
}

/** Is a region's logger, and stays in the middle of a checkpoint: before its cut, or after it. */
function picture(work: "prepare" | "cut", [shmid = "", semid = "", cookie = ""]: readonly string[]): void {
  const { region } = attachForLogger({ shmid: Number(shmid), semid: Number(semid), cookie });
  const picture = Picture.prepare(region, region.epochHeld + 1);
  if (work === "cut") picture.cut();
  console.log("at work");
  sleepForEver();
}

/** Opens a region as a server does, says how it came to it or why not, and keeps it until killed or `exit`. */
async function open([shmkey, semkey, size, blockSize, then]: readonly string[]): Promise<void> {
  try {
    const { region, start } = await openRegion({
      shmkey: Number(shmkey),
      semkey: Number(semkey),
      size: Number(size),
      blockSize: Number(blockSize),
      fill: 0,
      mode: 0o600,
    });
    console.log(`${start} ${region.cookie}`);
    region.data.set(new TextEncoder().encode("left by the dead"), 0);
  } catch (error) {
    console.log(`refused ${(error as { code?: string }).code}: ${(error as Error).message}`);
  }
  if (then !== "exit") sleepForEver();
}

/** Opens, leaves and closes regions as its input says, a line each, `ROUND open SHMKEY SEMKEY`, and tells what came of it. */
async function race(): Promise<void> {
  console.log("at work");
  let region: Region | undefined;
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const line of text.split("\n").filter(Boolean)) {
      const [round, order, shmkey, semkey] = line.split(" ");
      let outcome = "nothing";
      if (order === "open") {
        const request = {
          shmkey: Number(shmkey),
          semkey: Number(semkey),
          size: 65_536,
          blockSize: 4096,
          fill: 1,
          mode: 0o600,
        };
        try {
          const opened = await openRegion(request);
          region = opened.region;
          outcome = opened.start;
        } catch (error) {
          outcome = `${(error as { code?: string }).code}`;
          console.error(error);
        }
      } else if (region) {
        if (order === "leave") leaveRegion(region);
        else await closeRegion(region);
        region = undefined;
        outcome = `${order}d`;
      }
      console.log(`${round} ${outcome}.`);
    }
  }
}

/** Takes one semaphore of a set, as a key-only program does, and keeps it. */
function take([semid, index]: readonly string[]): void {
  const operations = new Operations();
  operations.add(Number(index), -1, SEM_UNDO);
  operations.add(Number(index), 0, SEM_UNDO);
  console.log(semopBlocking(Number(semid), operations, 5_000) === "done" ? "at work" : "in vain");
  sleepForEver();
}

if (import.meta.main) await main(Deno.args);
