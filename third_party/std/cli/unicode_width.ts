/**
 * Stand-in for `jsr:@std/cli/unicode-width`: the genuine code from npm, with types of our own. docs/DEPENDENCIES.md
 * says why.
 */
// @ts-types="./unicode_width.d.ts"
export * from "npm:deno-std@1.4.0/cli/unicode_width.js";
