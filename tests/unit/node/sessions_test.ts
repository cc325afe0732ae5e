/** lib/node: sessions, change watch, mailbox, hello, loopback. What needs no region, socket or process. */
import { assert, assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { ProtocolError } from "../../../lib/base/errors.ts";
import { isLoopback } from "../../../lib/base/loopback.ts";
import type { Region } from "../../../lib/memory/region.ts";
import type { Link } from "../../../lib/net/transport.ts";
import { ChangeWatch, isEqual } from "../../../lib/node/memory/change_watch.ts";
import { LETTERS_MAX, Mailbox } from "../../../lib/node/memory/mailbox.ts";
import { acceptHello, startsNative } from "../../../lib/node/common/native_hello.ts";
import { Sessions } from "../../../lib/node/common/sessions.ts";
import { REMEMBERED_MAX, TOKEN_SIZE } from "../../../lib/wire/messages.ts";
import { until, within } from "../../support/until.ts";

const NOTHING = new Uint8Array(0);
const linkNamed = (name: string): Link => ({ name }) as unknown as Link;

Deno.test("sessions: a token resumes the session on another link, and ends with the link it is on", () => {
  const sessions = new Sessions<bigint>();
  const [first, second, third] = ["first", "second", "third"].map(linkNamed) as [Link, Link, Link];
  const session = sessions.begin(first);
  assertEquals(session.token.length, 2 * TOKEN_SIZE);
  assertNotEquals(sessions.begin(third).token, session.token);

  const resumed = sessions.resume(session.token, second);
  assertStrictEquals(resumed?.session, session);
  assertStrictEquals(resumed.left, first);
  sessions.end(session, first); // the link it has left closes: that ends nothing
  assertStrictEquals(sessions.resume(session.token, third)?.left, second);
  sessions.end(session, third);
  assertEquals(sessions.resume(session.token, first), undefined);
  assertEquals(sessions.resume("", first), undefined);
});

Deno.test("sessions: answers are remembered, the oldest forgotten beyond the limit", () => {
  const session = new Sessions<bigint>().begin(linkNamed("one"));
  assertEquals(session.answered(1), undefined);
  for (let id = 1; id <= REMEMBERED_MAX; id++) session.remember(id, BigInt(id) * 2n);
  for (let id = 1; id <= REMEMBERED_MAX; id++) assertEquals(session.answered(id), BigInt(id) * 2n);
  session.remember(REMEMBERED_MAX + 1, 7n);
  assertEquals(session.answered(1), undefined);
  assertEquals(session.answered(2), 4n);
  assertEquals(session.answered(REMEMBERED_MAX + 1), 7n);
});

/** A region that is only bytes. */
function regionOf(bytes: Uint8Array, isReadable: () => boolean = () => true): Region {
  return {
    readOptimistic(offset: number, into: Uint8Array): boolean {
      if (!isReadable()) return false;
      into.set(bytes.subarray(offset, offset + into.length));
      return true;
    },
  } as unknown as Region;
}

type Answer = [Link, number, string];

Deno.test("change watch: who waits is answered once, when the bytes differ from what is known", () => {
  const bytes = new Uint8Array(16);
  const answers: Answer[] = [];
  const watch = new ChangeWatch(regionOf(bytes), (link, id, now) => answers.push([link, id, now.toHex()]));
  const [a, b] = [linkNamed("a"), linkNamed("b")];
  assertEquals(watch.nextMs(), Infinity);
  watch.add(a, 1, 0, new Uint8Array(4), 1e9);
  watch.add(b, 2, 4, new Uint8Array(8), 1e9);
  assertEquals(watch.size, 2);
  assert(watch.nextMs() <= 1);
  watch.compare();
  assertEquals(answers, []);
  bytes[3] = 9;
  watch.compare();
  watch.compare();
  assertEquals(answers, [[a, 1, "00000009"]]);
  bytes[11] = 1;
  watch.compare();
  assertEquals(answers.slice(1), [[b, 2, "0000000000000001"]]);
  assertEquals([watch.size, watch.nextMs()], [0, Infinity]);
});

Deno.test("change watch: when the time is up the answer is the bytes as they are, unreadable ones as they were known", () => {
  const bytes = new Uint8Array([1, 2, 3, 4]);
  let isReadable = true;
  const answers: Answer[] = [];
  const watch = new ChangeWatch(regionOf(bytes, () => isReadable), (link, id, now) => {
    answers.push([link, id, now.toHex()]);
  });
  const link = linkNamed("a");
  watch.add(link, 1, 0, new Uint8Array([1, 2, 3, 4]), 0);
  watch.compare();
  isReadable = false;
  watch.add(link, 2, 0, new Uint8Array([9, 9, 9, 9]), 1e9);
  watch.compare(); // differs, but cannot be read: no answer yet
  watch.add(link, 3, 0, new Uint8Array([8, 8, 8, 8]), 0);
  watch.compare();
  assertEquals(answers, [[link, 1, "01020304"], [link, 3, "08080808"]]);
  assertEquals(watch.size, 1);
});

Deno.test("change watch: a closed link is forgotten with all that waits on it", () => {
  const watch = new ChangeWatch(regionOf(new Uint8Array(8)), () => {});
  const [a, b] = [linkNamed("a"), linkNamed("b")];
  for (let id = 0; id < 3; id++) watch.add(a, id, 0, new Uint8Array(1), 1e9);
  watch.add(b, 9, 0, new Uint8Array(1), 1e9);
  watch.forget(a);
  assertEquals(watch.size, 1);
});

Deno.test("change watch: a link that breaks while it is answered is forgotten all the same", () => {
  const bytes = new Uint8Array(8);
  const watch: ChangeWatch = new ChangeWatch(regionOf(bytes), (link) => watch.forget(link));
  const link = linkNamed("a");
  watch.add(link, 1, 0, new Uint8Array(1), 1e9);
  watch.add(link, 2, 4, new Uint8Array(1), 1e9);
  bytes[0] = 1;
  watch.compare();
  assertEquals(watch.size, 0);
});

Deno.test("change watch: equality of bytes", () => {
  assert(isEqual(new Uint8Array([1, 2]), new Uint8Array([1, 2])));
  assert(!isEqual(new Uint8Array([1, 2]), new Uint8Array([1, 3])));
});

Deno.test("mailbox: letters come out in order, full is said, empty is undefined", () => {
  const mailbox = new Mailbox(Mailbox.memory());
  assertEquals(mailbox.take(), undefined);
  for (let round = 0; round < 3; round++) {
    for (let letter = 0; letter < LETTERS_MAX; letter++) assert(mailbox.put(letter + round));
    assertEquals(mailbox.put(1), false);
    for (let letter = 0; letter < LETTERS_MAX; letter++) {
      if (mailbox.take() !== letter + round) throw new Error(`letter ${letter} of round ${round}`);
    }
    assertEquals(mailbox.take(), undefined);
  }
});

Deno.test("mailbox: its counters may wrap", () => {
  const memory = Mailbox.memory();
  new Int32Array(memory).fill(2 ** 31 - 3, 0, 2);
  const mailbox = new Mailbox(memory);
  for (let letter = 1; letter <= 10; letter++) assert(mailbox.put(letter));
  for (let letter = 1; letter <= 10; letter++) assertEquals(mailbox.take(), letter);
  assertEquals(mailbox.take(), undefined);
});

Deno.test("mailbox: nothing is lost or doubled between two threads", async () => {
  const count = 300_000;
  const memory = Mailbox.memory();
  const source = new URL("../../../lib/node/memory/mailbox.ts", import.meta.url).href;
  const code = `import { Mailbox } from "${source}";
    self.onmessage = ({ data }) => {
      const mailbox = new Mailbox(data);
      for (let letter = 1; letter <= ${count};) if (mailbox.put(letter)) letter++;
      self.postMessage("done");
    };`;
  const url = URL.createObjectURL(new Blob([code], { type: "application/typescript" }));
  const worker = new Worker(url, { type: "module" });
  try {
    const { promise: done, resolve, reject } = Promise.withResolvers<unknown>();
    worker.onmessage = resolve;
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    worker.postMessage(memory);
    const mailbox = new Mailbox(memory);
    let expected = 1;
    await until("all letters", () => {
      for (let letter = mailbox.take(); letter !== undefined; letter = mailbox.take()) {
        if (letter !== expected++) throw new Error(`letter ${letter} instead of ${expected - 1}`);
      }
      return expected > count;
    });
    await within("the sender", done);
    assertEquals(mailbox.take(), undefined);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
});

Deno.test("hello: the version spoken here must be among those offered", () => {
  const hello = (versionMin: number, versionMax: number): number =>
    acceptHello({ versionMin, versionMax, software: "", token: NOTHING, nonce: NOTHING, uid: 0 });
  assertEquals([hello(1, 1), hello(0, 1), hello(1, 255)], [1, 1, 1]);
  for (const [least, most] of [[0, 0], [2, 2], [2, 255], [2, 1]] as const) {
    assertThrows(() => hello(least, most), ProtocolError, "versions");
  }
});

Deno.test("hello: the magic is recognised by its whole, its start may still become it", () => {
  const bytes = new TextEncoder().encode("DSM1rest");
  for (let size = 0; size < 4; size++) assertEquals(startsNative(bytes.subarray(0, size)), false);
  for (let size = 4; size <= 8; size++) assertEquals(startsNative(bytes.subarray(0, size)), true);
  for (const wrong of ["X", "dsm1", "DX", "DSX", "DSM2", "GET / HTTP/1.1"]) {
    const text = new TextEncoder().encode(wrong);
    assertThrows(() => startsNative(text), ProtocolError);
  }
});

Deno.test("loopback: only this host's own addresses are", () => {
  for (const host of ["localhost", "127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"]) {
    assert(isLoopback(host), host);
  }
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "127.0.0.1.example.org", "localhost.example.org", ""]) {
    assert(!isLoopback(host), host);
  }
});
