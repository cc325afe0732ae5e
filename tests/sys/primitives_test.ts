/** lib/sys: shared memory, semaphores, sockets, epoll and eventfd, as the kernel has them. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { Epoll, Eventfd, HUNG_UP, READABLE, WRITABLE } from "../../lib/sys/epoll.ts";
import { availableMemory, isAlive, ownPid, semaphoreOperationsMax, sharedMemoryMax } from "../../lib/sys/host.ts";
import { isFfiAvailable } from "../../lib/sys/libc.ts";
import {
  createSet,
  findSet,
  IPC_NOWAIT,
  Operations,
  removeSet,
  SEM_UNDO,
  semaphoreState,
  semaphoreValues,
  semop,
  semopBlocking,
  semopInBackground,
  setSize,
} from "../../lib/sys/semaphores.ts";
import {
  createSegment,
  findSegment,
  IPC_PRIVATE,
  removeSegment,
  segmentStatus,
  SharedMemory,
  SHM_DEST,
} from "../../lib/sys/shared_memory.ts";
import {
  accept,
  AGAIN,
  BROKEN,
  closeFd,
  listen,
  localAddress,
  numericHost,
  receive,
  send,
  sendFromMemory,
} from "../../lib/sys/sockets.ts";
import { RegionChild } from "../support/region_child.ts";
import { Keys } from "../support/processes.ts";
import { until } from "../support/until.ts";

assert(isFfiAvailable());

// ---- shared memory

Deno.test("shared memory: made, found, mapped twice, marked, gone", () => {
  using keys = new Keys();
  assertEquals(findSegment(keys.shm), undefined);
  const id = createSegment(keys.shm, 10_000, 0o640) as number;
  assertEquals(createSegment(keys.shm, 10_000, 0o640), undefined);
  assertEquals(findSegment(keys.shm), id);
  const status = segmentStatus(id);
  assertEquals(
    [status.key, status.size, status.mode & 0o777, status.uid, status.creatorPid, status.attachCount],
    [keys.shm, 10_000, 0o640, Deno.uid(), Deno.pid, 0],
  );
  using a = SharedMemory.attach(id);
  using b = SharedMemory.attach(id);
  assertEquals([a.bytes.length, segmentStatus(id).attachCount], [10_000, 2]);
  assert(a.bytes.every((byte) => byte === 0));
  a.bytes[9_999] = 42;
  assertEquals(b.bytes[9_999], 42);
  assertEquals(b.addressAt(5) - b.addressAt(0), 5n);
  assert(removeSegment(id));
  assertEquals([findSegment(keys.shm), segmentStatus(id).mode & SHM_DEST], [undefined, SHM_DEST]);
  assertEquals(b.bytes[9_999], 42);
  a.detach();
  a.detach();
  b.detach();
  assertThrows(() => segmentStatus(id), SystemError);
  assertEquals(removeSegment(id), false);
});

Deno.test("shared memory: what cannot be is a SystemError with its errno", () => {
  const error = assertThrows(() => createSegment(IPC_PRIVATE, 2 ** 63, 0o600), SystemError);
  assertInstanceOf(error, SystemError);
  assertEquals(error.call, "shmget");
  assert(["EINVAL", "ENOMEM", "ENOSPC"].includes(error.code), error.code);
  const gone = createSegment(IPC_PRIVATE, 4096, 0o600) as number;
  removeSegment(gone);
  assertEquals((assertThrows(() => SharedMemory.attach(gone), SystemError) as SystemError).code, "EINVAL");
});

Deno.test("shared memory: a read-only mapping reads what another writes", () => {
  const id = createSegment(IPC_PRIVATE, 4096, 0o600) as number;
  try {
    using writer = SharedMemory.attach(id);
    using reader = SharedMemory.attach(id, "r");
    writer.bytes[1] = 5;
    assertEquals(reader.bytes[1], 5);
  } finally {
    removeSegment(id);
  }
});

Deno.test("shared memory: keys from 0 to 2^32 - 1 and their negative twins are the same", () => {
  const key = 0x8000_0000 + (crypto.getRandomValues(new Uint32Array(1))[0] as number) % 0x7fff_ffff;
  const id = createSegment(key, 4096, 0o600) as number;
  try {
    assertEquals([findSegment(key), findSegment(key | 0)], [id, id]);
  } finally {
    removeSegment(id);
  }
});

// ---- semaphores

/** A private set, gone at the end. */
class TestSet implements Disposable {
  readonly id: number;
  constructor(readonly count: number) {
    this.id = createSet(IPC_PRIVATE, count, 0o600) as number;
  }
  values(): number[] {
    return [...semaphoreValues(this.id, this.count) ?? []];
  }
  [Symbol.dispose](): void {
    removeSet(this.id);
  }
}

