/** "Did you mean": the known word nearest to one that is not. */

/** The largest number of edits between a word and the one that is suggested for it. */
const EDITS_MAX = 2;

/** `; did you mean X?` where a word of `words` is near `word`, else nothing. */
export function hint(word: string, words: readonly string[]): string {
  const found = nearest(word, words);
  return found === undefined ? "" : `; did you mean ${found}?`;
}

/**
 * The only word of `words` that begins with `word`, else the one that fewest edits make out of it; undefined where even
 * that takes too many.
 */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const longer = words.filter((each) => each.startsWith(word));
  if (longer.length === 1 && word !== "") return longer[0];
  // half of a short word edited is another word, not a slip
  let fewest = Math.min(EDITS_MAX, Math.ceil(word.length / 2) - 1) + 1;
  let found: string | undefined;
  for (const each of words) {
    const count = edits(word, each);
    if (count < fewest) [fewest, found] = [count, each];
  }
  return found;
}

/** How many insertions, deletions, replacements and swaps of neighbours make `to` out of `from`. */
export function edits(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current.push(Math.min(
        at(current, column - 1) + 1,
        at(last, column) + 1,
        at(last, column - 1) + (same ? 0 : 1),
        swapped ? at(beforeLast, column - 2) + 1 : Infinity,
      ));
    }
    [beforeLast, last] = [last, current];
  }
  return at(last, to.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Infinity;
}
