/**
 * Message queues. The kernel's through KernelQueues against the same calls in C: 64 bytes, in one process and between two.
 */
import { pinned, type Placement, placements } from "./harness/pin.ts";
import { numberOf, runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, type Target, type Unit } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const MESSAGE_COUNT = 200_000;
const QUICK_MESSAGE_COUNT = 2_000;
const RUN_LIMIT_MS = 120_000;

interface Case {
  readonly name: string;
  readonly unit: Unit;
  /** The name both programs print, in nanoseconds. */
  readonly field: string;
  /** From nanoseconds to the row's unit. */
  readonly convert: (nanoseconds: number) => number;
  readonly target?: Target;
}

const HALF: Target = { of: "ratio", bound: "at least", value: 0.5 };

function perSecond(nanoseconds: number): number {
  return 1e9 / nanoseconds;
}

const ALONE: readonly Case[] = [
  { name: "kernel, 64 B, one process", unit: "ops/s", field: "pairNs", convert: perSecond, target: HALF },
];

function between({ name }: Placement): readonly Case[] {
  return [
    { name: `kernel, 64 B, one way, ${name}`, unit: "ops/s", field: "streamNs", convert: perSecond, target: HALF },
    {
      name: `kernel, 64 B, to and fro, ${name}`,
      unit: "ns",
      field: "roundTripNs",
      convert: (nanoseconds) => nanoseconds,
    },
  ];
}

/** The rows of one placement come from the same runs: each of both programs measures every case in turn. */
async function benchPlacement(
  { settings, programs }: Bench,
  { server, load }: Placement,
  cases: readonly Case[],
): Promise<Row[]> {
  if (cases.length === 0) return [];
  const path = new URL("peers/queues_client.ts", import.meta.url).pathname;
  const words = [String(settings.quick ? QUICK_MESSAGE_COUNT : MESSAGE_COUNT), String(server)];
  const ours = pinned(load, [Deno.execPath(), "run", "-A", "--no-lock", path, ...words]);
  const peer = pinned(load, [programs.queueBaseline, ...words]);
  const pairs = await interleave(
    settings.rounds,
    () => runForNumbers(ours, RUN_LIMIT_MS),
    () => runForNumbers(peer, RUN_LIMIT_MS),
  );
  return cases.map(({ field, convert, target, ...named }) => {
    const values = (runs: readonly Record<string, number>[]): number[] =>
      runs.map((run) => convert(numberOf(run, field)));
    const subject = { bench: "queues", ...named, ...target ? { target } : {} };
    return pairedRow(subject, { ours: values(pairs.ours), peer: values(pairs.peer) });
  });
}

/** The kernel's queues in one process, and between two in both placements. */
export async function benchQueues(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [index, placement] of placements().entries()) {
    const cases = [...index === 0 ? ALONE : [], ...between(placement)];
    announce("queues", `Deno and C in turns, ${placement.name}`);
    rows.push(
      ...await benchPlacement(
        bench,
        placement,
        cases.filter(({ name }) => bench.settings.only.test(`queues: ${name}`)),
      ),
    );
  }
  return rows;
}

if (import.meta.main) await benchMain([benchQueues]);
