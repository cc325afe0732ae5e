/** Attachments whose memory is lost: they say so, and neither read nor write what is there instead. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect, SystemError } from "../../mod.ts";
import type { Cluster, SegmentAttachment } from "../../mod.ts";
import { TestCluster } from "../support/processes.ts";
import { until } from "../support/until.ts";

const KiB = 1024;
const WAYS = [["through memory", true], ["over TCP", false]] as const;

/** Every operation on an attachment. */
function operations(attached: SegmentAttachment, offset: number): [string, () => Promise<unknown>][] {
  return [
    ["read", () => attached.read(offset, 8)],
    ["write", () => attached.write(offset, new Uint8Array(8).fill(9))],
    ["fill", () => attached.fill(offset, 8, 9)],
    ["fetchAdd", () => attached.fetchAdd(offset, 9)],
    ["compareExchange", () => attached.compareExchange(offset, 0, 9)],
  ];
}

/** Each operation finds out, and finds it again. @param attachments as many of one segment as there are operations. */
async function assertLost(attachments: readonly SegmentAttachment[], server: string): Promise<void> {
  for (const [first, attached] of attachments.entries()) {
    const all = operations(attached, 0);
    for (const call of [...all.slice(first), ...all.slice(0, first)]) await assertOneLost(attached, call, server);
  }
}

async function assertOneLost(
  attached: SegmentAttachment,
  [call, operation]: [string, () => Promise<unknown>],
  server: string,
): Promise<void> {
  const error = await assertRejects(operation, SystemError);
  assertEquals([error.code, error.call], ["EIDRM", call]);
  assertMatch(error.message, new RegExp(`^segment ${attached.id}: ${server}: EIDRM: .*lost; make the segment anew$`));
}

for (const [name, attach] of WAYS) {
  Deno.test(`memory that came back fresh is EIDRM for who had a segment on the old, ${name}`, async () => {
    await using cluster = await TestCluster.start({ servers: 2 });
    await using space = await connect({ config: cluster.address, attach });
    const server = cluster.server(0);
    // each is in use, so that its way is known
    const touched = await space.segments.create({ key: 1, size: 4 * KiB });
    await touched.write(0, new Uint8Array(8).fill(7));
    const others = await Promise.all([1, 2, 3, 4].map(() => space.segments.open(1)));
    const untouched = await space.segments.create({ key: 2, size: 4 * KiB });
    const across = await space.segments.create({ key: 3, size: 64 * KiB });
    const kept = await space.segments.create({ key: 4, size: 4 * KiB });
    await kept.write(0, new Uint8Array(8).fill(7));
    assert(across.base < 64 * KiB && kept.base >= 64 * KiB, "one lies on both servers, one on the second only");

    await server.program.stop(); // in order: its region goes
    const meanwhile = assertRejects(() => touched.read(0, 8), SystemError);
    await server.restart();
    assertEquals((await meanwhile).code, "EIDRM", "asked while it was away");
    // raw access goes on, and so finds its way to the new memory
    assertEquals(await space.read(0, 8), new Uint8Array(8));
    assertEquals(space.attachments[0] !== undefined, attach);
    await assertLost([touched, ...others], server.address);
    await assertLost([untouched], server.address);
    await assertLost([across], server.address);

    assertEquals(await kept.read(0, 8), new Uint8Array(8).fill(7));
    assertEquals(await rawBytes(space), new Uint8Array(64 * KiB), "nothing was written to the new memory");
    await until("the config server to drop them", async () => (await space.segments.list()).length === 1);
    for (const attached of [touched, ...others, untouched, across, kept]) await attached[Symbol.asyncDispose]();
    await using again = await space.segments.create({ key: 1, size: 4 * KiB });
    assertEquals(await again.read(0, 8), new Uint8Array(8));
  });
}

async function rawBytes(space: Cluster): Promise<Uint8Array> {
  return await space.read(0, 64 * KiB);
}

for (const [name, attach] of WAYS) {
  Deno.test(`a killed server that takes its memory over loses no attachment, ${name}`, async () => {
    await using cluster = await TestCluster.start({ servers: 1 });
    await using space = await connect({ config: cluster.address, attach });
    await using attached = await space.segments.create({ key: 1, size: 4 * KiB });
    await attached.write(0, new Uint8Array(8).fill(7));
    await cluster.server(0).program.kill();
    await cluster.server(0).restart();
    assertEquals(await attached.read(0, 8), new Uint8Array(8).fill(7));
    await attached.fetchAdd(0, 1);
  });
}
