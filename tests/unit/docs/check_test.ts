/** What the check of the documents finds, and what it leaves alone. */
import { assertEquals } from "@std/assert";
import { anchorsIn, checkDocument } from "../../../tools/docs/check.ts";

/** Checks a document of those lines in a tree of those files. */
async function check(lines: readonly string[], files: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const root = await Deno.makeTempDir({ prefix: "dsm-docs-" });
  try {
    for (const [path, text] of Object.entries({ ...files, "docs/X.md": lines.join("\n") })) {
      await Deno.mkdir(`${root}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${root}/${path}`, text);
    }
    return await checkDocument(root, "docs/X.md", ["demo", "test"]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const CODE = {
  "lib/wire/limits.ts": "export const LIMIT = 512;\nclass Thing {\n  #hidden(): void {}\n  shown() {}\n}\n",
};

Deno.test("a document that is true has no problems", async () => {
  const lines = [
    "# A title",
    "[limits](../lib/wire/limits.ts), [up there](#a-title), [elsewhere](https://example.org/lib/none.ts).",
    "[`LIMIT = 512`](../lib/wire/limits.ts) [`Thing.shown`](../lib/wire/limits.ts) [`#hidden`](../lib/wire/limits.ts)",
    "See lib/wire, `lib/wire/limits.ts`: and run `deno task demo` or npx -y deno@2.9.6 task test.",
  ];
  assertEquals(await check(lines, CODE), []);
});

Deno.test("what is not there is named with its line", async () => {
  const lines = [
    "# A title",
    "[none](../lib/none.ts)",
    "[`LIMIT = 513`](../lib/wire/limits.ts)",
    "[`Thing.hidden`](../lib/wire/limits.ts)",
    "[no heading](#another-title)",
    "```",
    "tools/none.ts [not a link](none.md)",
    "```",
    "deno task nothing",
  ];
  assertEquals(await check(lines, CODE), [
    "docs/X.md:2: the link to ../lib/none.ts leads nowhere",
    "docs/X.md:3: ../lib/wire/limits.ts has no LIMIT = 513",
    "docs/X.md:4: ../lib/wire/limits.ts has no hidden",
    "docs/X.md:5: the link to #another-title leads to no heading",
    "docs/X.md:7: no file tools/none.ts",
    "docs/X.md:9: no task nothing in deno.json",
  ]);
});

Deno.test("anchors are those that code hosts make", () => {
  const markdown = "# One port, three dialects\n```sh\n# no heading\n```\n## `up` and_down: C's";
  assertEquals(anchorsIn(markdown), ["one-port-three-dialects", "up-and_down-cs"]);
});
