/** Regions and what is done to them in memory: against a model, between processes, and when a writer dies half way. */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { Attachment } from "../../lib/memory/attachment.ts";
import { guardStates } from "../../lib/memory/inspect.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { closeRegion, openRegion } from "../../lib/memory/open.ts";
import type { RegionRequest } from "../../lib/memory/open.ts";
import type { Region } from "../../lib/memory/region.ts";
import { libc } from "../../lib/sys/libc.ts";
import { removeSet } from "../../lib/sys/semaphores.ts";
import { Keys, Program } from "../support/processes.ts";
import { RegionChild } from "../support/region_child.ts";
import { seededTest } from "../support/seeded.ts";
import { until, within } from "../support/until.ts";

libc();

const BLOCK_SIZE = 4096;

/** A region of this test's own. */
class TestRegion implements AsyncDisposable {
  readonly #keys: Keys;
  readonly #attachments: Attachment[] = [];
  readonly region: Region;
  isClosed = false;

  private constructor(keys: Keys, region: Region) {
    this.#keys = keys;
    this.region = region;
  }

  static async open(shape: Partial<RegionRequest> = {}): Promise<TestRegion> {
    const keys = new Keys();
    const { region } = await openRegion({
      shmkey: keys.shm,
      semkey: keys.sem,
      size: 16 * BLOCK_SIZE,
      blockSize: BLOCK_SIZE,
      fill: 0,
      mode: 0o600,
      ...shape,
    });
    return new TestRegion(keys, region);
  }

  attach(): Attachment {
    const { region } = this;
    const opened = Attachment.open({ shmid: region.memory.id, semid: region.guards.id, cookie: region.cookie });
    if (!(opened instanceof Attachment)) throw new Error(opened.reason);
    this.#attachments.push(opened);
    return opened;
  }

  /** Takes the guards of some blocks; what is returned gives them back. */
  hold(first: number, last: number = first): Disposable {
    const { guards } = this.region;
    const plan = guards.plan();
    plan.addBlocks(first, last);
    assertStrictEquals(guards.tryTake(plan), "done");
    return { [Symbol.dispose]: () => void guards.give(plan) };
  }

  /** A block's word in one of the arrays behind the footer. */
  wordOf(array: "versionsOffset" | "holdersOffset", block: number): Int32Array {
    return new Int32Array(this.region.memory.bytes.buffer, this.region.layout[array] + 4 * block, 1);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await closeRegion(this.region);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const attachment of this.#attachments) attachment.detach();
    try {
      if (!this.isClosed) {
        assertEquals(guardStates(this.region), [], "every guard is free at the end");
        await this.close();
      }
      assertEquals(this.#keys.leftovers(), []);
    } finally {
      this.#keys[Symbol.dispose]();
    }
  }
}

for (const [blockSize, blockCount] of [[2, 1500], [64, 7], [4096, 5], [5000, 3], [1, 600]] as const) {
  seededTest(`region: ${blockCount} blocks of ${blockSize}: random operations agree with a model`, async (random) => {
    const size = blockSize * blockCount;
    await using test = await TestRegion.open({ size, blockSize, fill: 0x5a });
    const attachment = test.attach();
    const model = new Uint8Array(size).fill(0x5a);
    assertEquals(test.region.data.slice(), model);
    for (let round = 0; round < 800; round++) {
      const offset = random.below(size + 1);
      const count = random.below(Math.min(size - offset, random.pick([8, 200, 8000])) + 1);
      switch (random.below(6)) {
        case 0: {
          const bytes = random.bytes(count);
          assertStrictEquals(attachment.tryWrite(offset, bytes), "done");
          model.set(bytes, offset);
          break;
        }
        case 1: {
          const byte = random.below(256);
          assertStrictEquals(attachment.tryFill(offset, count, byte), "done");
          model.fill(byte, offset, offset + count);
          break;
        }
        case 2: {
          const into = random.bytes(count);
          assertStrictEquals(attachment.tryRead(offset, into), "done");
          assertEquals(into, model.slice(offset, offset + count));
          break;
        }
        case 3: {
          const into = random.bytes(count);
          assert(attachment.readOptimistic(offset, into));
          assertEquals(into, model.slice(offset, offset + count));
          break;
        }
        case 4: {
          const width = random.pick([4, 8] as const);
          const at = random.below(Math.floor(size / width)) * width;
          const view = new DataView(model.buffer);
          const before = width === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true);
          const operand = random.longWord();
          const { attempt, word } = attachment.tryUpdate(at, width, (value) => value + operand);
          assertEquals([attempt, word], ["done", before]);
          if (width === 4) view.setUint32(at, Number(BigInt.asUintN(32, before + operand)), true);
          else view.setBigUint64(at, before + operand, true);
          break;
        }
        default: {
          const bytes = random.bytes(count);
          const attempt = attachment.tryLend(offset, count, "w", (lent) => lent.set(bytes));
          assertStrictEquals(attempt, "done");
          model.set(bytes, offset);
        }
      }
    }
    assertEquals(test.region.data.slice(), model);
    assertEquals(test.region.suspects().count, 0);
  });
}

