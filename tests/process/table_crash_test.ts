/** A config server whose table is restored, or asked for, while somebody dies or the disk is full: the old one or the new one. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { pause } from "../../lib/base/clock.ts";
import { SystemError } from "../../lib/base/errors.ts";
import { parseEndpoint } from "../../lib/base/units.ts";
import { listCheckpoints } from "../../lib/checkpoint/store.ts";
import { IPC_CREAT } from "../../lib/ipc/common/flags.ts";
import { EMPTY_TABLE, fromRows } from "../../lib/ipc/segments/segment_rows.ts";
import type { TableRows } from "../../lib/ipc/segments/segment_rows.ts";
import { SegmentTable } from "../../lib/ipc/segments/segment_table.ts";
import { SegmentState } from "../../lib/node/config/segment_state.ts";
import { HeldTable } from "../../lib/node/logger/held_table.ts";
import { connect } from "../../mod.ts";
import { LoggedCluster } from "../support/loggers.ts";
import { mayMount, small, withMount } from "../support/mounts.ts";
import { ready, startDsm, TempDir, testWhere } from "../support/processes.ts";
import type { Program } from "../support/processes.ts";
import { seededTest } from "../support/seeded.ts";
import { principal, spaceOf } from "../unit/ipc/segments/tables.ts";

const SPACE_SIZE = 64 * 1024 * 1024;
const SEGMENT_COUNT = 4_096;

/** A table of so many segments, with keys from `firstKey` on. */
function tableOf(count: number, firstKey: number): TableRows {
  const table = new SegmentTable(spaceOf([{ size: SPACE_SIZE, blockSize: 4096 }]));
  for (let i = 0; i < count; i++) {
    table.commit(table.shmget(principal(0, 0), firstKey + i, 4096, IPC_CREAT | 0o600, 1).id);
  }
  return table.toPicture();
}

const OLD = tableOf(SEGMENT_COUNT, 1);
const NEW = tableOf(SEGMENT_COUNT, 1_000_000);

/** A config server with the table OLD in `file`, over a space that nobody serves. */
async function startWithOld(dir: TempDir, file: string): Promise<{ config: Program; port: number }> {
  const state = SegmentState.open(file);
  state.begin(OLD);
  state.close();
  await Deno.writeTextFile(dir.file("config.txt"), `1\n127.0.0.1:1 size=${SPACE_SIZE} block=4096\n`);
  const config = startDsm(["config", dir.file("config.txt"), "--port", "0", "--state", file]);
  const { port } = await ready(config);
  return { config, port };
}

/** Which of the two tables is in `file`; whatever else is there fails. */
function tableIn(file: string): "old" | "new" {
  const state = SegmentState.open(file);
  try {
    const { segments } = state.readTable() as TableRows;
    fromRows(state.readTable());
    const is = (table: TableRows): boolean => {
      const keys = new Set(table.segments.map(({ key }) => key));
      return segments.length === keys.size && segments.every(({ key }) => keys.has(key));
    };
    assert(is(OLD) !== is(NEW), `the table is neither the old nor the new one: ${segments.length} segments`);
    return is(OLD) ? "old" : "new";
  } finally {
    state.close();
  }
}

for (const [moment, expected] of [["held", "old"], ["replaced", "new"]] as const) {
  Deno.test(`a config server killed once the table is ${moment} has the ${expected} one`, async () => {
    await using dir = new TempDir();
    const { config, port } = await startWithOld(dir, dir.file("state.sqlite"));
    await using _ = config;
    const held = await HeldTable.hold({ host: "127.0.0.1", port });
    if (moment === "replaced") await held.replace(NEW);
    await config.kill();
    if (moment === "held") {
      const error = await assertRejects(() => held.replace(NEW));
      assertMatch((error as Error).message, /the table of segments may not be: .*; restore once more/);
      assert(held.lost.aborted);
    }
    await held[Symbol.asyncDispose]();
    assertEquals(tableIn(dir.file("state.sqlite")), expected);
  });
}

