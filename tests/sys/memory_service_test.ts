/** lib/node/memory/memory_service.ts behind links whose every state the test decides. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { closeRegion, openRegion } from "../../lib/memory/open.ts";
import type { Region } from "../../lib/memory/region.ts";
import { Deadline } from "../../lib/base/clock.ts";
import type { GuardPlan } from "../../lib/memory/guards.ts";
import { Output } from "../../lib/net/transport.ts";
import type { Link } from "../../lib/net/transport.ts";
import { MemoryService } from "../../lib/node/memory/memory_service.ts";
import { PREFIX_SIZE } from "../../lib/wire/messages.ts";
import { decodeHeader, frameSizes } from "../../lib/wire/frame.ts";
import { defaultDoor } from "../../lib/node/common/door.ts";
import { concat, frame, hello } from "../support/frames.ts";
import { Keys } from "../support/processes.ts";

/** A link that keeps what is sent over it. */
class FakeLink implements Link {
  readonly peer = { host: "127.0.0.1", port: 1 };
  readonly local = { host: "127.0.0.1", port: 2 };
  readonly isEncrypted = false;
  seal: undefined;
  readonly output: Output;
  isBlocked = false;
  isPaused = false;
  isClosed = false;
  resumedCount = 0;
  wanted = 0;
  state: unknown;
  sent: Uint8Array = new Uint8Array(0);
  readonly #memory: Uint8Array;
  #kept: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  constructor(output: Output, memory: Uint8Array) {
    this.output = output;
    this.#memory = memory;
  }
  hasRoomFor(): boolean {
    return true;
  }
  endReplies(): void {
    this.flush();
  }
  flush(): void {
    this.sent = concat(this.sent, this.output.bytes.subarray(0, this.output.size));
    this.output.size = 0;
  }
  sendMemory(offset: number, size: number): void {
    this.flush();
    this.sent = concat(this.sent, this.#memory.subarray(offset, offset + size));
  }
  want(size: number): void {
    this.wanted = size;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
    this.resumedCount++;
  }
  close(): void {
    this.isClosed = true;
  }
  /** Bytes come, or with none what is kept is given again. */
  feed(service: MemoryService, bytes: Uint8Array = new Uint8Array(0)): void {
    const all = concat(this.#kept, bytes);
    this.#kept = all.slice(service.received(this, all, new DataView(all.buffer), all.length));
    this.flush();
  }
  /** Names of the replies so far, after the magic. */
  get replies(): string[] {
    const names: string[] = [];
    const view = new DataView(this.sent.buffer, this.sent.byteOffset);
    for (let at = 4; at < this.sent.length;) {
      const { headerSize, payloadSize } = frameSizes(view, at);
      const header = decodeHeader(this.sent.subarray(at + PREFIX_SIZE, at + PREFIX_SIZE + headerSize));
      names.push(`${header.name} ${header.id}`);
      at += PREFIX_SIZE + headerSize + payloadSize;
    }
    return names;
  }
}

interface Stage {
  readonly region: Region;
  readonly service: MemoryService;
  readonly link: FakeLink;
  /** What waits for guards. */
  readonly waiting: { readonly plan: GuardPlan; readonly taken: () => void }[];
  readonly log: string[];
}

async function onStage(act: (stage: Stage) => void, holdMs = 0): Promise<void> {
  using keys = new Keys();
  const { region } = await openRegion({
    shmkey: keys.shm,
    semkey: keys.sem,
    size: 65_536,
    blockSize: 4096,
    fill: 0,
    mode: 0o600,
  });
  const waiting: Stage["waiting"] = [];
  const log: string[] = [];
  const service = new MemoryService(region, {
    takeInBackground: (plan, taken) => waiting.push({ plan, taken }),
    callSimple: () => log.push("a call"),
    endSimple: () => log.push("an end"),
    adopted: () => log.push("adopted"),
    log: (_level, message) => log.push(message),
    lost: () => log.push("lost"),
  }, { isStandalone: false, transport: "epoll", holdMs, door: { ...defaultDoor(), isOpen: true } });
  const link = new FakeLink(new Output(), region.memory.bytes);
  service.opened(link);
  link.feed(service, hello());
  try {
    act({ region, service, link, waiting, log });
  } finally {
    await closeRegion(region);
  }
}

function planOf(region: Region, block: number): GuardPlan {
  const plan = region.guards.plan();
  plan.clear();
  plan.addBlocks(block, block);
  return plan;
}

/** Plays the transport's rounds until the request that is tried in vain is parked. */
function untilParked({ service, link, waiting }: Stage): void {
  const deadline = new Deadline(5_000);
  while (waiting.length === 0 && !deadline.passed) {
    service.tick();
    if (!link.isPaused) link.feed(service);
  }
}

const BYTE = new Uint8Array([7]);

Deno.test("memory service: guards that come while the peer does not take its replies are given back", async () => {
  await onStage((stage) => {
    const { region, service, link, waiting } = stage;
    const held = planOf(region, 0);
    assertStrictEquals(region.guards.tryTake(held), "done");
    link.feed(service, frame("write", 1, { offset: 0 }, BYTE));
    untilParked(stage);
    assertEquals([link.isPaused, waiting.length, link.replies], [true, 1, ["welcome 0"]]);

    link.isBlocked = true;
    waiting[0]?.taken(); // the guards are handed over: to this process, which has them already
    assertEquals(link.isPaused, false);
    assertStrictEquals(region.guards.tryTake(held), "done", "nobody holds the guard");
    region.guards.give(held);

    link.isBlocked = false;
    link.feed(service);
    assertEquals([link.replies, region.data[0]], [["welcome 0", "writeReply 1"], 7]);
    assertStrictEquals(region.guards.tryTake(held), "done");
    region.guards.give(held);
  });
});

Deno.test("memory service: a parked request is served when its guards come, and those behind it after it", async () => {
  await onStage((stage) => {
    const { region, service, link, waiting } = stage;
    const held = planOf(region, 1);
    region.guards.tryTake(held);
    link.feed(
      service,
      concat(
        frame("write", 1, { offset: 0 }, BYTE),
        frame("write", 2, { offset: 4096 }, BYTE),
        frame("ping", 3, {}),
        frame("write", 4, { offset: 8192 }, new Uint8Array(100)).subarray(0, 20),
      ),
    );
    untilParked(stage);
    assertEquals(link.replies, ["welcome 0", "writeReply 1"]);
    waiting[0]?.taken();
    link.feed(service);
    assertEquals(link.replies, ["welcome 0", "writeReply 1", "writeReply 2", "pong 3"]);
    link.feed(service, frame("write", 4, { offset: 8192 }, new Uint8Array(100)).subarray(20));
    assertEquals(link.replies.at(-1), "writeReply 4");
  });
});

Deno.test("memory service: guards that come for a link that has gone are given back", async () => {
  await onStage((stage) => {
    const { region, service, link, waiting } = stage;
    const held = planOf(region, 0);
    region.guards.tryTake(held);
    link.feed(service, frame("write", 1, { offset: 0 }, BYTE));
    untilParked(stage);
    service.closed(link);
    waiting[0]?.taken();
    assertStrictEquals(region.guards.tryTake(held), "done");
    region.guards.give(held);
    assertEquals(region.data[0], 0);
  });
});

Deno.test("memory service: with --hold, a link that has gone gives back what was held for it", async () => {
  await onStage(({ region, service, link }) => {
    link.feed(service, frame("write", 1, { offset: 0 }, BYTE));
    const plan = planOf(region, 0);
    assertStrictEquals(region.guards.tryTake(plan), "again");
    service.closed(link);
    assertStrictEquals(region.guards.tryTake(plan), "done");
    region.guards.give(plan);
    assertEquals([region.data[0], service.nextTickMs()], [0, Infinity]);
  }, 60_000);
});

Deno.test("memory service: a blocked link is not served, whatever has come", async () => {
  await onStage(({ service, link }) => {
    link.isBlocked = true;
    link.feed(service, concat(frame("ping", 1, {}), frame("write", 2, { offset: 0 }, BYTE)));
    assertEquals(link.replies, ["welcome 0"]);
    link.isBlocked = false;
    link.feed(service);
    assertEquals(link.replies, ["welcome 0", "pong 1", "writeReply 2"]);
  });
});

Deno.test("memory service: what a frame still needs is said", async () => {
  await onStage(({ service, link }) => {
    const whole = frame("write", 1, { offset: 0 }, new Uint8Array(5000));
    link.feed(service, whole.subarray(0, 100));
    assertEquals(link.wanted, whole.length);
    link.feed(service, whole.subarray(100));
    assertEquals(link.replies, ["welcome 0", "writeReply 1"]);
  });
});
