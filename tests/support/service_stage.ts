/** A memory service behind links whose every state the test decides. */
import { Deadline } from "../../lib/base/clock.ts";
import type { GuardPlan } from "../../lib/memory/guards.ts";
import { closeRegion, openRegion } from "../../lib/memory/open.ts";
import type { Region } from "../../lib/memory/region.ts";
import { Output } from "../../lib/net/transport.ts";
import type { Link } from "../../lib/net/transport.ts";
import { defaultDoor } from "../../lib/node/common/door.ts";
import { MemoryService } from "../../lib/node/memory/memory_service.ts";
import { PREFIX_SIZE } from "../../lib/wire/messages.ts";
import { decodeHeader, frameSizes } from "../../lib/wire/frame.ts";
import { concat, hello } from "./frames.ts";
import { Keys } from "./processes.ts";

/** A link that keeps what is sent over it. */
export class FakeLink implements Link {
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
  /** Names of the replies so far, after the magic, of errors their codes; each with its request's id. */
  get replies(): string[] {
    const names: string[] = [];
    const view = new DataView(this.sent.buffer, this.sent.byteOffset);
    for (let at = 4; at < this.sent.length;) {
      const { headerSize, payloadSize } = frameSizes(view, at);
      const header = decodeHeader(this.sent.subarray(at + PREFIX_SIZE, at + PREFIX_SIZE + headerSize));
      names.push(`${header.name === "error" ? header.fields.code : header.name} ${header.id}`);
      at += PREFIX_SIZE + headerSize + payloadSize;
    }
    return names;
  }
}

/** What a test of the service plays with. */
export interface Stage {
  readonly region: Region;
  readonly service: MemoryService;
  readonly link: FakeLink;
  /** What waits for guards. */
  readonly waiting: { readonly plan: GuardPlan; readonly taken: () => void }[];
  readonly log: string[];
}

/** What a test may want otherwise. */
export interface StageOptions {
  /** See --hold. */
  readonly holdMs?: number;
  /** Bytes of the region. */
  readonly size?: number;
  /** See --standalone. */
  readonly isStandalone?: boolean;
  /** Called with the region before it is served. */
  readonly prepare?: (region: Region) => void;
}

/** Has `act` play on a service of its own, whose one link is nobody's. */
export async function onStage(act: (stage: Stage) => void, options: StageOptions = {}): Promise<void> {
  using keys = new Keys();
  const { region } = await openRegion({
    shmkey: keys.shm,
    semkey: keys.sem,
    size: options.size ?? 65_536,
    blockSize: 4096,
    fill: 0,
    mode: 0o600,
  });
  options.prepare?.(region);
  const waiting: Stage["waiting"] = [];
  const log: string[] = [];
  const service = new MemoryService(region, {
    takeInBackground: (plan, taken) => waiting.push({ plan, taken }),
    callSimple: () => log.push("a call"),
    endSimple: () => log.push("an end"),
    adopted: () => log.push("adopted"),
    log: (_level, message) => log.push(message),
    lost: () => log.push("lost"),
  }, {
    isStandalone: options.isStandalone ?? false,
    transport: "epoll",
    holdMs: options.holdMs ?? 0,
    door: { ...defaultDoor(), isOpen: true },
  });
  const link = new FakeLink(new Output(), region.memory.bytes);
  service.opened(link);
  link.feed(service, hello());
  try {
    act({ region, service, link, waiting, log });
  } finally {
    await closeRegion(region);
  }
}

/** The guards of one block. */
export function planOf(region: Region, block: number): GuardPlan {
  const plan = region.guards.plan();
  plan.clear();
  plan.addBlocks(block, block);
  return plan;
}

/** Plays the transport's rounds until the request that is tried in vain is parked. */
export function untilParked({ service, link, waiting }: Stage): void {
  const deadline = new Deadline(5_000);
  while (waiting.length === 0 && !deadline.passed) {
    service.tick();
    if (!link.isPaused) link.feed(service);
  }
}
