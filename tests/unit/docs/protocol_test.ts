/** docs/PROTOCOL.md says what the code says. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { parseSize } from "../../../lib/base/units.ts";
import { decodeHeader, frameSizes } from "../../../lib/wire/frame.ts";
import { HEADER_SIZE_MAX, MESSAGES, PREFIX_SIZE } from "../../../lib/wire/messages.ts";
import type { MessageName, MessageShape } from "../../../lib/wire/messages.ts";
import { EXAMPLE_FRAMES, renderProtocol } from "../../../tools/docs/protocol.ts";
import { dumpFrame } from "../../../tools/docs/frames.ts";

const TEMPLATE = new URL("../../../docs/protocol.template.md", import.meta.url);

/** The bytes that a dump shows. */
function bytesOf(dump: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(dump.split("\n").map((line) => line.slice(6, 55).replaceAll(" ", "")).join(""));
}

Deno.test("every message and every field is in the tables", async () => {
  const text = await renderProtocol("@MESSAGES@\n\n@FIELDS@\n");
  const rows = text.split("\n");
  for (const [name, { kind, fields }] of Object.entries<MessageShape>(MESSAGES)) {
    assert(rows.some((row) => new RegExp(`^\\| ${kind} +\\| \`${name}\``).test(row)), `kind ${kind}, ${name}`);
    const own = rows.find((row) => row.startsWith(`| \`${name}\``)) ?? "";
    const list = Object.entries(fields).map(([field, type]) => `\`${field}\` ${type}`).join(", ");
    assertStringIncludes(own, `| ${list === "" ? "none" : list} `);
  }
});

Deno.test("a dump shows the frame's own bytes, and they decode", () => {
  for (const [example, frame] of Object.entries(EXAMPLE_FRAMES)) {
    const name = (example === "compactRead" ? "read" : example) as MessageName;
    assertEquals(bytesOf(dumpFrame(name, frame)), frame);
    const { headerSize } = frameSizes(new DataView(frame.buffer), 0);
    assertEquals(decodeHeader(frame.subarray(PREFIX_SIZE, PREFIX_SIZE + headerSize)).name, name);
  }
});

Deno.test("a limit is shown with its value, and a name that nobody knows is an error", async () => {
  const text = await renderProtocol("A header has at most @HEADER_SIZE_MAX@.\n");
  const [, shown = ""] = /at most (.*)\./.exec(text) ?? [];
  assertEquals(parseSize(shown.replace(" ", "")), HEADER_SIZE_MAX);
  await assertRejects(() => renderProtocol("@NO_SUCH_LIMIT@"), Error, "@NO_SUCH_LIMIT@");
});

Deno.test("the template leaves nothing to be filled in, and its own heading comment is gone", async () => {
  const text = await renderProtocol(await Deno.readTextFile(TEMPLATE));
  assert(text.startsWith("# The protocol\n"));
  assertEquals(text.match(/@[A-Z_]+@/g), null);
});
