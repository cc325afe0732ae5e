/** How many columns a terminal needs for `str`. */
export function unicodeWidth(str: string): number;