function operations(...list: [index: number, change: number, flags: number][]): Operations {
  const made = new Operations();
  for (const each of list) made.add(...each);
  return made;
}

Deno.test("semaphores: made with ones, found, sized, removed", () => {
  using keys = new Keys();
  assertEquals(findSet(keys.sem), undefined);
  const id = createSet(keys.sem, 3, 0o600) as number;
  assertEquals([createSet(keys.sem, 3, 0o600), findSet(keys.sem), setSize(id)], [undefined, id, 3]);
  assertEquals([...semaphoreValues(id, 3) ?? []], [1, 1, 1]);
  assert(removeSet(id));
  assertEquals(
    [removeSet(id), setSize(id), semaphoreValues(id, 3), semaphoreState(id, 0)],
    [false, undefined, undefined, undefined],
  );
  assertThrows(() => createSet(IPC_PRIVATE, 1_000_000, 0o600), SystemError);
});

Deno.test("semaphores: a list is carried out as a whole or not at all", () => {
  using set = new TestSet(3);
  const flags = IPC_NOWAIT | SEM_UNDO;
  assertStrictEquals(semop(set.id, operations([1, -1, flags])), "done");
  assertStrictEquals(semop(set.id, operations([0, -1, flags], [1, -1, flags], [2, -1, flags])), "again");
  assertEquals(set.values(), [1, 0, 1]);
  assertStrictEquals(semopBlocking(set.id, operations([0, -1, SEM_UNDO], [1, -1, SEM_UNDO]), 20), "again");
  assertEquals(set.values(), [1, 0, 1]);
  assertEquals(semaphoreState(set.id, 1), { value: 0, lastPid: ownPid(), waiterCount: 0 });
  assertStrictEquals(semop(set.id, operations([1, 1, flags])), "done");
  removeSet(set.id);
  assertStrictEquals(semop(set.id, operations([1, -1, flags])), "gone");
  assertStrictEquals(semopBlocking(set.id, operations([1, -1, SEM_UNDO]), 20), "gone");
});

Deno.test("semaphores: five hundred in one call", () => {
  using set = new TestSet(500);
  const all = Array.from({ length: 500 }, (_, i): [number, number, number] => [i, -1, IPC_NOWAIT]);
  assertStrictEquals(semop(set.id, operations(...all)), "done");
  assert(set.values().every((value) => value === 0));
});

Deno.test("semaphores: a wait in the background leaves the event loop turning, and ends when it may", async () => {
  using set = new TestSet(2);
  semop(set.id, operations([0, -1, 0]));
  const list = operations([0, -1, SEM_UNDO], [1, -1, SEM_UNDO]);
  const waiting = semopInBackground(set.id, list, 10_000);
  list.clear(); // the wait has a copy
  await until("it waits", () => semaphoreState(set.id, 0)?.waiterCount === 1);
  assertEquals(set.values(), [0, 1], "it holds nothing while it waits");
  semop(set.id, operations([0, 1, 0]));
  assertEquals([await waiting, set.values()], [true, [0, 0]]);
  assertEquals(await semopInBackground(set.id, operations([0, -1, SEM_UNDO]), 30), false);
  const doomed = semopInBackground(set.id, operations([0, -1, SEM_UNDO]), 10_000);
  await until("it waits", () => semaphoreState(set.id, 0)?.waiterCount === 1);
  removeSet(set.id);
  assertEquals(await doomed, false);
});