Deno.test("region: ranges that are not all in it are EINVAL, whatever is asked", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const { size } = attachment;
  const ranges = [[size, 1], [size - 1, 2], [-1, 1], [0.5, 1], [NaN, 1], [2 ** 53, 1]] as const;
  for (const [offset, count] of ranges) {
    const attempts = [
      () => attachment.tryRead(offset, new Uint8Array(count)),
      () => attachment.tryWrite(offset, new Uint8Array(count)),
      () => attachment.tryFill(offset, count, 0),
      () => attachment.tryUpdate(offset, 8, () => 0n),
      () => attachment.tryLend(offset, count, "r", () => {}),
      () => attachment.readOptimistic(offset, new Uint8Array(count)),
      () => attachment.readInto(offset, new Uint8Array(count)),
    ];
    for (const attempt of attempts) assertEquals((assertThrows(attempt, SystemError) as SystemError).code, "EINVAL");
  }
});

Deno.test("region: words that are left as they are, and a change that throws, leave no guard held", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const version = test.wordOf("versionsOffset", 0);
  assertEquals(attachment.tryUpdate(0, 8, () => undefined), { attempt: "done", word: 0n });
  assertEquals(version[0], 0);
  assertThrows(
    () =>
      attachment.tryUpdate(0, 8, () => {
        throw new Error("of the caller");
      }),
    Error,
    "of the caller",
  );
  assertThrows(
    () =>
      attachment.tryLend(0, 10, "w", () => {
        throw new Error("of the caller");
      }),
    Error,
    "of the caller",
  );
  assertEquals(guardStates(test.region), []);
  assertStrictEquals(attachment.tryFill(0, 10, 1), "done");
  assertEquals(test.region.suspects().count, 0);
});

// ---- guards

Deno.test("attachment: a held block is busy for those who need it and for nobody else", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  {
    using _held = test.hold(3);
    assertStrictEquals(attachment.tryFill(3 * BLOCK_SIZE, 1, 1), "busy");
    assertStrictEquals(attachment.tryFill(2 * BLOCK_SIZE, 2 * BLOCK_SIZE, 1), "busy");
    assertStrictEquals(attachment.tryFill(2 * BLOCK_SIZE, BLOCK_SIZE, 1), "done");
    assertStrictEquals(attachment.tryFill(0, 0, 1), "done");
    assertEquals(guardStates(test.region).map(({ index, value }) => [index, value]), [[3, 0]]);
  }
  assertStrictEquals(attachment.tryFill(3 * BLOCK_SIZE, 1, 1), "done");
});