seededTest(
  "a config server killed at any moment of a replacement has one table or the other, whole",
  async (random) => {
    const outcomes: string[] = [];
    for (let times = 0; times < 8; times++) {
      await using dir = new TempDir();
      const { config, port } = await startWithOld(dir, dir.file("state.sqlite"));
      await using _ = config;
      const held = await HeldTable.hold({ host: "127.0.0.1", port });
      const replaced = held.replace(NEW).then(() => true, () => false);
      await pause(random.below(150)); // any moment will do: what must hold, holds at each
      await config.kill();
      const wasAnswered = await replaced;
      await held[Symbol.asyncDispose]();
      const found = tableIn(dir.file("state.sqlite"));
      if (wasAnswered) assertEquals(found, "new", "what was answered is stored");
      outcomes.push(found);
    }
    console.log(`after the kills: ${outcomes.join(" ")}`);
  },
);

testWhere(
  mayMount,
  "may not mount",
  "a full disk: the table that does not fit is refused, the old one stays and serves",
  async () => {
    await withMount(small("2m"), async (disk) => {
      await using dir = new TempDir();
      const { config, port } = await startWithOld(dir, disk.file("state.sqlite"));
      {
        await using _ = config;
        await Deno.writeFile(disk.file("ballast"), new Uint8Array(2 ** 21)).catch(() => {}); // as much of it as goes
        await using held = await HeldTable.hold({ host: "127.0.0.1", port });
        const error = await assertRejects(() => held.replace(NEW), SystemError);
        assertEquals(error.code, "ENOSPC", error.message);
        assertMatch(error.message, /cannot store the table in .*, it is as it was: ENOSPC; make room on its disk/);
        await Deno.remove(disk.file("ballast"));
        await held[Symbol.asyncDispose]();
        await using space = await connect({ config: `127.0.0.1:${port}` });
        assertEquals((await space.segments.list()).map(({ key }) => key), OLD.segments.map(({ key }) => key));
        await using again = await HeldTable.hold({ host: "127.0.0.1", port });
        await again.replace(NEW);
      }
      assertEquals(tableIn(disk.file("state.sqlite")), "new");
    });
  },
);

Deno.test("a config server killed at the cut fails that checkpoint by name; started again, it has a copy for the next", async () => {
  await using logged = await LoggedCluster.start({ servers: 2 });
  const { cluster } = logged;
  let isFirst = true;
  const onceAtTable = (act: () => Promise<void>) => async (phase: string): Promise<void> => {
    if (phase !== "table" || !isFirst) return;
    isFirst = false;
    await act();
  };
  {
    await using master = logged.master({ onPhase: onceAtTable(() => cluster.config.kill()) });
    const error = await master.fails();
    assertMatch(error.message, /the config server 127\.0\.0\.1:\d+ did not give its table of segments: /);
    assertEquals(await listCheckpoints(master.logger.directory), []);
    await cluster.restartConfig();
  }
  isFirst = true;
  const restart = async (): Promise<void> => {
    await cluster.config.kill();
    await cluster.restartConfig(); // and it has heard the epoch from the servers
  };
  await using master = logged.master({ onPhase: onceAtTable(restart) });
  const error = await master.fails();
  assertMatch(
    error.message,
    /ESTALE: the config server has no copy of its table at the cut of epoch \d+: it was started/,
  );
  await using space = await connect({ config: cluster.address });
  await space.shmget(7, 1, IPC_CREAT | 0o600);
  const { directory } = await master.take();
  const [checkpoint] = await listCheckpoints(master.logger.directory);
  assert(checkpoint && "manifest" in checkpoint && checkpoint.path === directory);
  assertEquals(checkpoint.manifest.table.segments.map(({ key }) => key), [7]);
});

Deno.test("a restore whose connection is gone holds nothing any more, and the table can be restored again", async () => {
  await using dir = new TempDir();
  const { config, port } = await startWithOld(dir, dir.file("state.sqlite"));
  await using _ = config;
  const endpoint = parseEndpoint(`127.0.0.1:${port}`);
  await (await HeldTable.hold(endpoint))[Symbol.asyncDispose]();
  await using space = await connect({ config: `127.0.0.1:${port}` });
  assertEquals(await space.shmget(1, 0, 0), 0);
  await using held = await HeldTable.hold(endpoint);
  await held.replace(EMPTY_TABLE);
  assertEquals(await space.segments.list(), []);
});
