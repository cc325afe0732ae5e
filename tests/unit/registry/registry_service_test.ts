/** The registry's service, batch by batch: what is stored when, and what comes before what. */
import { assertEquals } from "@std/assert";
import { Inbox } from "../../../lib/net/inbox.ts";
import { Output } from "../../../lib/net/transport.ts";
import type { Link } from "../../../lib/net/transport.ts";
import { RegistryService } from "../../../lib/node/registry/registry_service.ts";
import { RegistryState } from "../../../lib/node/registry/registry_state.ts";
import { decodeHeader, frameSizes } from "../../../lib/wire/frame.ts";
import type { Header } from "../../../lib/wire/frame.ts";
import { MAGIC, PREFIX_SIZE } from "../../../lib/wire/messages.ts";
import { concat, frame, hello } from "../../support/frames.ts";
import { OpenDoor, SimLink } from "../../support/registry_simulator.ts";

/** A service on a state of its own. */
class Bench implements Disposable {
  /** For everything that was stored: how many bytes had been answered before. */
  readonly answeredBefore: number[] = [];
  service: RegistryService;
  readonly #state = RegistryState.open(":memory:");
  readonly #output = new Output();
  readonly #links: SimLink[] = [];

  constructor() {
    this.service = this.#start();
  }

  /** Killed, and started again. */
  restart(): void {
    this.service = this.#start();
  }

  #start(): RegistryService {
    const state = this.#state;
    return new RegistryService(
      {
        readNames: () => state.readNames(),
        readQueues: () => state.readQueues(),
        readEpoch: () => state.readEpoch(),
        store: (changes) => {
          this.answeredBefore.push(this.#links.reduce((sum, { toClient }) => sum + toClient.length, 0));
          state.store(changes);
        },
      },
      {
        userOf: () => ({ uid: 1000, gid: 1000, groups: [] }),
        nowMs: () => 0,
        time: () => 1,
        log: () => {},
      },
      { pid: 1, transport: "epoll" },
      new OpenDoor(),
    );
  }

  /** A connection that has said nothing yet. */
  link(): SimLink {
    const link = new SimLink(this.#output, (closed) => this.service.closed(closed));
    this.#links.push(link);
    this.service.opened(link);
    return link;
  }

  /** Has letters received together. */
  receive(...letters: readonly (readonly [SimLink, Uint8Array])[]): void {
    const inbox = new Inbox<Link>(new Uint8Array(64 * 1024));
    for (const [link, bytes] of letters) {
      inbox.bytes.set(bytes, inbox.size);
      inbox.add(link, bytes.length);
    }
    this.service.receivedTogether(inbox);
  }

  [Symbol.dispose](): void {
    this.#state.close();
  }
}

/** Takes what was answered over a link since the last look. */
function taken(link: SimLink): Header[] {
  const headers: Header[] = [];
  const bytes = link.toClient;
  link.toClient = new Uint8Array(0);
  for (let at = 0; at < bytes.length;) {
    const { headerSize, payloadSize } = frameSizes(new DataView(bytes.buffer, bytes.byteOffset), at);
    headers.push(decodeHeader(bytes.subarray(at + PREFIX_SIZE, at + PREFIX_SIZE + headerSize)));
    at += PREFIX_SIZE + headerSize + payloadSize;
  }
  return headers;
}

/** Has a link welcomed; returns its session's token. */
function greet(bench: Bench, link: SimLink, token?: Uint8Array): Uint8Array {
  bench.receive([link, hello(token)]);
  assertEquals(link.toClient.subarray(0, MAGIC.length), MAGIC);
  link.toClient = link.toClient.slice(MAGIC.length);
  const [welcome] = taken(link);
  return welcome?.name === "welcome" ? welcome.fields.token.slice() : new Uint8Array(0);
}

const bind = (id: number, name: string): Uint8Array<ArrayBuffer> =>
  frame("bind", id, { name, value: "1", isLeased: false, replaces: false });

Deno.test("service: what came together is stored once, before any of it is answered", () => {
  using bench = new Bench();
  const [a, b] = [bench.link(), bench.link()];
  greet(bench, a);
  greet(bench, b);
  assertEquals(bench.answeredBefore, [], "a session is nothing to store");
  bench.receive([a, concat(bind(1, "a"), bind(2, "b"))], [b, bind(1, "c")]);
  assertEquals(bench.answeredBefore, [0]);
  assertEquals(taken(a).map(({ name, id }) => [name, id]), [["revisionReply", 1], ["revisionReply", 2]]);
  assertEquals(taken(b).map(({ name }) => name), ["revisionReply"]);
  bench.receive([a, frame("query", 3, { name: "a", waitMs: 0 })]);
  assertEquals(bench.answeredBefore, [0], "a question is nothing to store");
});

Deno.test("service: a session that moves to another connection is welcomed there before anything else", () => {
  using bench = new Bench();
  const [old, other, fresh] = [bench.link(), bench.link(), bench.link()];
  const token = greet(bench, old);
  greet(bench, other);
  bench.receive([old, frame("query", 7, { name: "x", waitMs: 1000 })]);
  bench.receive([other, bind(1, "x")], [fresh, hello(token)]);
  assertEquals(taken(old).map(({ name }) => name), ["queryReply"], "what was answered before goes where it was asked");
  assertEquals(fresh.toClient.subarray(0, MAGIC.length), MAGIC);
  fresh.toClient = fresh.toClient.slice(MAGIC.length);
  const [welcome] = taken(fresh);
  assertEquals(welcome?.name === "welcome" && welcome.fields.resumed, true);
  assertEquals(old.isOver, true);
});

Deno.test("service: what an earlier life has answered it does not remember, until its client is known to have heard that", () => {
  using bench = new Bench();
  const token = greet(bench, bench.link());
  const isResumed = (): boolean => {
    const link = bench.link();
    bench.receive([link, hello(token)]);
    link.toClient = link.toClient.slice(MAGIC.length);
    const [welcome] = taken(link);
    assertEquals(welcome?.name === "welcome" && welcome.fields.token, token, "the session is the same");
    current = link;
    return welcome?.name === "welcome" && welcome.fields.resumed;
  };
  let current = bench.link();
  assertEquals(isResumed(), true);
  bench.receive([current, frame("bind", 1, { name: "mine", value: "1", isLeased: true, replaces: false })]);
  bench.restart();
  assertEquals(isResumed(), false);
  assertEquals(isResumed(), false, "the first welcome may have been lost");
  bench.receive([current, frame("ping", 2, {})]);
  assertEquals(isResumed(), true);
});

Deno.test("service: a frame in two parts is served when it is whole, and one that breaks the protocol takes nobody with it", () => {
  using bench = new Bench();
  const [a, b] = [bench.link(), bench.link()];
  greet(bench, a);
  const whole = bind(1, "a");
  bench.receive([a, whole.slice(0, 12)]);
  assertEquals(taken(a), []);
  const bytes = new Uint8Array(whole);
  assertEquals(bench.service.received(a, bytes, new DataView(bytes.buffer), bytes.length), bytes.length);
  assertEquals(taken(a).map(({ name }) => name), ["revisionReply"]);
  bench.receive([b, bind(1, "early")], [a, bind(2, "b")]);
  assertEquals(taken(b), [], "nothing before hello");
  assertEquals(taken(a).map(({ name }) => name), ["revisionReply"]);
});
