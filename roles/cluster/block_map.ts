/**
 * The blocks of one server as a map of characters.
 *
 * Blocks share guards when there are more of them than guards; a held guard holds all its blocks. A map that has less
 * room than blocks shows in each cell the most remarkable of the blocks it stands for.
 */
import type { BlockStates } from "../../lib/node/cluster/cluster.ts";
import type { Style } from "../../lib/cli/style.ts";

/** What a block is, the least remarkable first. */
export const BLOCK_STATES = ["free", "held", "waited", "suspect"] as const;
/** One of the above. */
export type BlockState = (typeof BLOCK_STATES)[number];

/** How each is drawn. */
const SIGNS: Record<BlockState, string> = { free: ".", held: "#", waited: "W", suspect: "?" };

/** A guard that somebody holds. */
export interface HeldGuard {
  readonly guard: number;
  readonly value: number;
  readonly lastPid: number;
  readonly waiters: number;
}

/** The state of every block, and the guards that are held. */
export interface BlockMap {
  readonly states: readonly BlockState[];
  readonly held: readonly HeldGuard[];
  readonly suspects: readonly number[];
}

/** Reads a reply. @param guardCount semaphores in the server's set. */
export function blockMap(reply: BlockStates, guardCount: number): BlockMap {
  const held = reply.guards.map(([guard, value, lastPid, waiters]): HeldGuard => ({
    guard: Number(guard),
    value: Number(value),
    lastPid: Number(lastPid),
    waiters: Number(waiters),
  }));
  const suspects = reply.suspects.map(([block]) => Number(block));
  const states: BlockState[] = new Array(reply.blockCount).fill("free");
  for (const { guard, value, waiters } of held) {
    if (value !== 0) continue;
    for (let block = guard; block < states.length; block += guardCount) states[block] = waiters > 0 ? "waited" : "held";
  }
  for (const block of suspects) states[block] = "suspect";
  return { states, held, suspects };
}

/** The map in at most `cells` characters. */
export function cellsOf(states: readonly BlockState[], cells: number): { blocksPerCell: number; cells: BlockState[] } {
  const blocksPerCell = Math.max(1, Math.ceil(states.length / cells));
  const drawn: BlockState[] = [];
  for (let at = 0; at < states.length; at += blocksPerCell) {
    const part = states.slice(at, at + blocksPerCell);
    drawn.push(
      part.reduce((worst, state) => BLOCK_STATES.indexOf(state) > BLOCK_STATES.indexOf(worst) ? state : worst),
    );
  }
  return { blocksPerCell, cells: drawn };
}

/** Draws the map, what the signs mean, and who holds what. */
export function drawMap(map: BlockMap, title: string, columns: number, rows: number, style: Style): string {
  const width = Math.max(16, Math.min(128, columns - 2));
  const { blocksPerCell, cells } = cellsOf(map.states, width * Math.max(4, rows - 10));
  const looks: Record<BlockState, (text: string) => string> = {
    free: style.dim,
    held: style.yellow,
    waited: style.magenta,
    suspect: style.red,
  };
  const lines: string[] = [];
  for (let at = 0; at < cells.length; at += width) {
    lines.push(cells.slice(at, at + width).map((state) => looks[state](SIGNS[state])).join(""));
  }
  const count = (state: BlockState): number => map.states.filter((each) => each === state).length;
  const legend = BLOCK_STATES.map((state) => `${looks[state](SIGNS[state])} ${state} ${count(state)}`).join("   ");
  const each = blocksPerCell > 1 ? `; each sign is ${blocksPerCell} blocks` : "";
  return [`${title}: ${map.states.length} blocks${each}`, ...lines, legend, ...map.held.slice(0, 6).map(describe)].join(
    "\n",
  );
}

function describe(held: HeldGuard): string {
  if (held.value > 1) {
    return `guard ${held.guard} is ${held.value}: a program gave what it had not taken (last pid ${held.lastPid})`;
  }
  const waiting = held.waiters > 0 ? `, ${held.waiters} waiting` : "";
  return `guard ${held.guard}: held, last pid ${held.lastPid}${waiting}`;
}
