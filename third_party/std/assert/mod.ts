/**
 * Stand-in for `jsr:@std/assert`: the genuine code from npm, with types of our own for the part dsm uses.
 * docs/DEPENDENCIES.md says why.
 */
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
