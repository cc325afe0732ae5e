/** lib/config/space.ts against a model that knows, for every byte of the space, where it lies. */
import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { SystemError } from "../../../lib/base/errors.ts";
import type { Random } from "../../../lib/base/random.ts";
import { placeName, Space } from "../../../lib/config/space.ts";
import type { Place } from "../../../lib/config/space.ts";
import { encodeFrame } from "../../../lib/wire/frame.ts";
import { HEADER_SIZE_MAX } from "../../../lib/wire/messages.ts";
import { seededTest } from "../../support/seeded.ts";

function place(port: number, size: number): Omit<Place, "base"> {
  return { host: "127.0.0.1", port, size, blockSize: 1, isAlive: size > 0, reason: size > 0 ? "" : "silent" };
}

function spaceOf(...sizes: number[]): Space {
  return new Space(1, sizes.map((size, i) => place(9734 + i, size)));
}

function randomSizes(random: Random): number[] {
  return Array.from({ length: random.between(1, 12) }, () => random.between(1, 20));
}

seededTest("space: pieces cover a range byte for byte as the model has it", (random) => {
  for (let round = 0; round < 300; round++) {
    const sizes = randomSizes(random);
    const space = spaceOf(...sizes);
    const model = sizes.flatMap((size, server) => Array.from({ length: size }, (_, offset) => ({ server, offset })));
    assertEquals(space.size, model.length);
    const start = random.below(model.length);
    const size = random.below(model.length - start + 1);
    const pieces = space.pieces(start, size, "read");
    const bytes = pieces.flatMap((piece) =>
      Array.from({ length: piece.size }, (_, i) => ({ server: piece.server, offset: piece.offset + i }))
    );
    assertEquals(bytes, model.slice(start, start + size));
    let at = 0;
    for (const piece of pieces) {
      assertEquals(piece.at, at);
      assert(piece.size > 0);
      at += piece.size;
    }
    assertEquals(new Set(pieces.map((piece) => piece.server)).size, pieces.length, "one piece a server");
    assertEquals(space.serverAt(start), model[start]?.server);
  }
});

seededTest("space: behind a server of unknown size nothing has an address", (random) => {
  for (let round = 0; round < 100; round++) {
    const sizes = randomSizes(random);
    const unknown = random.below(sizes.length);
    const space = spaceOf(...sizes.with(unknown, 0));
    const size = sizes.slice(0, unknown).reduce((sum, each) => sum + each, 0);
    assertEquals(space.size, size);
    assertEquals(space.unknown.map((each) => each.port), [9734 + unknown]);
    assertEquals(space.pieces(0, size, "read").length, unknown);
    for (let address = 0; address < size; address++) {
      const found = space.places[space.serverAt(address)] as Place;
      assert(found.base <= address && address < found.base + found.size);
    }
    const error = assertThrows(() => space.pieces(size, 1, "write"), SystemError, `127.0.0.1:${9734 + unknown}`);
    assertInstanceOf(error, SystemError);
    assertEquals([error.call, error.code], ["write", "EINVAL"]);
  }
});

Deno.test("space: what is not a range of it is refused", () => {
  const space = spaceOf(10, 20);
  for (
    const [address, size] of [
      [-1, 1],
      [0, -1],
      [0, 31],
      [30, 1],
      [31, 0],
      [0.5, 1],
      [0, 1.5],
      [NaN, 1],
      [0, NaN],
      [2 ** 53, 1],
      [Infinity, 1],
      [1, 2 ** 53 - 1],
    ] as const
  ) assertThrows(() => space.pieces(address, size, "read"), SystemError, "30 bytes", `${address} ${size}`);
  assertEquals(space.pieces(30, 0, "read"), []);
  assertEquals(space.pieces(0, 30, "read").length, 2);
});

Deno.test("space: an empty one holds nothing", () => {
  const space = new Space(0, []);
  assertEquals(space.size, 0);
  assertEquals(space.pieces(0, 0, "read"), []);
  assertThrows(() => space.pieces(0, 1, "read"), SystemError);
});

seededTest("space: its rows make the same space again", (random) => {
  const sizes = [...randomSizes(random), 0, 5];
  const space = spaceOf(...sizes);
  assertEquals(Space.fromRows(1, space.toRows()), space);
});

Deno.test("space: addresses beyond 4 GiB", () => {
  const space = spaceOf(2 ** 40, 2 ** 40);
  assertEquals(space.pieces(2 ** 40 - 1, 2, "read"), [
    { server: 0, offset: 2 ** 40 - 1, size: 1, at: 0 },
    { server: 1, offset: 0, size: 1, at: 1 },
  ]);
  assertEquals(space.serverAt(2 ** 41 - 1), 1);
});

Deno.test("space: a server's name has brackets where its address has colons", () => {
  assertEquals(placeName({ host: "::1", port: 1 }), "[::1]:1");
  assertEquals(placeName({ host: "a.b", port: 1 }), "a.b:1");
});

Deno.test("space: a layout reply of 400 servers that cannot be reached fits a frame", () => {
  const reason =
    "127.0.0.1:65535 cannot be reached: Connection refused (os error 111); see whether it runs (dsm status)";
  const space = new Space(1, Array.from({ length: 400 }, (_, i) => ({ ...place(i, 0), host: "10.10.10.10", reason })));
  const frame = encodeFrame("layoutReply", { id: 1, incarnation: 0, epoch: 0 }, {
    revision: 1,
    servers: space.toRows(),
  });
  assert(frame.length <= HEADER_SIZE_MAX, `${frame.length} bytes`);
});
