/**
 * Stand-in for `jsr:@std/cli/unicode-width`, with code of our own: the copy on npm lacks its data file, and the packages that
 * could take its place cost more at start than the whole command line. docs/DEPENDENCIES.md says more.
 */

/** Marks that join the character before them, and what takes no room at all. */
const ZERO = /[\p{Mn}\p{Me}\p{Cc}\p{Cf}]/u;

/** Scripts whose characters fill two columns, fullwidth forms, and emoji that are drawn as pictures. */
const WIDE =
  /(?![\uff61-\uffdc])[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}]|[\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** How many columns `str` takes at a terminal. */
export function unicodeWidth(str: string): number {
  if (/^[ -~]*$/.test(str)) return str.length;
  let columns = 0;
  for (const character of str) columns += ZERO.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}
