/**
 * Stand-in for `jsr:@std/msgpack`: the genuine code from npm, with types of our own. docs/DEPENDENCIES.md says why.
 */
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/msgpack/mod.js";
