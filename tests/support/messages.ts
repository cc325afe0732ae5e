/** Messages of every kind with random values, made from the table itself. */
import type { Random } from "../../lib/base/random.ts";
import { MESSAGES } from "../../lib/wire/messages.ts";
import type { Cell, FieldType, MessageName } from "../../lib/wire/messages.ts";

/** All names in the table. */
export const MESSAGE_NAMES = Object.keys(MESSAGES) as MessageName[];

const EDGES: Readonly<Record<"u8" | "u32" | "u64", readonly number[]>> = {
  u8: [0, 1, 127, 128, 255],
  u32: [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1],
  u64: [0, 255, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER],
};
const MOST = { u8: 256, u32: 2 ** 32, u64: 2 ** 53 };
const WORDS = [0n, 1n, 255n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
const TEXTS = ["", "EINVAL", "ä", "漢字 🙂", "a\0b", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256)];

function randomCell(random: Random): Cell {
  switch (random.below(4)) {
    case 0:
      return random.pick(TEXTS);
    case 1:
      return random.isOneIn(2);
    case 2:
      return -random.below(2 ** 40);
    default:
      return random.pick(EDGES.u64);
  }
}

/** A value of that type. */
export function randomField(random: Random, type: FieldType): unknown {
  switch (type) {
    case "word":
      return random.isOneIn(2) ? random.pick(WORDS) : random.longWord();
    case "bool":
      return random.isOneIn(2);
    case "text":
      return random.pick(TEXTS);
    case "bytes":
      return random.bytes(random.pick([0, 1, 16, 255, 256, 1000]));
    case "rows":
      return Array.from(
        { length: random.below(20) },
        () => Array.from({ length: random.below(8) }, () => randomCell(random)),
      );
    default:
      return random.isOneIn(2) ? random.pick(EDGES[type]) : random.below(MOST[type]);
  }
}

/** The fields of a message of that name. */
export function randomFields(random: Random, name: MessageName): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(MESSAGES[name].fields).map(([field, type]) => [field, randomField(random, type)]),
  );
}

/** Id, incarnation and epoch. */
export function randomEnvelope(random: Random): { id: number; incarnation: number; epoch: number } {
  const word = (): number => random.isOneIn(2) ? random.pick(EDGES.u32) : random.word();
  return { id: word(), incarnation: word(), epoch: word() };
}
