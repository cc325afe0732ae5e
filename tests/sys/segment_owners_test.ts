/** A memory server that has been told whose its ranges are: whom it serves, what it refuses, whom it has wait. */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { ProtocolError } from "../../lib/base/errors.ts";
import { FooterWord } from "../../lib/memory/layout.ts";
import { growOwnedExtent, ownedExtent } from "../../lib/memory/owned_extent.ts";
import { Inbox } from "../../lib/net/inbox.ts";
import { Output } from "../../lib/net/transport.ts";
import type { Conversation } from "../../lib/node/memory/conversation.ts";
import { OWNED_RANGES_MAX } from "../../lib/node/memory/segment_owners.ts";
import { OWNER_ROWS_MAX } from "../../lib/wire/messages.ts";
import type { Cell } from "../../lib/wire/messages.ts";
import { concat, frame, hello } from "../support/frames.ts";
import { FakeLink, onStage, planOf, untilParked } from "../support/service_stage.ts";
import type { Stage } from "../support/service_stage.ts";

const BLOCK = 4096;
const BYTE = new Uint8Array([7]);
/** Whose peer the kernel does not know. */
const NOBODY = 65_534;

/** A row: some blocks from block `first` on, of uid `uid` with `mode`. */
function row(first: number, uid: number, mode: number, count = 1): Cell[] {
  return [first * BLOCK, count * BLOCK, uid, uid, uid, uid, mode];
}

function owners({ region }: Stage, rows: readonly Cell[][], id = 900, isLast = true): Uint8Array<ArrayBuffer> {
  return frame("owners", id, { startCount: region.word(FooterWord.startCount), isLast, rows });
}

/** Another connection, of root's, that has said hello. */
function rootLink({ service, region }: Stage): FakeLink {
  const link = new FakeLink(new Output(), region.memory.bytes);
  service.opened(link);
  link.feed(service, hello());
  const talk = link.state as Conversation;
  talk.uid = 0;
  talk.uidBy = "kernel";
  talk.isPrivileged = true;
  return link;
}

function tell(stage: Stage, ...rows: readonly Cell[][]): void {
  const root = rootLink(stage);
  root.feed(stage.service, owners(stage, rows));
  assertEquals(root.replies, ["welcome 0", "done 900"]);
  stage.service.closed(root);
}

/** A classic request for the first byte. */
function classic(letter: "r" | "w"): Uint8Array<ArrayBuffer> {
  const words = concat(new TextEncoder().encode(letter), new Uint8Array([0, 0, 0, 0, 0, 0, 0, 1]));
  return letter === "r" ? words : concat(words, BYTE);
}

/** Every request on the region by offset, and which rights it takes. */
const REQUESTS: readonly (readonly [string, number, Uint8Array<ArrayBuffer>])[] = [
  ["read", 4, frame("read", 1, { offset: 0, size: 8 })],
  ["write", 2, frame("write", 1, { offset: 0 }, BYTE)],
  ["fill", 2, frame("fill", 1, { offset: 0, size: 8, byte: 7 })],
  ["fetchAdd", 6, frame("fetchAdd", 1, { offset: 0, width: 8, operand: 1n })],
  ["compareExchange", 6, frame("compareExchange", 1, { offset: 0, width: 4, expected: 0n, replacement: 7n })],
  ["wait", 4, frame("wait", 1, { offset: 0, timeoutMs: 0 }, BYTE)],
];

Deno.test("owners: every native request takes its rights, for nobody of the others' bits; refused, it touches nothing", async () => {
  for (const [name, needed, request] of REQUESTS) {
    for (const bits of [0, 2, 4, 6]) {
      for (const together of [false, true]) {
        await onStage((stage) => {
          const { service, link, region } = stage;
          tell(stage, row(0, 1000, 0o660 | bits));
          if (together) {
            const inbox = new Inbox(request.slice());
            inbox.add(link, request.length);
            service.receivedTogether(inbox);
            const left = inbox.at(0);
            if (left.start < left.end) link.feed(service, request);
            else link.flush();
          } else link.feed(service, request);
          const isServed = (needed & ~bits) === 0;
          const what = `${name} with 0${(0o660 | bits).toString(8)}${together ? ", together" : ""}`;
          assertEquals(link.replies[1] !== "EACCES 1", isServed, what);
          const mayChange = (needed & 2) !== 0 && isServed;
          assertEquals(region.data.subarray(0, 8).some((byte) => byte !== 0), mayChange, what);
        });
      }
    }
  }
});

