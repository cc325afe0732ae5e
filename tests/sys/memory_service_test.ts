/** lib/node/memory/memory_service.ts behind links whose every state the test decides. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { concat, frame } from "../support/frames.ts";
import { onStage, planOf, untilParked } from "../support/service_stage.ts";

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
  }, { holdMs: 60_000 });
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
