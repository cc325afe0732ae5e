/** The registry as processes: names and their tools, leases and their ends, kill -9 of either side. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { PeerLostError, SystemError } from "../../lib/base/errors.ts";
import type { NameEvent } from "../../lib/registry/names.ts";
import { testWhere } from "../support/machine.ts";
import { HAS_NETWORK, TestNetwork } from "../support/network.ts";
import { dsm, dsmCommand, ready, runCommand, startDsm, TempDir } from "../support/processes.ts";
import { TestRegistry } from "../support/registry.ts";
import { until, within } from "../support/until.ts";

Deno.test("dsm registry: bind, query, list, watch, unbind, each with what it prints and its exit status", async () => {
  await using registry = await TestRegistry.start();
  const run = (...args: string[]) => registry.dsm("registry", ...args);
  const watching = registry.start("registry", "watch", "--since", "0");
  const unbound = await run("query", "printer");
  assertEquals([unbound.code, unbound.stdout], [1, ""]);
  assertStringIncludes(unbound.stderr, "printer is not bound; dsm registry list shows what is");
  const waited = await run("query", "printer", "--wait", "50ms");
  assertEquals([waited.code, waited.stdout], [3, ""]);

  const waiting = registry.start("registry", "query", "printer", "--wait", "20s");
  const looking = registry.client();
  await until("both to be there", async () => (await looking.info()).sessionCount >= 3);
  const bound = await run("bind", "printer", "10.0.0.7:9100");
  assertEquals([bound.code, bound.stdout, bound.stderr], [0, "1\n", ""]);
  assertEquals((await waiting.end()).code, 0);
  assertEquals(waiting.stdout, "10.0.0.7:9100\n");

  const again = await run("bind", "printer", "queue:7");
  assertEquals(again.code, 1);
  assertStringIncludes(again.stderr, "EEXIST; it is bound to 10.0.0.7:9100; replace it, or unbind it first");
  assertEquals((await run("bind", "printer", "queue:7", "--replace")).stdout, "2\n");
  assertEquals(
    (await run("bind", "42", "127.0.0.1:1", "--json")).stdout,
    `[{"name":"42","value":"127.0.0.1:1","revision":3,"leased":false}]\n`,
  );
  assertEquals((await run("query", "printer")).stdout, "queue:7\n");

  const { stdout } = await run("list");
  assertMatch(
    stdout,
    /^NAME +VALUE +REVISION +LEASED +UID +TIME\n42 +127\.0\.0\.1:1 +3 +no .*\nprinter +queue:7 +2 +no .*Z\n$/,
  );
  const [row, ...others] = JSON.parse((await run("list", "p", "--json")).stdout);
  assertEquals(others, []);
  assertEquals([row.name, row.value, row.revision, row.leased, row.uid], ["printer", "queue:7", 2, false, Deno.uid()]);
  assert(Math.abs(Date.parse(row.time) - Date.now()) < 60_000);

  assertEquals((await run("unbind", "printer")).stdout, "4\n");
  const gone = await run("unbind", "printer");
  assertEquals(gone.code, 1);
  assertStringIncludes(gone.stderr, "ENOENT");

  await watching.saysOut(/4 unbound printer queue:7\n/);
  assertEquals(
    watching.stdout,
    "1 bound printer 10.0.0.7:9100\n2 bound printer queue:7\n3 bound 42 127.0.0.1:1\n4 unbound printer queue:7\n",
  );
  assertEquals((await watching.stop()).code, 0);
  const ahead = await run("watch", "--since", "99");
  assertEquals(ahead.code, 1);
  assertStringIncludes(ahead.stderr, "the latest is 4");
  const json = registry.start("registry", "watch", "--since", "3", "--json");
  const [line = ""] = await json.saysOut(/.*\n/);
  assertEquals(JSON.parse(line)[0].kind, "unbound");
  await json.stop();

  assertEquals((await registry.program.stop()).code, 0);
});

Deno.test("dsm registry bind --lease: bound as long as it runs; killed, the name is free at once", async () => {
  await using registry = await TestRegistry.start();
  const client = registry.client();
  for (const end of ["SIGTERM", "SIGKILL"] as const) {
    const holder = registry.start("registry", "bind", "leader", "127.0.0.1:1", "--lease");
    await holder.saysOut(/^\d+\n/m);
    assertEquals((await client.query("leader"))?.isLeased, true);
    const { code, stderr } = await registry.dsm("registry", "bind", "leader", "127.0.0.1:2", "--lease");
    assertEquals(code, 1, stderr);
    holder.signal(end);
    await holder.end();
    await until("the name to be free", async () => await client.query("leader") === undefined);
  }
});

for (const transport of ["epoll", "deno"]) {
  Deno.test(`names on ${transport}: a request that waits keeps no other waiting, and can be given up`, async () => {
    await using registry = await TestRegistry.start(["--transport", transport]);
    const client = registry.client();
    const giveUp = new AbortController();
    const found = client.query("late", { waitMs: 60_000 });
    const given = client.query("never", { waitMs: 60_000, signal: giveUp.signal });
    assertEquals(await client.bind("other", "1"), 1);
    giveUp.abort(new Error("given up"));
    await assertRejects(() => given, Error, "given up");
    await client.bind("late", "2");
    assertEquals((await within("the answer", found))?.value, "2");
    assertEquals((await client.info()).transport, transport);
    assertEquals(await client.query("nothing", { waitMs: 20 }), undefined);
  });

  Deno.test(`names on ${transport}: kill -9 of the registry loses nothing, and its clients go on where they were`, async () => {
    await using registry = await TestRegistry.start(["--transport", transport]);
    const [client, other] = [registry.client(), registry.client()];
    const lease = await client.lease("mine", "127.0.0.1:1");
    const giveUp = new AbortController();
    const seen: NameEvent[] = [];
    const watching = (async () => {
      for await (const event of other.watch({ since: 0, signal: giveUp.signal })) seen.push(event);
    })();
    let revision = lease.revision;
    for (let life = 0; life < 3; life++) {
      for (let i = 0; i < 20; i++) revision = await client.bind(`n${i}`, `${life}`, { replaces: true });
      registry.program.signal("SIGKILL");
      await registry.program.end();
      await registry.restart();
    }
    assertEquals((await client.query("n7"))?.value, "2");
    assertEquals((await client.query("mine"))?.isLeased, true);
    assertEquals(lease.lost.aborted, false);
    await client.bind("last", "1");
    await until("all events", () => seen.length === revision + 1);
    assertEquals(seen.map((event) => event.revision), Array.from({ length: revision + 1 }, (_, i) => i + 1));
    giveUp.abort(new Error("done"));
    await assertRejects(() => watching, Error, "done");
    await lease.end();
    assertEquals(await other.query("mine"), undefined);
  });
}

Deno.test("names: the leases of who does not come back to a restarted registry end after the lapse", async () => {
  await using registry = await TestRegistry.start();
  const holder = registry.start("registry", "bind", "leader", "127.0.0.1:1", "--lease");
  await holder.saysOut(/^\d+\n/m);
  await registry.program.kill();
  await holder.kill();
  await registry.restart();
  const client = registry.client();
  assertEquals((await client.query("leader"))?.isLeased, true, "it may come back yet");
  await until("the lease to end", async () => await client.query("leader") === undefined, 20_000);
  await registry.program.saysErr(/1 session\(s\) did not come back/);
});

Deno.test("names: a lease that was lost says so", async () => {
  await using registry = await TestRegistry.start();
  const client = registry.client();
  const lease = await client.lease("mine", "127.0.0.1:1");
  await registry.program.kill();
  await Deno.remove(registry.dir.file("registry.sqlite"));
  await Deno.remove(registry.dir.file("registry.sqlite-wal"));
  await registry.restart();
  await until("the loss to be known", () => lease.lost.aborted);
  assert(lease.lost.reason instanceof PeerLostError);
  await lease.end(); // ends nothing: the name may be another one's
  assertEquals(await client.query("mine"), undefined);
});

Deno.test("dsm registry: a second one on its state or its port is refused, and a file that is none", async () => {
  await using registry = await TestRegistry.start();
  const state = registry.dir.file("registry.sqlite");
  const busy = await dsm(["registry", "0", "--state", state]);
  assertEquals(busy.code, 1);
  assertStringIncludes(busy.stderr, "EBUSY; another server has it; name another one with --state");
  const taken = await dsm(["registry", `${registry.port}`, "--state", registry.dir.file("other.sqlite")]);
  assertEquals(taken.code, 1);
  assertStringIncludes(taken.stderr, "EADDRINUSE");
  await Deno.writeTextFile(
    registry.dir.file("text"),
    "this is no database, and long enough to be seen as none\n".repeat(9),
  );
  for (const transport of ["epoll", "deno"]) {
    const wrong = await dsm(["registry", "0", "--transport", transport, "--state", registry.dir.file("text")]);
    assertEquals(wrong.code, 1);
    assertStringIncludes(wrong.stderr, "EIO");
  }
  const far = await dsm(["registry", "0", "--host", "0.0.0.0"]);
  assertEquals(far.code, 2);
  assertStringIncludes(far.stderr, "dsm secret new FILE makes one");
});

testWhere(
  HAS_NETWORK,
  "no network namespaces here",
  "a registry beyond this host: with the secret, from another one",
  async () => {
    using network = new TestNetwork();
    await using dir = new TempDir();
    const secret = dir.file("secret");
    assertEquals((await dsm(["secret", "new", secret])).code, 0);
    const program = startDsm(["registry", "0", "--host", network.here, "--secret", secret]);
    try {
      const address = `${network.here}:${(await ready(program)).port}`;
      const there = (...args: string[]) => runCommand(network.overThere(...dsmCommand(...args, "--registry", address)));
      assertEquals((await there("registry", "bind", "a", "1", "--secret", secret)).stdout, "1\n");
      assertEquals((await there("registry", "query", "a", "--secret", secret)).stdout, "1\n");
      assertEquals((await there("queue", "send", "7", "hello", "--create", "--secret", secret)).code, 0);
      assertEquals((await dsm(["queue", "recv", "7", "--registry", address, "--secret", secret])).stdout, "hello\n");
      const without = await there("registry", "query", "a");
      assertEquals([without.code, without.stdout], [1, ""]);
      const [row] = JSON.parse((await there("registry", "list", "--json", "--secret", secret)).stdout);
      assertEquals(row.uid, 65_534, "root there is not root here");
    } finally {
      await program[Symbol.asyncDispose]();
    }
  },
);

Deno.test("names: who asks somebody else than a registry is told so", async () => {
  await using dir = new TempDir();
  await Deno.writeTextFile(dir.file("config.txt"), "1\n127.0.0.1:1\n");
  await using config = startDsm(["config", dir.file("config.txt"), "--port", "0"]);
  const { port } = await ready(config);
  const { code, stderr } = await dsm(["registry", "list", "--registry", `127.0.0.1:${port}`]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `127.0.0.1:${port} is not a registry but a config`);
});

Deno.test("dsm up: starts a registry, dsm status tells of it, and it goes with the cluster", async () => {
  await using dir = new TempDir();
  const env = { XDG_STATE_HOME: dir.path };
  const up = startDsm(["up", "--local", "1", "--port", "0", "--base-port", "0", "--size", "64KiB", "--no-logger"], {
    env,
  });
  try {
    const { host, port, fields } = await ready(up);
    const asked = { env: { ...env, DSM_CONFIG: `${host}:${port}`, DSM_REGISTRY: fields["registry"] ?? "" } };
    assertEquals((await dsm(["registry", "bind", "a", "1"], asked)).code, 0);
    assertMatch((await dsm(["status"], asked)).stdout, /^registry 127\.0\.0\.1:\d+: 1 name\(s\), /m);
    assertEquals((await up.stop()).code, 0);
    await assertRejects(
      () => Deno.connect({ port: Number(fields["registry"]?.split(":")[1]) }),
      Deno.errors.ConnectionRefused,
    );
  } finally {
    await up[Symbol.asyncDispose]();
  }
  await using bare = startDsm([
    "up",
    "--local",
    "1",
    "--port",
    "0",
    "--base-port",
    "0",
    "--size",
    "64KiB",
    "--no-logger",
    "--no-serve-registry",
  ], { env });
  const { host, port, fields } = await ready(bare);
  assertEquals(fields["registry"], undefined);
  const none = await dsm(["status", "--config", `${host}:${port}`, "--registry", "127.0.0.1:1"]);
  assertMatch(none.stdout, /^registry 127\.0\.0\.1:1: none; dsm registry starts one$/m);
  assertEquals(none.code, 0);
});

Deno.test("names: a library's errors are System V's, and say who refused", async () => {
  await using registry = await TestRegistry.start();
  const client = registry.client();
  await client.bind("a", "1");
  const error = await assertRejects(() => client.bind("a", "2"), SystemError);
  assertEquals([error.call, error.code], ["bind", "EEXIST"]);
  await registry.program.stop();
  const lost = await assertRejects(() => client.query("a", { timeoutMs: 200 }), PeerLostError);
  assertStringIncludes(lost.message, "start one with dsm registry");
});