Deno.test("owners: a classic request without rights closes its connection, and says in the log whose the bytes are", async () => {
  for (const [mode, letter] of [[0o602, "r"], [0o604, "w"]] as const) {
    await onStage((stage) => {
      const { service, region } = stage;
      tell(stage, row(0, 1000, mode));
      const link = new FakeLink(new Output(), region.memory.bytes);
      service.opened(link);
      const request = classic(letter);
      const error = assertThrows(() => link.feed(service, request), ProtocolError);
      assertMatch(error.message, /uid 65534.*0 to 4095.*uid 1000 and gid 1000 with mode 060[24] \(dsm ipcs -m\)/);
      assertStrictEquals(region.data[0], 0);
    });
  }
});

Deno.test("owners: a range that touches somebody else's with one byte is refused whole; what is beside it is free", async () => {
  await onStage((stage) => {
    const { service, link, region } = stage;
    tell(stage, row(1, 1000, 0o600), row(2, NOBODY, 0o600));
    link.feed(
      service,
      concat(
        frame("write", 1, { offset: BLOCK - 1 }, new Uint8Array(2).fill(7)),
        frame("write", 2, { offset: BLOCK - 1 }, BYTE),
        frame("write", 3, { offset: 2 * BLOCK }, BYTE),
        frame("read", 4, { offset: 2 * BLOCK - 1, size: 2 }),
        frame("fill", 5, { offset: 0, size: 4 * BLOCK, byte: 9 }),
      ),
    );
    assertEquals(link.replies.slice(1), ["EACCES 1", "writeReply 2", "writeReply 3", "EACCES 4", "EACCES 5"]);
    assertEquals([region.data[BLOCK - 2], region.data[BLOCK - 1], region.data[BLOCK]], [0, 7, 0]);
  });
});

Deno.test("owners: root is served whatever it is; nobody but root may tell", async () => {
  await onStage((stage) => {
    const { service, link } = stage;
    link.feed(service, owners(stage, [row(0, NOBODY, 0o600)]));
    tell(stage, row(0, 1000, 0));
    const root = rootLink(stage);
    root.feed(service, concat(frame("write", 1, { offset: 0 }, BYTE), frame("read", 2, { offset: 0, size: 1 })));
    assertEquals(root.replies.slice(1), ["writeReply 1", "readReply 2"]);
    link.feed(service, frame("read", 3, { offset: 0, size: 1 }));
    assertEquals(link.replies.slice(1), ["EPERM 900", "EACCES 3"]);
  });
});

Deno.test("owners: who proves the secret may tell, and may touch everything once he has said so", async () => {
  await onStage((stage) => {
    const { service, link, region } = stage;
    tell(stage, row(0, 1000, 0));
    (link.state as Conversation).uidBy = "secret";
    const read = (id: number): Uint8Array<ArrayBuffer> => frame("read", id, { offset: 0, size: 1 });
    link.feed(service, concat(read(1), frame("owners", 2, { startCount: 0, isLast: false, rows: [] }), read(3)));
    assertEquals(link.replies.slice(1), ["EACCES 1", "done 2", "readReply 3"]);
    assertEquals(ownedExtent(region), { base: 0, size: BLOCK }, "nothing was told");
  });
});

Deno.test("owners: rows that are none, and those for another start, are refused and change nothing", async () => {
  await onStage((stage) => {
    const { service, link, region } = stage;
    const root = rootLink(stage);
    const size = region.layout.size;
    const wrong: Cell[][] = [[0], [0, BLOCK, 1, 1, 1, 1, "x"], [0, size + 1, 1, 1, 1, 1, 0], [-1, 1, 1, 1, 1, 1, 0]];
    for (const bad of wrong) {
      root.feed(service, owners(stage, [row(0, 1000, 0o600), bad]));
      assertEquals(root.replies.at(-1), "EINVAL 900");
    }
    root.feed(service, frame("owners", 901, { startCount: 77, isLast: true, rows: [row(0, 1000, 0o600)] }));
    assertEquals(root.replies.at(-1), "ESTALE 901");
    link.feed(service, frame("read", 1, { offset: 0, size: 1 }));
    assertEquals([link.replies[1], ownedExtent(region)], ["readReply 1", undefined]);
  });
});

