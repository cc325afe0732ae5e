/** Format 1 as it was once written: what is committed here must stay readable, by us and by others. */
import { assertEquals, assertMatch } from "@std/assert";
import { openCheckpoint } from "../../../lib/checkpoint/store.ts";
import { SpaceReader } from "../../../lib/checkpoint/space_reader.ts";
import { verify } from "../../../lib/checkpoint/verify.ts";
import { encodeManifest } from "../../../lib/checkpoint/manifest.ts";
import { have, ROOT, TempDir } from "../../support/machine.ts";

const SAMPLE = `${ROOT}tests/samples/checkpoint-1/2026-11-21T09-08-07Z-7`;

Deno.test("the sample of format 1 is sound and says what it said", async () => {
  assertEquals(await verify(SAMPLE), []);
  const { name, manifest } = await openCheckpoint(SAMPLE);
  assertEquals(name, "2026-11-21T09-08-07Z-7");
  assertEquals([manifest.incarnation, manifest.epoch, manifest.previous], [1, 7, null]);
  assertEquals(manifest.timeMs, Date.UTC(2026, 10, 21, 9, 8, 7, 654));
  assertEquals(manifest.servers.map(({ name, base, size, blockSize }) => [name, base, size, blockSize]), [
    ["10.0.0.1:9734", 0, 16384, 4096],
    ["10.0.0.2:9734", 16384, 20, 2],
  ]);
  assertEquals(await encodeManifest(manifest), await Deno.readFile(`${SAMPLE}/manifest.json`));
});

Deno.test("the sample of format 1 holds the bytes it held", async () => {
  await using space = await SpaceReader.open(await openCheckpoint(SAMPLE));
  const bytes = new Uint8Array(16404);
  await space.read(0, bytes);
  const expected = new Uint8Array(16404);
  for (let at = 0; at < 4096; at++) expected[4096 + at] = at % 251;
  expected[16383] = 0xff;
  expected.set(new TextEncoder().encode("twenty bytes of text"), 16384);
  assertEquals(bytes, expected);
});

/** What docs/CHECKPOINT.md says anybody can do. */
const READER = `
import hashlib, json, sys
data = open(sys.argv[1] + "/manifest.json", "rb").read()
at = data.rindex(b'  "checksum"')
manifest = json.loads(data)
assert manifest["checksum"] == hashlib.sha256(data[:at]).hexdigest(), "the manifest is damaged"
space = b"".join(open(sys.argv[1] + "/" + server["file"], "rb").read() for server in manifest["layout"])
print(manifest["epoch"], len(space), hashlib.sha256(space).hexdigest())
`;

Deno.test({
  name: "a reader in Python checks the manifest and finds the same bytes",
  ignore: !have("python3"),
  async fn() {
    const python = async (path: string): Promise<string> => {
      const { success, stdout, stderr } = await new Deno.Command("python3", { args: ["-c", READER, path] }).output();
      return new TextDecoder().decode(success ? stdout : stderr);
    };
    await using space = await SpaceReader.open(await openCheckpoint(SAMPLE));
    const bytes = new Uint8Array(space.size);
    await space.read(0, bytes);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    assertEquals(await python(SAMPLE), `7 16404 ${hash}\n`);

    await using dir = new TempDir();
    const text = await Deno.readTextFile(`${SAMPLE}/manifest.json`);
    await Deno.writeTextFile(dir.file("manifest.json"), text.replace('"epoch": 7', '"epoch": 8'));
    assertMatch(await python(dir.path), /the manifest is damaged/);
  },
});
