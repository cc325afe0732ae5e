/**
 * Segments: what a segment's whole life costs (shmget, shmat, shmdt, IPC_RMID; its 4,096 bytes are zeroed on the way), and what
 * an attachment adds to reading and writing by address.
 *
 * The kernel's own calls, made by FFI from Deno too, stand beside one client's: they are system calls, ours go to the config
 * server and are stored in its file. Reads and writes through an attachment and by address are made in turns by one process
 * over the same connections, PAIR_COUNT pairs of them, whatever --rounds says.
 */
import { startDsmConfig, startDsmServer } from "./harness/peers.ts";
import type { Peer } from "./harness/peers.ts";
import { pinned, placements } from "./harness/pin.ts";
import type { Placement } from "./harness/pin.ts";
import { numberOf, runForNumbers, runForSamples } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, soloRow, type Subject } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const REGION_SIZE = "64MiB";
const RUN_LIMIT_MS = 120_000;
const PAIR_COUNT = 30;
const QUICK_PAIR_COUNT = 2;
const MANY_COUNT = 8;
const ACCESS_SIZE = 64;

const LIFE = "shmget + shmat + shmdt + RMID";
const ONE: Subject = { bench: "segments", name: `${LIFE}, one client, against the kernel's own calls`, unit: "ops/s" };
const MANY: Subject = { bench: "segments", name: `${LIFE}, ${MANY_COUNT} clients`, unit: "ops/s" };

/** The ways to the bytes, as peers/segment_access.ts names them, and what it measures on each. */
const WAYS = [["tcp", "over TCP"], ["attach", "attached"]] as const;
const ACCESSES = ["read", "write"] as const;

function accessSubject(access: string, way: string): Subject {
  return { bench: "segments", name: `${access} ${ACCESS_SIZE} B ${way}, against by address`, unit: "ns" };
}

function program(name: string, placement: Placement, ...words: readonly (string | number)[]): string[] {
  const path = new URL(`peers/${name}`, import.meta.url).pathname;
  return pinned(placement.load, [Deno.execPath(), "run", "-A", "--no-lock", path, ...words.map(String)]);
}

async function benchLives({ settings }: Bench, placement: Placement, config: Peer): Promise<Row[]> {
  const perSecond = async (command: readonly string[]): Promise<number> => {
    return numberOf(await runForNumbers(command, RUN_LIMIT_MS), "livesPerSecond");
  };
  const lives = (clientCount: number): Promise<number> => {
    const words = [`${config.host}:${config.port}`, clientCount, settings.seconds];
    return perSecond(program("segment_lives.ts", placement, ...words));
  };
  const kernel = (): Promise<number> => perSecond(program("kernel_lives.ts", placement, settings.seconds));
  const rows: Row[] = [];
  if (isWanted(settings, ONE)) {
    announce("segments", ONE.name);
    rows.push(pairedRow(ONE, await interleave(settings.rounds, () => lives(1), kernel)));
  }
  if (isWanted(settings, MANY)) {
    announce("segments", MANY.name);
    const samples: number[] = [];
    for (let round = 0; round < settings.rounds; round++) samples.push(await lives(MANY_COUNT));
    rows.push(soloRow(MANY, samples));
  }
  return rows;
}

async function benchAccess({ settings }: Bench, placement: Placement, config: Peer): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [way, name] of WAYS) {
    const wanted = ACCESSES.filter((access) => isWanted(settings, accessSubject(access, name)));
    if (wanted.length === 0) continue;
    announce("segments", `${wanted.join(" and ")} ${ACCESS_SIZE} B ${name}, in turns with by address`);
    const pairCount = settings.quick ? QUICK_PAIR_COUNT : PAIR_COUNT;
    const words = [`${config.host}:${config.port}`, way, ACCESS_SIZE, pairCount, settings.quick ? 5 : 50];
    const samples = await runForSamples(program("segment_access.ts", placement, ...words), RUN_LIMIT_MS);
    for (const access of wanted) {
      const [ours, peer] = [samples[`${access}Ns`], samples[`${access}ByAddressNs`]];
      if (!ours || !peer) throw new Error(`peers/segment_access.ts did not measure ${access}`);
      rows.push(pairedRow(accessSubject(access, name), { ours, peer }));
    }
  }
  return rows;
}

function isWanted({ only }: Bench["settings"], { name }: Subject): boolean {
  return only.test(`segments: ${name}`);
}

/** All rows, on one server. */
export async function benchSegments(bench: Bench): Promise<Row[]> {
  const subjects = [ONE, MANY, ...WAYS.flatMap(([, way]) => ACCESSES.map((access) => accessSubject(access, way)))];
  const placement = placements().at(-1);
  if (placement === undefined || !subjects.some((subject) => isWanted(bench.settings, subject))) return [];
  await using server = await startDsmServer(bench.directory, placement.server, REGION_SIZE);
  await using config = await startDsmConfig(bench.directory, placement.server, [server], ["--state", stateIn(bench)]);
  return [...await benchLives(bench, placement, config), ...await benchAccess(bench, placement, config)];
}

/** With a file, as in use: on a port of the kernel's choice the table would end with the process. */
function stateIn({ directory }: Bench): string {
  return `${directory}/segments.sqlite`;
}

if (import.meta.main) await benchMain([benchSegments]);
