/**
 * Each rule of a consistent cut, broken once: the same run that shows the shipping code to be right must find it out.
 *
 * How a mutant is made is in tests/support/mutants.ts. Where a race is a matter of nanoseconds the mutant widens it.
 */
import { assert } from "@std/assert";
import { PATHS } from "../support/chains.ts";
import type { Path } from "../support/chains.ts";
import { ConsistencyRun } from "../support/consistency.ts";
import { mutatedTree, requireFailure } from "../support/mutants.ts";
import type { Change } from "../support/mutants.ts";

interface Mutant extends Change {
  /** The rule it breaks, and its number in the notes on interleavings where it has one. */
  readonly rule: string;
  /** The test that finds it, where it is not a run under load: what it takes is a death at the right moment, say. */
  readonly test?: string;
  /** The paths of the load, where not all of them: native traffic spreads a cut so fast that others hide behind it. */
  readonly paths?: readonly Path[];
}

const PICTURE_TEST = "tests/sys/picture_test.ts";

/** Lets others run for a moment, in the middle of anything. */
const SPIN = "for (const endMs = performance.now() + 2; performance.now() < endMs;);";

const MUTANTS: readonly Mutant[] = [
  {
    rule: "6: an operation decides once, for all its blocks",
    file: "lib/memory/region.ts",
    from: `  #startWrites(first: number, last: number): void {
    this.#saveHeld(first, last);`,
    to: `  #startWrites(first: number, last: number): void {
    for (let block = first; block <= last; block++) {
      this.#saveHeld(block, block);
      if (first < last) { ${SPIN} }
    }`,
  },
  {
    rule: "7: a reply carries the epoch of the bytes it brings",
    file: "lib/node/memory/request_server.ts",
    from: `        region.incarnationHeld,
        region.epochHeld,
        size,`,
    to: `        region.incarnationHeld,
        request.epoch,
        size,`,
  },
  {
    rule: "7: an attached program learns the epoch of the bytes it reads",
    file: "lib/memory/attachment.ts",
    from: "if (!region.isKnownHeld(this.#epoch)) meetEpoch(",
    to: "if (region === undefined) meetEpoch(",
  },
  {
    rule: "8: a logger takes the guard, then decides between shadow and data",
    file: "lib/memory/picture.ts",
    from: `    await this.#take(signal);
    this.#copyHeld(offset, into);`,
    to: `    const early = region.savedHeld(region.blockOf(offset)) === this.epoch;
    ${SPIN}
    await this.#take(signal);
    this.#copyHeld(offset, into);
    if (!early) into.set(region.data.subarray(offset, offset + 4096));`,
  },
  {
    rule: "10: a client's requests carry the epoch it has met",
    file: "lib/net/request_writer.ts",
    from: "putWriteRequest(this.#view, at, id, incarnation, epoch, offset, size)",
    to: "putWriteRequest(this.#view, at, id, 0, 0, offset, size)",
  },
  {
    rule: "10: a server moves to the next epoch before it serves what carries it",
    file: "lib/memory/region.ts",
    from: `if (verdict === "next") this.raiseEpoch(epoch);`,
    to: "",
  },
  {
    rule: "11: who carries no epoch waits until every server has made the cut",
    file: "lib/node/memory/waiting_room.ts",
    from: `return this.#region.isCutUnreleased && talk.dialect === "classic";`,
    to: `return talk.dialect !== "classic" && talk.dialect === "classic";`,
    paths: ["classic"],
  },
  {
    rule: "11: the same for replies in the simple dialect, wherever their bytes come from",
    file: "lib/node/simple/release.ts",
    from: "while (!signal.aborted && mustWait(region, known)) {",
    to: "while (signal.aborted && mustWait(region, known)) {",
    paths: ["simple"],
  },
  {
    rule: "a writer saves a block before it changes it",
    file: "lib/memory/region.ts",
    from: "      shadow.set(this.data.subarray(start, start + blockSize), start);",
    to: "",
  },
  {
    rule: "8: a block counts as saved once it has been, should its writer die",
    file: "lib/memory/region.ts",
    from: `      shadow.set(this.data.subarray(start, start + blockSize), start);
      storeInOrder(this.#saved, block, epoch);`,
    to: `      storeInOrder(this.#saved, block, epoch);
      shadow.set(this.data.subarray(start, start + blockSize), start);`,
    test: PICTURE_TEST,
  },
  {
    rule: "8: when the logger is done nobody saves any more",
    file: "lib/memory/picture.ts",
    from: "    this.#region.replaceWord(FooterWord.copying, this.epoch | 0, 0);",
    to: "",
    test: PICTURE_TEST,
  },
  {
    rule: "a picture begins only when everybody is done who decided before the cut",
    file: "lib/memory/picture.ts",
    from: "if (!this.#isSettled) await this.#settle(signal);",
    to: "",
    test: PICTURE_TEST,
  },
];

/** Checkpoints in which a mutant must show itself. */
const CHECKPOINTS_MAX = 120;

for (const { rule, file, from, to, test, paths = PATHS } of MUTANTS) {
  Deno.test(`mutant: ${rule}: broken, it is found out`, async () => {
    await using tree = await mutatedTree({ file, from, to });
    if (test !== undefined) return await requireFailure(tree.path, test);
    const outcome = await ConsistencyRun.run({
      root: `${tree.path}/`,
      paths,
      checkpointCount: CHECKPOINTS_MAX,
      stopsAtContradiction: true,
      cutDelayMs: 50,
      gathersUncoordinated: false,
    });
    assert(outcome.contradictions.length > 0, `${outcome.checkpointCount} checkpoints show no contradiction`);
  });
}
