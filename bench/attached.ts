/**
 * Attached access from Deno against the same operations in C. Both sides are one process on one CPU; ours works on the region
 * of a running dsm server, the C program on a segment and a semaphore set of its own.
 */
import { startDsmConfig, startDsmServer } from "./harness/peers.ts";
import { pinned, placements } from "./harness/pin.ts";
import { numberOf, runForNumbers } from "./harness/processes.ts";
import { announce, type Bench, benchMain } from "./harness/program.ts";
import { pairedRow, type Row, type Subject, type Target } from "./harness/report.ts";
import { interleave } from "./harness/rounds.ts";

const REGION_SIZE = 64 * 2 ** 20;
const MIB = 2 ** 20;
const RUN_LIMIT_MS = 120_000;

interface Case {
  readonly subject: Subject;
  /** The name both programs print, in nanoseconds. */
  readonly field: string;
  /** The peer's name for it, where it has another. */
  readonly peerField?: string;
  /** From nanoseconds to the row's unit. */
  readonly convert: (nanoseconds: number) => number;
}

function latencyCase(name: string, field: string, target?: Target): Case {
  const subject: Subject = { bench: "attached", name, unit: "ns" };
  return { field, convert: (ns) => ns, subject: target === undefined ? subject : { ...subject, target } };
}

const LOCKED: Target = { of: "ratio", bound: "at most", value: 1.3 };

const CASES: readonly Case[] = [
  latencyCase("locked read 64 B", "lockedRead64Ns", LOCKED),
  latencyCase("locked write 64 B", "lockedWrite64Ns", LOCKED),
  latencyCase("locked read 4 KiB", "lockedRead4KiBNs"),
  latencyCase("sequence-lock read 64 B", "sequenceRead64Ns", { of: "ours", bound: "at most", value: 100 }),
  {
    field: "copy1MiBNs",
    convert: (ns) => MIB * 1e9 / ns,
    subject: {
      bench: "attached",
      name: "read 1 MiB, against memcpy",
      unit: "B/s",
      target: { of: "ratio", bound: "at least", value: 0.95 },
    },
  },
  {
    field: "sequenceCopy1MiBNs",
    peerField: "copy1MiBNs",
    convert: (ns) => MIB * 1e9 / ns,
    subject: { bench: "attached", name: "sequence-lock read 1 MiB, against memcpy", unit: "B/s" },
  },
];

/** All rows come from the same runs: each of both programs measures every operation in turn. */
export async function benchAttached(bench: Bench): Promise<Row[]> {
  const cases = CASES.filter(({ subject }) => bench.settings.only.test(`attached: ${subject.name}`));
  const placement = placements()[0];
  if (cases.length === 0 || placement === undefined) return [];
  const { directory, settings, programs } = bench;
  const cpu = placement.load;
  await using dsm = await startDsmServer(directory, placement.server, "64MiB");
  await using config = await startDsmConfig(directory, placement.server, [dsm]);
  const fill = [programs.loadGenerator, "native", dsm.host, String(dsm.port), "1", "1", "read", "64", "0.1"];
  await runForNumbers(pinned(cpu, [...fill, "--region", String(REGION_SIZE)]), RUN_LIMIT_MS);

  announce("attached", "Deno and C in turns");
  const path = new URL("peers/attached_client.ts", import.meta.url).pathname;
  const milliseconds = String(settings.quick ? 2 : 20);
  const oursWords = [config.host, String(config.port), String(REGION_SIZE), milliseconds];
  const ours = pinned(cpu, [Deno.execPath(), "run", "-A", "--no-lock", path, ...oursWords]);
  const peer = pinned(cpu, [programs.memoryBaseline, milliseconds]);
  const pairs = await interleave(
    settings.rounds,
    () => runForNumbers(ours, RUN_LIMIT_MS),
    () => runForNumbers(peer, RUN_LIMIT_MS),
  );
  return cases.map(({ subject, field, peerField = field, convert }) => {
    const values = (runs: readonly Record<string, number>[], name: string): number[] =>
      runs.map((run) => convert(numberOf(run, name)));
    return pairedRow(subject, { ours: values(pairs.ours, field), peer: values(pairs.peer, peerField) });
  });
}

if (import.meta.main) await benchMain([benchAttached]);