Deno.test("semaphores: what a killed process took with SEM_UNDO comes back", async () => {
  using set = new TestSet(4);
  await using child = RegionChild.spawn("take", `${set.id}`, "2");
  await child.program.saysOut(/^at work$/m);
  assertEquals(set.values(), [1, 1, 0, 1]);
  assertEquals(semaphoreState(set.id, 2)?.lastPid, child.program.pid);
  await child.kill();
  await until("it is back", () => semaphoreState(set.id, 2)?.value === 1);
});

// ---- sockets

for (const host of ["127.0.0.1", "::1"]) {
  Deno.test(`sockets: ${host}: listen, accept, receive, send, the end, a break`, async () => {
    const listener = listen(host, 0);
    try {
      const address = localAddress(listener);
      assertEquals(address.host, host);
      assert(address.port > 0);
      assertEquals(accept(listener, 10_000), undefined);
      const error = assertThrows(() => listen(host, address.port), SystemError, "another process has that port");
      assertEquals((error as SystemError).code, "EADDRINUSE");

      const peer = await Deno.connect({ hostname: host, port: address.port });
      const accepted = await until("a connection", () => accept(listener, 10_000));
      const { fd } = accepted;
      const local = peer.localAddr as Deno.NetAddr;
      assertEquals(accepted.peer, { host, port: local.port });
      const into = new Uint8Array(10);
      assertEquals(receive(fd, into), AGAIN);
      await peer.write(new Uint8Array([1, 2, 3]));
      const count = await until("bytes", () => {
        const received = receive(fd, into);
        return received === AGAIN ? undefined : received;
      });
      assertEquals([count, ...into.subarray(0, 3)], [3, 1, 2, 3]);
      assertEquals(send(fd, new Uint8Array([4, 5, 6, 7]), 2), 2);
      const reply = new Uint8Array(10);
      assertEquals([await peer.read(reply), reply[1]], [2, 5]);

      const flood = new Uint8Array(1_000_000);
      await until("no room", () => send(fd, flood, flood.length) === AGAIN);
      peer.close(); // with bytes unread: that breaks the connection
      await until("broken", () => send(fd, flood, 1) === BROKEN);
      closeFd(fd);

      const polite = await Deno.connect({ hostname: host, port: address.port });
      const second = await until("a connection", () => accept(listener, 10_000));
      polite.close();
      await until("the end", () => receive(second.fd, into) === 0);
      closeFd(second.fd);
    } finally {
      closeFd(listener);
    }
  });
}

Deno.test("sockets: a head and a part of shared memory go in one call", async () => {
  const listener = listen("127.0.0.1", 0);
  const id = createSegment(IPC_PRIVATE, 8192, 0o600) as number;
  try {
    using memory = SharedMemory.attach(id);
    memory.bytes.set([9, 8, 7], 100);
    using peer = await Deno.connect({ hostname: "127.0.0.1", port: localAddress(listener).port });
    const { fd } = await until("a connection", () => accept(listener, 10_000));
    assertEquals(sendFromMemory(fd, new Uint8Array([1, 2, 3]), 2, memory, 100, 3), 5);
    const reply = new Uint8Array(10);
    assertEquals([await peer.read(reply), ...reply.subarray(0, 5)], [5, 1, 2, 9, 8, 7]);
    closeFd(fd);
  } finally {
    closeFd(listener);
    removeSegment(id);
  }
});

Deno.test("sockets: every form of IPv6 address is listened on as it is meant", () => {
  for (
    const [given, expected] of [["::1", "::1"], ["0:0:0:0:0:0:0:1", "::1"], ["::", "::"], [
      "::ffff:127.0.0.1",
      "127.0.0.1",
    ]]
  ) {
    const listener = listen(given as string, 0);
    try {
      assertEquals(localAddress(listener).host, expected);
    } finally {
      closeFd(listener);
    }
  }
});

