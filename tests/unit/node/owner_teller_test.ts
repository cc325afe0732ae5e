/** How one memory server is told whose its ranges are, by a server that the test plays. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemError } from "../../../lib/base/errors.ts";
import type { Place } from "../../../lib/config/space.ts";
import type { OwnedRange } from "../../../lib/ipc/segments/range_owners.ts";
import { NO_CREDENTIALS } from "../../../lib/net/credentials.ts";
import { OwnerTeller } from "../../../lib/node/config/owner_teller.ts";
import { MAGIC, OWNER_ROWS_MAX, TOKEN_SIZE } from "../../../lib/wire/messages.ts";
import type { Fields } from "../../../lib/wire/messages.ts";
import { concat, frame, Reader, writeAll } from "../../support/frames.ts";
import { until } from "../../support/until.ts";

type Told = Fields<"owners">;

const INFO: Fields<"regionInfoReply"> = {
  ...{ size: 8192, blockSize: 4096, guardCount: 2, startCount: 1, pid: 1, transport: "test", attachable: false },
  ...{ reason: "", shmid: 0, semid: 0, cookie: "c", suspectCount: 0, connectionCount: 0, operationCount: 0 },
  ...{ byteCount: 0, waitCount: 0, uptimeMs: 0 },
};

/** A memory server as far as it is told of owners. */
class ToldServer implements AsyncDisposable {
  readonly told: Told[] = [];
  info = INFO;
  /** How often it was asked for it. */
  askedCount = 0;
  /** Why it refuses to be told. */
  refusal: Fields<"error"> | undefined;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #streams: Deno.TcpConn[] = [];
  readonly #accepting = this.#accept();

  get port(): number {
    return this.#listener.addr.port;
  }

  async #accept(): Promise<void> {
    const talks: Promise<void>[] = [];
    for await (const stream of this.#listener) {
      this.#streams.push(stream);
      talks.push(this.#serve(stream).catch(() => {})); // cut
    }
    await Promise.all(talks);
  }

  async #serve(stream: Deno.TcpConn): Promise<void> {
    const reader = new Reader(stream);
    await reader.bytes(MAGIC.length);
    for (;;) {
      const { header } = await reader.frame();
      if (header.name === "hello") {
        const fields = { version: 1, role: "server", token: new Uint8Array(TOKEN_SIZE), resumed: false, cookie: "c" };
        await writeAll(stream, concat(MAGIC, frame("welcome", header.id, fields)));
      } else if (header.name === "regionInfo") {
        this.askedCount++;
        await writeAll(stream, frame("regionInfoReply", header.id, this.info));
      } else if (header.name === "owners") {
        this.told.push(header.fields);
        const { refusal } = this;
        await writeAll(stream, refusal ? frame("error", header.id, refusal) : frame("done", header.id, {}));
      }
    }
  }

  /** Cuts all connections. */
  cut(): void {
    for (const stream of this.#streams.splice(0)) stream.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    await this.#accepting;
  }
}

function rangeOf(id: number): OwnedRange {
  return { base: 8192 + id, size: 1, uid: id, gid: 0, cuid: 0, cgid: 0, mode: 0o600 };
}

/** A teller to that server, of a table that has the segments `ids`; the server's region begins at address 8192. */
function tellerTo(server: ToldServer, ids: number[], log: string[] = []): OwnerTeller {
  const place: Place = {
    ...{ host: "127.0.0.1", port: server.port, base: 8192, size: 8192, blockSize: 4096, isAlive: true, reason: "" },
  };
  const teller = new OwnerTeller(
    place,
    { incarnation: 0, epoch: 0 },
    NO_CREDENTIALS,
    (id) => (id === undefined ? ids : ids.filter((each) => each === id)).map(rangeOf),
    (_, text) => log.push(text),
  );
  teller.follow(place, "c");
  return teller;
}

const uidsOf = (told: readonly Told[]): unknown[] => told.flatMap(({ rows }) => rows.map(([, , uid]) => uid));

Deno.test("owner teller: all at first, in messages of bounded size; then what has changed, by the offsets of the region", async () => {
  await using server = new ToldServer();
  const ids = Array.from({ length: OWNER_ROWS_MAX + 1 }, (_, id) => id);
  const teller = tellerTo(server, ids);
  await until("it to be told all", () => server.told.at(-1)?.isLast);
  assertEquals(server.told.map(({ isLast, rows }) => [isLast, rows.length]), [[false, OWNER_ROWS_MAX], [true, 1]]);
  assertEquals(uidsOf(server.told), ids);
  server.told.length = 0;
  ids.push(900, 901, 902);
  await Promise.all([900, 901, 902].map((id) => teller.tell(id)));
  assertEquals(uidsOf(server.told).sort(), [900, 901, 902]);
  assertEquals(server.told[0]?.rows[0], [900, 1, 900, 0, 0, 0, 0o600]);
  assert(server.told.length < 3, "several changes are told at once");
  await teller.close();
});

Deno.test("owner teller: after a cut, and when the server has forgotten, it is told all again", async () => {
  await using server = new ToldServer();
  const teller = tellerTo(server, [1, 2]);
  await until("it to be told all", () => server.told.length === 1);
  server.info = { ...INFO, startCount: 2 };
  server.cut();
  await until("it to be told again", () => server.told.length === 2);
  assertEquals(server.told.map(({ startCount, rows }) => [startCount, rows.length]), [[1, 2], [2, 2]]);

  server.refusal = { code: "ESTALE", message: "forgotten" };
  const telling = teller.tell(1);
  await until("it to be refused", () => server.told.length > 2);
  server.refusal = undefined;
  await telling;
  assertEquals(server.told.at(-1)?.rows.length, 2, "whoever waits is answered when it knows all");
  await teller.close();
});

Deno.test("owner teller: a server that does not let itself be told is named once, and who waits hears it", async () => {
  await using server = new ToldServer();
  server.refusal = { code: "EPERM", message: "not you" };
  const log: string[] = [];
  const teller = tellerTo(server, [1], log);
  for (let count = 0; count < 3; count++) {
    const error = await assertRejects(() => teller.tell(1), SystemError, "not you");
    assertEquals(error.code, "EPERM");
  }
  assertEquals(log.length, 1, log.join("\n"));
  await teller.close();
});

Deno.test("owner teller: memory that the table knows nothing of is told nothing", async () => {
  await using server = new ToldServer();
  server.info = { ...INFO, cookie: "another" };
  const teller = tellerTo(server, [1]);
  const telling = teller.tell(1);
  telling.catch(() => {});
  await until("it to be asked twice", () => server.askedCount >= 2);
  assertEquals(server.told, []);
  teller.follow(teller.place, "another");
  await telling;
  assertEquals(uidsOf(server.told), [1]);
  await teller.close();
});

Deno.test("owner teller: nobody waits for a server that is away; at the end who waits is told that it was not", async () => {
  await using server = new ToldServer();
  server.info = { ...INFO, cookie: "another" };
  const teller = tellerTo(server, [1]);
  const telling = assertRejects(() => teller.tell(1), Error, "stopping");
  teller.follow({ ...teller.place, isAlive: false }, "c");
  await teller.tell(1);
  await teller.close();
  await telling;
});
