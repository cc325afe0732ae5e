/** What docs/ARCHITECTURE.md draws and lists of a region is what the code lays out. */
import { assertEquals, assertMatch } from "@std/assert";
import { FooterWord, regionLayout } from "../../../lib/memory/layout.ts";

const TEXT = Deno.readTextFileSync(new URL("../../../docs/ARCHITECTURE.md", import.meta.url));

Deno.test("the drawing of a region has the default region's offsets", () => {
  const layout = regionLayout(64 * 1024 * 1024, 4096);
  const drawn = [...TEXT.matchAll(/^ *([\d,]+) +[┌├└]/gm)].map(([, offset = ""]) => Number(offset.replaceAll(",", "")));
  assertEquals(drawn, [
    0,
    layout.footerOffset,
    layout.versionsOffset,
    layout.savedOffset,
    layout.holdersOffset,
    layout.totalSize,
  ]);
  assertMatch(TEXT, new RegExp(`in ${layout.blockCount.toLocaleString("en-US")} blocks of`));
});

Deno.test("the table of the footer's words has them all, each at its place", () => {
  const listed = [...TEXT.matchAll(/^\| (\d+) +\| `(\w+)`/gm)].map(([, word, name]) => [name, Number(word)]);
  assertEquals(Object.fromEntries(listed), { ...FooterWord });
});
