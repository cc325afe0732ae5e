/** The door on this host, and what stands behind it when somebody else is at the other end of the line. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { SystemError } from "../../lib/base/errors.ts";
import { Channel } from "../../lib/net/channel.ts";
import { ENTRY_MS_MAX } from "../../lib/node/common/door.ts";
import { exchangeOf } from "../../lib/wire/proof.ts";
import { Sealer } from "../../lib/wire/seal.ts";
import { MAGIC } from "../../lib/wire/messages.ts";
import { makeCertificates } from "../support/certificates.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { freshSecret } from "../support/entry.ts";
import { concat, frame, hello, Reader } from "../support/frames.ts";
import { have, ROOT, TempDir, testWhere, works } from "../support/machine.ts";
import { HAS_NETWORK, TestNetwork } from "../support/network.ts";
import { dsm, runCommand, TestCluster, TestServer } from "../support/processes.ts";
import { RawClient } from "../support/raw.ts";
import { within } from "../support/until.ts";

const NOTHING = new Uint8Array(0);
const SMALL = ["--size", "64KiB"];
const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const CAN_BE_NOBODY = works(...AS_NOBODY, "true");
const NO_OTHER_USER = "setpriv as root";

/** Says `bytes` as another user, in a shell, because others may not be allowed to read this directory. */
async function sayAsNobody(port: number, bytes: Uint8Array): Promise<string> {
  const text = [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf '${text}' >&3; exec timeout 5 cat <&3`;
  return (await runCommand([...AS_NOBODY, "bash", "-c", script])).stdout;
}

async function operationCount(server: TestServer): Promise<number> {
  await using channel = new Channel("127.0.0.1", server.port, { incarnation: 0, epoch: 0 });
  const { header } = await channel.request("regionInfo", {}, true);
  return (header.fields as { operationCount: number }).operationCount;
}

const WRITE = frame("write", 1, { offset: 0 }, new Uint8Array([7]));
const CLASSIC_WRITE = new TextEncoder().encode("w\0\0\0\0\0\0\0\x01\x07");

for (const transport of ["epoll", "deno"]) {
  testWhere(
    CAN_BE_NOBODY,
    NO_OTHER_USER,
    `${transport}: a lying hello is not believed, and nobody's is served`,
    async () => {
      await using server = await TestServer.start([...SMALL, "--transport", transport]);
      const said = await sayAsNobody(server.port, concat(hello(NOTHING, 1, { uid: 0 }), WRITE));
      assertMatch(said, /EACCES.*uid 65534 is not let in, only root; start the server with --open/);
      assertEquals(await sayAsNobody(server.port, CLASSIC_WRITE), "");
      assertEquals(await operationCount(server), 0);
      assertMatch(server.program.stderr, /is not let in: it is uid 65534's, and the door is not open/);
    },
  );

  testWhere(CAN_BE_NOBODY, NO_OTHER_USER, `${transport}: --open lets every user of this host in`, async () => {
    await using server = await TestServer.start([...SMALL, "--transport", transport, "--open"]);
    assertMatch(await sayAsNobody(server.port, concat(hello(), WRITE)), /server/);
    assertEquals(await operationCount(server), 1);
    await sayAsNobody(server.port, concat(CLASSIC_WRITE, new TextEncoder().encode("q")));
    assertEquals(await operationCount(server), 2);
  });

  Deno.test(`${transport}: a thousand connections at once come in, each asked of the kernel`, async () => {
    await using server = await TestServer.start([...SMALL, "--transport", transport]);
    const startedMs = performance.now();
    const clients = await Promise.all(Array.from({ length: 1_000 }, () => RawClient.native(server.port)));
    const tookMs = performance.now() - startedMs;
    for (const client of clients) client[Symbol.dispose]();
    assert(tookMs < 8_000, `${tookMs} ms`);
  });

  Deno.test(`${transport}: who says DSM1 and nothing more is closed; who says nothing may speak late`, async () => {
    await using server = await TestServer.start([...SMALL, "--transport", transport]);
    using silent = await RawClient.connect(server.port);
    using begun = await RawClient.connect(server.port);
    await begun.send(MAGIC);
    assertEquals(await begun.untilClosed(3 * ENTRY_MS_MAX), 0);
    await silent.send(concat(CLASSIC_WRITE, new TextEncoder().encode("r\0\0\0\0\0\0\0\x01")));
    assertEquals(await silent.receive(1), new Uint8Array([7]));
  });
}

testWhere(CAN_BE_NOBODY, NO_OTHER_USER, "a config server greets nobody whom it would not let in", async () => {
  await using cluster = await TestCluster.start({ servers: 1 });
  assertEquals(await sayAsNobody(cluster.port, NOTHING), "");
  assertMatch(await sayAsNobody(cluster.port, hello()), /^DSM1.*EACCES/s);
});

testWhere(
  HAS_NETWORK && have("python3"),
  "no network namespaces or no python3",
  "a client in Python proves the secret",
  async () => {
    using network = new TestNetwork();
    await using dir = new TempDir();
    const secret = dir.file("secret");
    assertEquals((await dsm(["secret", "new", secret])).code, 0);
    for (const transport of ["epoll", "deno"]) {
      const options = ["--host", network.here, "--secret", secret, "--transport", transport, "--size", "1MiB"];
      await using server = await TestServer.start([...options, "--fill", "x"]);
      const script = [`${ROOT}examples/proof.py`, network.here, `${server.port}`, secret, "4094", "200000"];
      const { code, stdout, stderr } = await runCommand(network.overThere("python3", ...script));
      assertEquals([code, stderr], [0, ""]);
      assert(stdout === "x".repeat(200_000), `${stdout.length} bytes`);
    }
  },
);

// ---- who else may be at the other end

/** Someone who answers one call, on an address that is not loopback. */
async function impostor(
  network: TestNetwork,
  secret: Uint8Array<ArrayBuffer>,
  answer: (stream: Deno.TcpConn, reader: Reader) => Promise<void>,
): Promise<SystemError> {
  using listener = Deno.listen({ hostname: network.here, port: 0 });
  const answered = listener.accept().then(async (stream) => {
    await answer(stream, new Reader(stream));
    stream.close();
  });
  const credentials = { secret, uid: 0, tlsCa: undefined };
  await using channel = new Channel(network.here, listener.addr.port, { incarnation: 0, epoch: 0 }, credentials);
  const error = await assertRejects(() => within("an answer", channel.request("ping", {}, true)), SystemError);
  await answered;
  return error;
}

const WELCOME = frame("welcome", 0, {
  version: 1,
  role: "server",
  token: new Uint8Array(16),
  resumed: false,
  cookie: "",
});

testWhere(
  HAS_NETWORK,
  "no network namespaces here",
  "who does not know the secret cannot play a server",
  async (): Promise<void> => {
    using network = new TestNetwork();
    const secret = freshSecret();
    const asked = await impostor(network, secret, async (stream, reader) => {
      await reader.bytes(MAGIC.length);
      await reader.frame();
      await stream.write(concat(MAGIC, WELCOME));
      await reader.rest();
    });
    assertMatch(asked.message, /EACCES: it did not ask for a proof of the secret/);

    for (
      const sealed of [
        (challenge: Uint8Array) => new Sealer(exchangeOf(freshSecret(), hello().subarray(4), challenge).toClientKey),
        () => new Sealer(secret),
      ]
    ) {
      const { message } = await impostor(network, secret, async (stream, reader) => {
        await reader.bytes(MAGIC.length);
        await reader.frame();
        const challenge = frame("challenge", 0, { nonce: new Uint8Array(32), role: "server" });
        await stream.write(concat(MAGIC, challenge));
        await reader.frame();
        await stream.write(sealed(challenge).seal(WELCOME));
        await reader.rest();
      });
      assertMatch(message, /EACCES: it did not prove that it knows the secret/);
    }
  },
);

testWhere(
  HAS_NETWORK,
  "no network namespaces here",
  "a client sends what it wrote to a proved server only",
  async () => {
    using network = new TestNetwork();
    let came = NOTHING as Uint8Array;
    await impostor(network, freshSecret(), async (stream, reader) => {
      await reader.bytes(MAGIC.length);
      await reader.frame();
      await stream.write(concat(MAGIC, WELCOME));
      came = await reader.rest();
    });
    assertEquals(came, NOTHING);
  },
);

testWhere(
  have("openssl"),
  "no openssl",
  "TLS that is cut, changed, or spoken by nobody: nothing of it is served",
  async () => {
    await using dir = new TempDir();
    await makeCertificates(dir, "tls", ["127.0.0.1"]);
    const tls = ["--tls-cert", dir.file("tls.pem"), "--tls-key", dir.file("tls.key")];
    const epoll = await dsm(["server", "0", "0", "0", ...SMALL, ...tls]);
    assertEquals(epoll.code, 2);
    assertMatch(epoll.stderr, /TLS needs Deno's transport: add --transport deno/);

    await using server = await TestServer.start([...SMALL, "--transport", "deno", ...tls]);
    await using proxy = new CuttingProxy(server.port);
    const caCerts = [await Deno.readTextFile(dir.file("tls-ca.pem"))];
    const meddlings: Record<string, CuttingProxy["meddle"]> = {
      "nothing": undefined,
      "cut in the middle": (bytes) => ({ bytes: bytes.subarray(0, bytes.length >> 1), isCut: true }),
      "a bit changed": (bytes) => ({ bytes: bytes.map((byte, i) => i === 40 ? byte ^ 1 : byte), isCut: false }),
      "bytes before it": (bytes) => ({ bytes: concat(WRITE, bytes), isCut: false }),
    };
    for (const [name, meddle] of Object.entries(meddlings)) {
      proxy.meddle = undefined;
      const stream = await Deno.connectTls({ hostname: "127.0.0.1", port: proxy.port, caCerts });
      await stream.write(hello());
      const reader = new Reader(stream);
      await reader.bytes(MAGIC.length);
      await reader.frame();
      proxy.meddle = meddle;
      // a frame for each attempt: what is served can be seen
      await stream.write(frame("write", 1, { offset: 0 }, new Uint8Array(8_000).fill(7))).catch(() => {});
      if (meddle) {
        await within("the end", reader.rest());
        assertEquals(server.keys.withRegion((region) => region.data[0]), 0, name);
      } else {
        await reader.frame();
        assertEquals(server.keys.withRegion((region) => region.data[0]), 7);
        server.keys.withRegion((region) => region.data.fill(0));
      }
      stream.close();
    }
    using plain = await RawClient.connect(server.port);
    await plain.send(concat(hello(), WRITE));
    await plain.untilClosed();
    assertEquals(server.keys.withRegion((region) => region.data[0]), 0);
    // the two that were meddled with, and the one in the clear; of a connection that only broke nothing is said
    assertEquals(server.program.stderr.match(/WARN.*closed 127\.0\.0\.1:\d+: /g)?.length, 3, server.program.stderr);
    assertEquals(server.program.hasExited, false);
  },
);
