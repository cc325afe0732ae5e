/** The golden conversations of this folder, played against a server on every transport. README.md says how they read. */
import { assertEquals } from "@std/assert";
import { TestServer, TRANSPORTS } from "../support/memory_server.ts";

const FOLDER = new URL(".", import.meta.url);

interface Step {
  readonly line: number;
  readonly from: "client" | "server";
  /** Two hexadecimal digits a byte, `..` where any will do; `end` for the end of the stream. */
  readonly bytes: string;
}

function parseTrace(text: string): Step[] {
  const steps: Step[] = [];
  text.split("\n").forEach((line, index) => {
    const said = line.replace(/#.*$/, "").trim();
    if (said === "") return;
    const bytes = said.slice(1).replaceAll(" ", "");
    if (!/^[<>] /.test(said) || !/^(([\da-f]{2}|\.\.)*|end)$/.test(bytes)) {
      throw new Error(`line ${index + 1}: ${line}`);
    }
    steps.push({ line: index + 1, from: said.startsWith(">") ? "client" : "server", bytes });
  });
  return steps;
}

for (const { name } of [...Deno.readDirSync(FOLDER)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  if (!name.endsWith(".txt")) continue;
  for (const transport of TRANSPORTS) {
    Deno.test(`trace ${name} on ${transport}`, async () => {
      const steps = parseTrace(await Deno.readTextFile(new URL(name, FOLDER)));
      await using server = await TestServer.start(transport, { size: 65_536, blockSize: 4096 });
      using peer = await server.dial();
      for (const { line, from, bytes } of steps) {
        if (from === "client") await peer.send(Uint8Array.fromHex(bytes));
        else if (bytes === "end") await peer.isClosed();
        else {
          const came = (await peer.reader.bytes(bytes.length / 2)).toHex();
          const masked = came.replace(/../g, (byte, at) => bytes.slice(at, at + 2) === ".." ? ".." : byte);
          assertEquals(masked, bytes, `${name}:${line}`);
        }
      }
      if (steps.at(-1)?.bytes !== "end") {
        await peer.stream.closeWrite();
        await peer.isClosed();
      }
    });
  }
}