Deno.test("sockets: what is no address is an error, not another address", () => {
  for (
    const host of [
      "127.1",
      "1.2.3",
      "256.0.0.1",
      "127.0.0.1.1",
      "",
      "::1::",
      "1:2:3",
      "::12345",
      "::g",
      "1:2:3:4:5:6:7:8:9",
    ]
  ) {
    const error = assertThrows(() => closeFd(listen(host, 0)), SystemError, undefined, host);
    assertEquals((error as SystemError).code, "EADDRNOTAVAIL", host);
  }
});

Deno.test("sockets: names become addresses", async () => {
  assertEquals(await numericHost("localhost"), "127.0.0.1");
  assertEquals([await numericHost("10.0.0.1"), await numericHost("::1")], ["10.0.0.1", "::1"]);
  await assertRejects(() => numericHost("no-such-host.invalid"), SystemError, "no such name");
});

// ---- epoll and eventfd

Deno.test("epoll: an eventfd wakes who waits, until it is cleared", () => {
  using epoll = new Epoll();
  using bell = new Eventfd();
  using twin = new Eventfd(bell.fd);
  epoll.add(bell.fd, READABLE);
  assertEquals(epoll.wait(0), 0);
  twin.signal();
  twin.signal();
  assertEquals([epoll.wait(1000), epoll.fdAt(0), epoll.eventAt(0)], [1, bell.fd, READABLE]);
  assertEquals(epoll.wait(0), 1, "level-triggered");
  bell.clear();
  bell.clear();
  assertEquals(epoll.wait(0), 0);
  epoll.modify(bell.fd, WRITABLE);
  assertEquals([epoll.wait(0), epoll.eventAt(0)], [1, WRITABLE]);
  epoll.modify(bell.fd, 0);
  bell.signal();
  assertEquals(epoll.wait(0), 0);
  epoll.remove(bell.fd);
  assertEquals((assertThrows(() => epoll.remove(bell.fd), SystemError) as SystemError).call, "epoll_ctl");
});

Deno.test("epoll: many descriptors at once, each told by its own number; a hang-up is always told", async () => {
  const listener = listen("127.0.0.1", 0);
  using epoll = new Epoll();
  const fds: number[] = [];
  try {
    epoll.add(listener, READABLE);
    const peers: Deno.TcpConn[] = [];
    for (let i = 0; i < 20; i++) {
      peers.push(await Deno.connect({ hostname: "127.0.0.1", port: localAddress(listener).port }));
      const { fd } = await until("a connection", () => accept(listener, 10_000));
      fds.push(fd);
      epoll.add(fd, READABLE);
    }
    await Promise.all(peers.filter((_, i) => i % 2 === 0).map((peer) => peer.write(new Uint8Array(1))));
    await until("all of them", () => epoll.wait(100) === 10);
    const told = Array.from({ length: epoll.wait(0) }, (_, i) => epoll.fdAt(i));
    assertEquals(told.sort((a, b) => a - b), fds.filter((_, i) => i % 2 === 0).sort((a, b) => a - b));
    for (const fd of fds) epoll.modify(fd, 0);
    for (const [i, fd] of fds.entries()) if (i > 0) epoll.remove(fd);
    send(fds[0] as number, new Uint8Array(1), 1);
    peers.forEach((peer) => peer.close()); // the first with a byte unread
    await until("the hang-up", () => epoll.wait(100) === 1 && (epoll.eventAt(0) & HUNG_UP) !== 0);
  } finally {
    for (const fd of fds) closeFd(fd);
    closeFd(listener);
  }
});

// ---- host

Deno.test("host: what it is and allows", () => {
  assertEquals([ownPid(), isAlive(Deno.pid), isAlive(0), isAlive(2 ** 30)], [Deno.pid, true, false, false]);
  assert((availableMemory() ?? 0) > 2 ** 20 && (sharedMemoryMax() ?? 0) > 2 ** 20 && semaphoreOperationsMax() >= 32);
});
