/**
 * Stand-in for `jsr:@std/cli/parse-args`: the genuine code from npm, with types of our own for the part dsm uses.
 * docs/DEPENDENCIES.md says why.
 */
// @ts-types="./parse_args.d.ts"
export * from "npm:deno-std@1.4.0/cli/parse_args.js";