Deno.test("guards: with more blocks than guards, blocks 500 apart share one", async () => {
  await using test = await TestRegion.open({ size: 1200 * 16, blockSize: 16 });
  const attachment = test.attach();
  using _held = test.hold(7);
  for (const block of [7, 507, 1007]) assertStrictEquals(attachment.tryFill(block * 16, 16, 1), "busy");
  for (const block of [6, 8, 506, 1008]) assertStrictEquals(attachment.tryFill(block * 16, 16, 1), "done");
  assertStrictEquals(attachment.tryRead(0, new Uint8Array(1200 * 16)), "busy");
});

Deno.test("guards: all of them are taken and given in one operation each", async () => {
  await using test = await TestRegion.open({ size: 1200 * 16, blockSize: 16 });
  const { guards } = test.region;
  const plan = guards.plan();
  plan.addBlocks(0, 1199);
  assertStrictEquals(guards.tryTake(plan), "done");
  assertEquals(guardStates(test.region).length, 500);
  assertStrictEquals(guards.tryTake(plan), "again");
  assertStrictEquals(guards.give(plan), "done");
  assertEquals(guardStates(test.region), []);
  assertEquals(await guards.takeInBackground(plan, 1000), true);
  assertStrictEquals(guards.takeBlocking(plan, 20), "again");
  assertStrictEquals(guards.give(plan), "done");
  assertStrictEquals(guards.takeBlocking(plan, 1000), "done");
  assertStrictEquals(guards.give(plan), "done");
});

Deno.test("guards: taking many succeeds against three processes that always hold some", async () => {
  await using test = await TestRegion.open();
  const children = await Promise.all([0, 3, 7].map((block) => {
    return RegionChild.start("add", test.region, `${block * BLOCK_SIZE}`, "1000000000");
  }));
  try {
    const { guards } = test.region;
    const plan = guards.plan();
    plan.addBlocks(0, 15);
    for (let round = 0; round < 20; round++) {
      assert(await within("all guards", guards.takeInBackground(plan, 10_000), 10_000));
      guards.give(plan);
    }
  } finally {
    for (const child of children) await child.kill();
  }
  await until("what they held is back", () => guardStates(test.region).length === 0);
});

Deno.test("guards: no semop of ours has one operation alone", async () => {
  const strace = await new Deno.Command("strace", { args: ["-V"], stdout: "null", stderr: "null" }).output().catch(() =>
    undefined
  );
  if (!strace?.success) return console.log("  (no strace here: not looked at)");
  await using test = await TestRegion.open();
  const { region } = test;
  const self = new URL("../support/region_child.ts", import.meta.url).pathname;
  const ids = [`${region.memory.id}`, `${region.guards.id}`, region.cookie];
  await using traced = new Program([
    "strace",
    "-f",
    "-e",
    "trace=semop,semtimedop",
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    self,
    "every",
    ...ids,
  ]);
  const { code } = await traced.end();
  if (code !== 0 && /ptrace/.test(traced.stderr)) return console.log("  (strace may not trace here: not looked at)");
  assertEquals(code, 0, traced.stderr);
  const calls = traced.stderr.split("\n").filter((line) =>
    /sem(timed)?op\(/.test(line) && line.includes(`(${region.guards.id},`)
  );
  assert(calls.length >= 10, traced.stderr);
  for (const call of calls) {
    const count = Number(/\], (\d+)[,)]/.exec(call)?.[1]);
    assert(count >= 2, call);
    assert(
      !call.includes("sem_op=-1, sem_flg=0}") && !call.includes("sem_op=-1, sem_flg=IPC_NOWAIT}"),
      `without undo: ${call}`,
    );
  }
});

// ---- writers that die, and readers without guards

