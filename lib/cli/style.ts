/** Colour at a terminal, plain text everywhere else and wherever NO_COLOR is set. */

/** The looks of a piece of text, and the codes that turn each on and off. */
const LOOKS = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const;

/** The name of a look. */
export type Look = keyof typeof LOOKS;

/** Gives text a look. */
export type Style = Readonly<Record<Look, (text: string) => string>>;

/** The style for what is written to `stream`. */
export function styleFor(stream: { isTerminal(): boolean }): Style {
  return style(stream.isTerminal() && !Deno.noColor && Deno.env.get("TERM") !== "dumb");
}

/** A style that colours, or one that leaves text alone. */
export function style(coloured: boolean): Style {
  const looks = Object.entries(LOOKS).map(([look, [on, off]]) => [
    look,
    (text: string) => coloured ? `\x1b[${on}m${text}\x1b[${off}m` : text,
  ]);
  return Object.fromEntries(looks);
}

/** `text` without the codes of any style. */
export function unstyled(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\x1b\[[\d;]*m/g, "");
}