Deno.test("owners: who waits for a change, or for guards, when the bytes become somebody else's never sees or touches them", async () => {
  await onStage((stage) => {
    const { service, link, region, waiting } = stage;
    tell(stage, row(0, NOBODY, 0o600, 2));
    link.feed(service, frame("wait", 1, { offset: 0, timeoutMs: 60_000 }, new Uint8Array(1)));
    const held = planOf(region, 1);
    region.guards.tryTake(held);
    link.feed(service, frame("write", 2, { offset: BLOCK }, BYTE));
    untilParked(stage);
    tell(stage, row(0, 1000, 0o600), row(1, 1000, 0o644));
    assertEquals(link.replies.slice(1), ["EACCES 1"]);
    region.data[0] = 1;
    service.tick();
    waiting[0]?.taken();
    link.feed(service);
    assertEquals(link.replies.slice(1), ["EACCES 1", "EACCES 2"]);
    assertStrictEquals(region.data[BLOCK], 0);
    assertStrictEquals(region.guards.tryTake(held), "done", "the guards are given back all the same");
    region.guards.give(held);
    link.feed(service, frame("read", 3, { offset: BLOCK, size: 1 }));
    assertEquals(link.replies.at(-1), "readReply 3", "and the connection goes on");
  });
});

Deno.test("owners: a region that was taken over has others wait until all is told; what belongs to none then is nobody's", async () => {
  const prepare = (region: Stage["region"]): void => growOwnedExtent(region, { base: BLOCK, size: 3 * BLOCK });
  await onStage((stage) => {
    const { service, link } = stage;
    const root = rootLink(stage);
    root.feed(service, frame("read", 1, { offset: BLOCK, size: 1 }));
    assertEquals(root.replies.at(-1), "readReply 1", "root waits for nobody");
    link.feed(service, frame("read", 1, { offset: 0, size: 1 }));
    assertEquals(link.replies.at(-1), "readReply 1", "what never belonged to a segment is free");
    link.feed(
      service,
      concat(frame("read", 2, { offset: BLOCK, size: 1 }), frame("read", 3, { offset: 3 * BLOCK, size: 1 })),
    );
    root.feed(service, owners(stage, [row(2, 1000, 0o600)], 900, false));
    service.tick();
    assert(link.isPaused && link.replies.length === 2, "it waits while there is more to be told");
    root.feed(service, owners(stage, [row(1, 1000, 0o604)]));
    for (let round = 0; link.isPaused && round < 1_000_000; round++) service.tick();
    link.feed(service);
    assertEquals(link.replies.slice(2), ["readReply 2", "EACCES 3"]);
  }, { prepare });
});

Deno.test("owners: the footer keeps from where to where the region ever belonged to segments", async () => {
  await onStage((stage) => {
    const { region } = stage;
    assertStrictEquals(ownedExtent(region), undefined);
    tell(stage, row(3, 1000, 0o600));
    assertEquals(ownedExtent(region), { base: 3 * BLOCK, size: BLOCK });
    tell(stage, row(8, 1000, 0o600, 2));
    tell(stage, row(1, 1000, 0o600), row(5, 1000, 0o600));
    assertEquals(ownedExtent(region), { base: BLOCK, size: 9 * BLOCK });
  });
});

Deno.test("owners: by offset a standalone server's region is nobody's, and nobody can tell it otherwise", async () => {
  await onStage((stage) => {
    const { service, link } = stage;
    const root = rootLink(stage);
    const read = frame("read", 1, { offset: 0, size: 1 });
    link.feed(service, read);
    root.feed(service, concat(read, owners(stage, [row(0, NOBODY, 0o600)])));
    assertEquals([link.replies[1], root.replies.slice(1)], ["EACCES 1", ["readReply 1", "ENOTSUP 900"]]);
  }, { isStandalone: true });
});

Deno.test("owners: more ranges than a server remembers are forgotten, shut to others, and told anew", async () => {
  await onStage((stage) => {
    const { service, link } = stage;
    const root = rootLink(stage);
    const rows = Array.from(
      { length: OWNED_RANGES_MAX + 1 },
      (_, i): Cell[] => [2 * i, 1, NOBODY, 1, NOBODY, 1, 0o600],
    );
    let last = "";
    for (let at = 0; at < rows.length; at += OWNER_ROWS_MAX) {
      root.sent = new Uint8Array(4);
      root.feed(service, owners(stage, rows.slice(at, at + OWNER_ROWS_MAX)));
      last = root.replies.at(-1) ?? "";
    }
    assertEquals(last, "ESTALE 900");
    link.feed(service, frame("read", 1, { offset: 2 * BLOCK, size: 1 }));
    assert(link.isPaused, "whose they are is not known now");
    root.feed(service, owners(stage, [[0, 1, NOBODY, 1, NOBODY, 1, 0o600]]));
    for (let round = 0; link.isPaused && round < 1_000_000; round++) service.tick();
    link.feed(service, frame("read", 2, { offset: 0, size: 1 }));
    assertEquals(link.replies.slice(1), ["EACCES 1", "readReply 2"]);
  }, { size: 1024 * 1024 });
});