Deno.test("a block left half written is suspect once, found by whoever comes, and works again", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const found: number[] = [];
  test.region.onSuspect = (block) => found.push(block);
  const version = test.wordOf("versionsOffset", 4);
  const finders: (() => unknown)[] = [
    () => attachment.tryRead(4 * BLOCK_SIZE, new Uint8Array(1)),
    () => attachment.tryWrite(4 * BLOCK_SIZE, new Uint8Array(1)),
    () => attachment.tryFill(3 * BLOCK_SIZE, 3 * BLOCK_SIZE, 1),
    () => attachment.tryUpdate(4 * BLOCK_SIZE, 4, (word) => word),
    () => attachment.tryLend(4 * BLOCK_SIZE, 1, "r", () => {}),
    () => attachment.tryLend(4 * BLOCK_SIZE, 1, "w", () => {}),
  ];
  for (const [i, find] of finders.entries()) {
    version[0] = 2 * i + 1001;
    assertEquals(attachment.readOptimistic(4 * BLOCK_SIZE, new Uint8Array(1)), false);
    attachment.tryRead(5 * BLOCK_SIZE, new Uint8Array(1)); // another block: nothing is found
    assertEquals(test.region.suspects().count, i);
    find();
    find();
    assertEquals(test.region.suspects(), { count: i + 1, latest: [4] });
    assertEquals((version[0] ?? 1) % 2, 0);
    assert(attachment.readOptimistic(4 * BLOCK_SIZE, new Uint8Array(1)));
  }
  test.wordOf("versionsOffset", 4)[0] = 1;
  test.region.checkHeld(4 * BLOCK_SIZE, 1);
  assertEquals(found, [4]);
});

Deno.test("more suspect blocks than are remembered by number are counted all the same", async () => {
  await using test = await TestRegion.open({ size: 16 * 200, blockSize: 16 });
  for (let block = 0; block < 200; block++) test.wordOf("versionsOffset", block)[0] = 1;
  test.attach().tryFill(0, 16 * 200, 0);
  const { count, latest } = test.region.suspects();
  assertEquals(count, 200);
  assertEquals(latest.sort((a, b) => a - b), Array.from({ length: 64 }, (_, i) => 136 + i));
});

Deno.test("a process killed half way of a write gives back its guards and leaves its blocks suspect", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  await using child = await RegionChild.start("half", test.region, `${2 * BLOCK_SIZE}`, `${2 * BLOCK_SIZE}`);
  assertStrictEquals(attachment.tryRead(2 * BLOCK_SIZE, new Uint8Array(1)), "busy");
  assertEquals(attachment.readOptimistic(3 * BLOCK_SIZE, new Uint8Array(1)), false);
  await child.kill();
  const into = new Uint8Array(2 * BLOCK_SIZE);
  await until("its guards", () => attachment.tryRead(2 * BLOCK_SIZE, into) === "done");
  assertEquals([into[0], into[BLOCK_SIZE - 1], into[BLOCK_SIZE]], [0xaa, 0xaa, 0]);
  assertEquals(test.region.suspects(), { count: 2, latest: [2, 3] });
  assertStrictEquals(attachment.tryWrite(2 * BLOCK_SIZE, into), "done");
  assertEquals(test.region.suspects().count, 2);
});

for (
  const [name, offset, size] of [
    ["within a block", 100, 64],
    ["over the edge of two blocks", BLOCK_SIZE - 32, 64],
    ["of a whole block", BLOCK_SIZE, BLOCK_SIZE],
    ["of five blocks", BLOCK_SIZE / 2, 5 * BLOCK_SIZE],
  ] as const
) {
  Deno.test(`reads without a guard ${name} are never torn while another process writes`, async () => {
    await using test = await TestRegion.open();
    const attachment = test.attach();
    await using child = await RegionChild.start("fill", test.region, `${offset}`, `${size}`);
    const into = new Uint8Array(size);
    const wholes: Uint8Array[] = [];
    const seen = new Set<number>();
    let whole = 0;
    let refused = 0;
    const started = performance.now();
    while ((whole < 50_000 || seen.size < 20) && performance.now() - started < 8_000) {
      if (!attachment.readOptimistic(offset, into)) {
        refused++;
        continue;
      }
      whole++;
      const first = into[0] as number;
      seen.add(first);
      const all = wholes[first] ??= new Uint8Array(size).fill(first);
      if (Buffer.compare(into, all) !== 0) {
        throw new Error(`torn after ${whole} reads: ${first} and others`);
      }
    }
    await child.kill();
    assert(
      whole >= 10_000 && seen.size >= 20 && refused > 0,
      `${whole} whole, ${refused} refused, ${seen.size} values`,
    );
    await until("its guards", () => attachment.tryFill(offset, size, 0) === "done");
  });
}

