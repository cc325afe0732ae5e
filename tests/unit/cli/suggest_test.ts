import { assertEquals } from "@std/assert";
import { edits, hint, nearest } from "../../../lib/cli/suggest.ts";

Deno.test("suggest: edits are insertions, deletions, replacements and swaps", () => {
  const counts: [string, string, number][] = [
    ["", "", 0],
    ["read", "read", 0],
    ["raed", "read", 1],
    ["red", "read", 1],
    ["reads", "read", 1],
    ["road", "read", 1],
    ["", "read", 4],
    ["server", "logger", 4],
  ];
  for (const [from, to, count] of counts) {
    assertEquals(edits(from, to), count, `${from} ${to}`);
    assertEquals(edits(to, from), count, `${to} ${from}`);
  }
});

Deno.test("suggest: the nearest word, when it is near", () => {
  const words = ["server", "config", "client", "up", "completions"];
  assertEquals(nearest("sever", words), "server");
  assertEquals(nearest("confgi", words), "config");
  assertEquals(nearest("comp", words), "completions");
  assertEquals(nearest("xx", words), undefined);
  assertEquals(nearest("memory", words), undefined);
  assertEquals(nearest("", words), undefined);
  assertEquals(hint("clinet", words), "; did you mean client?");
  assertEquals(hint("memory", words), "");
});