Deno.test("reads without a guard refuse while a writer is at it, a copy is owned elsewhere, or the region closes", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  for (const size of [1, 300, 3 * BLOCK_SIZE]) {
    const read = (): boolean => attachment.readOptimistic(0, new Uint8Array(size));
    assert(read());
    attachment.tryLend(0, size, "w", () => assertEquals(read(), false));
    assert(read());
    const holder = test.wordOf("holdersOffset", 0);
    holder[0] = 1;
    assert(read());
    holder[0] = 2;
    assertEquals(read(), false);
    holder[0] = 0;
    test.region.setState("closing");
    assertEquals(read(), false);
    test.region.setState("serving");
    assert(read());
  }
});

// ---- attachments

Deno.test("attachment: holders elsewhere: a shared copy forbids writes, an owned one reads too", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const holder = test.wordOf("holdersOffset", 2);
  const expected = {
    0: ["done", "done"],
    1: ["done", "refused"],
    2: ["refused", "refused"],
    77: ["refused", "refused"],
  };
  for (const [word, [read, write]] of Object.entries(expected)) {
    holder[0] = Number(word);
    for (const offset of [2 * BLOCK_SIZE, BLOCK_SIZE]) {
      const size = 2 * BLOCK_SIZE;
      const before = test.region.data.slice();
      assertEquals(attachment.tryRead(offset, new Uint8Array(size)), read as never);
      assertEquals(attachment.tryLend(offset, size, "r", () => {}), read as never);
      assertEquals(attachment.tryWrite(offset, new Uint8Array(size).fill(1)), write as never);
      assertEquals(attachment.tryFill(offset, size, 1), write as never);
      assertEquals(attachment.tryUpdate(2 * BLOCK_SIZE, 4, (value) => value + 1n).attempt, write as never);
      assertEquals(attachment.tryLend(offset, size, "w", () => {}), write as never);
      if (write === "refused") assertEquals(test.region.data.slice(), before, "refused changes nothing");
    }
    assertStrictEquals(attachment.tryFill(4 * BLOCK_SIZE, 1, 1), "done");
    assertEquals([attachment.isLost, guardStates(test.region).length], [false, 0]);
  }
  holder[0] = 0;
});

Deno.test("attachment: another cookie, another segment, or none is a reason, not an error", async () => {
  await using test = await TestRegion.open();
  await using other = await TestRegion.open();
  const { region } = test;
  const right = { shmid: region.memory.id, semid: region.guards.id, cookie: region.cookie };
  const wrong = [
    { ...right, cookie: other.region.cookie },
    { ...right, cookie: "" },
    { ...right, cookie: "00".repeat(16) },
    { ...right, shmid: other.region.memory.id },
    { ...right, shmid: -1 },
    { ...right, shmid: 2 ** 31 - 1 },
    { ...right, shmid: 2 ** 32 - 1 },
  ];
  for (const info of wrong) {
    const opened = Attachment.open(info);
    assert(!(opened instanceof Attachment) && opened.reason.length > 0, JSON.stringify(info));
  }
  region.setState("closing");
  assert("reason" in Attachment.open(right));
  region.setState("serving");
});

Deno.test("attachment: a region that goes is lost, and refused from then on", async () => {
  for (const leave of ["gone", "closing"] as const) {
    await using test = await TestRegion.open();
    const attachment = test.attach();
    assertStrictEquals(attachment.tryFill(0, 1, 1), "done");
    test.region.setState(leave);
    assertStrictEquals(attachment.tryFill(0, 1, 1), "refused");
    assert(attachment.isLost);
    test.region.setState("serving");
    assertStrictEquals(attachment.tryRead(0, new Uint8Array(1)), "refused");
    assertEquals(attachment.readOptimistic(0, new Uint8Array(1)), false);
    assertEquals(
      (assertThrows(() => attachment.readInto(0, new Uint8Array(1)), SystemError) as SystemError).code,
      "ESTALE",
    );
  }
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const other = test.attach();
  await test.close();
  assertStrictEquals(attachment.tryWrite(0, new Uint8Array(1)), "refused");
  assert(attachment.isLost);
  assertEquals(other.readOptimistic(0, new Uint8Array(1)), false);
});

Deno.test("attachment: another region under the same ids is not written to", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const { region } = test;
  const cookie = region.word(FooterWord.cookie);
  region.setWord(FooterWord.cookie, cookie ^ 1);
  assertStrictEquals(attachment.tryFill(0, 1, 9), "refused");
  assert(attachment.isLost && region.data[0] === 0);
  region.setWord(FooterWord.cookie, cookie);
});

Deno.test("attachment: when its block is free it goes on, without a turn of the loop and with", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const fill = (): ReturnType<Attachment["tryFill"]> => attachment.tryFill(0, 1, 7);
  {
    using _held = test.hold(0);
    assertStrictEquals(await attachment.whenFree(0, 1, 50, undefined, fill), "busy");
    const abort = new AbortController();
    const waiting = attachment.whenFree(0, 1, 10_000, abort.signal, fill);
    abort.abort(new Error("not wanted"));
    await within("the end of the wait", assertRejects(() => waiting, Error, "not wanted"), 3_000);
  }
  const held = test.hold(0);
  const waiting = attachment.whenFree(0, 1, 10_000, undefined, fill);
  await until("it waits", () => guardStates(test.region)[0]?.waiterCount === 1);
  held[Symbol.dispose]();
  assertEquals([await waiting, test.region.data[0]], ["done", 7]);
  assertEquals(guardStates(test.region), []);
  await assertRejects(
    () =>
      attachment.whenFree(0, 1, 1_000, undefined, () => {
        throw new Error("of the caller");
      }),
    Error,
    "of the caller",
  );

  await using child = await RegionChild.start("hold", test.region, "0", "1");
  const timer = new Worker(
    URL.createObjectURL(new Blob([`self.onmessage = ({ data }) => { Deno.kill(data, "SIGKILL"); };`])),
    { type: "module" },
  );
  timer.postMessage(child.program.pid);
  attachment.write(0, new Uint8Array([8])); // blocks this thread until the child is killed by another
  timer.terminate();
  assertEquals(test.region.data[0], 8);
  await child.program.end();
});

Deno.test("attachment: who waits for a set that is removed hears so soon", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  const held = test.hold(0);
  const waiting = attachment.whenFree(0, 1, 10_000, undefined, () => attachment.tryFill(0, 1, 7));
  await until("it waits", () => guardStates(test.region)[0]?.waiterCount === 1);
  removeSet(test.region.guards.id);
  assertStrictEquals(await within("the end of the wait", waiting, 3_000), "refused");
  assert(attachment.isLost);
  held[Symbol.dispose]();
});

Deno.test("attachment: what is lent may use the attachment itself", async () => {
  await using test = await TestRegion.open();
  const attachment = test.attach();
  assertStrictEquals(
    attachment.tryLend(0, 2 * BLOCK_SIZE, "w", (bytes) => {
      bytes.fill(1);
      assertStrictEquals(attachment.tryFill(5 * BLOCK_SIZE, 1, 2), "done");
      assertStrictEquals(attachment.tryFill(0, 1, 2), "busy");
    }),
    "done",
  );
  assertEquals(guardStates(test.region), []);
});
