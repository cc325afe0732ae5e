/** Who is let in: the decision itself, and the options and files it is made of. */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { ConfigError, UsageError } from "../../../lib/base/errors.ts";
import { NO_CREDENTIALS } from "../../../lib/net/credentials.ts";
import { makeSecret, readCredentials } from "../../../lib/node/common/credentials.ts";
import { judge, mayGovern, NOT_LET_IN } from "../../../lib/node/common/door.ts";
import type { Caller, Dialect, DoorSettings } from "../../../lib/node/common/door.ts";
import { listeningFrom } from "../../../lib/node/common/listening.ts";
import type { ListenOptions } from "../../../lib/node/common/listening.ts";
import { NOBODY_UID } from "../../../lib/node/common/peer_uid.ts";
import { TempDir } from "../../support/machine.ts";

const SECRET = new Uint8Array(32);
const CLOSED: DoorSettings = { ownUid: 1000, isOpen: false, secret: undefined, unproved: [] };
const DIALECTS: readonly Dialect[] = ["native", "classic", "simple"];

/** In a word: who comes in, or what happens. */
function outcome(settings: Partial<DoorSettings>, caller: Caller, dialect: Dialect): string {
  const judgement = judge({ ...CLOSED, ...settings }, caller, dialect);
  return judgement.kind === "in" ? `${judgement.guest.uid} by ${judgement.guest.by}` : judgement.kind;
}

Deno.test("on this host: the kernel's word, for every dialect alike, with a secret or without", () => {
  for (const dialect of DIALECTS) {
    for (const secret of [SECRET, undefined]) {
      const of = (uid: number | undefined, isOpen: boolean): string =>
        outcome({ secret, isOpen }, { isLocal: true, uid }, dialect);
      assertEquals([of(0, false), of(1000, false), of(1001, false), of(undefined, false)], [
        "0 by kernel",
        "1000 by kernel",
        "away",
        "away",
      ]);
      assertEquals([of(1001, true), of(undefined, true)], ["1001 by kernel", `${NOBODY_UID} by nobody`]);
    }
  }
});

Deno.test("beyond it: a challenge with a secret, else away; what proves nothing only by name; an open door changes nothing", () => {
  for (const isOpen of [false, true]) {
    // what the kernel says of a port there is of no interest
    const caller = { isLocal: false, uid: 0 };
    const all = (settings: Partial<DoorSettings>): string[] =>
      DIALECTS.map((dialect) => outcome({ isOpen, ...settings }, caller, dialect));
    const nobody = `${NOBODY_UID} by nobody`;
    assertEquals(all({}), ["away", "away", "away"]);
    assertEquals(all({ secret: SECRET }), ["challenge", "away", "away"]);
    assertEquals(all({ unproved: ["classic"] }), ["away", nobody, "away"]);
    assertEquals(all({ secret: SECRET, unproved: ["simple"] }), ["challenge", "away", nobody]);
  }
});

Deno.test("who is turned away hears on this host what helps, and beyond it always the same", () => {
  const told = (caller: Caller, dialect: Dialect): string => {
    const judgement = judge(CLOSED, caller, dialect);
    return judgement.kind === "away" ? judgement.told : "";
  };
  assertMatch(told({ isLocal: true, uid: 7 }, "native"), /uid 7 is not let in, only uid 1000 and root; .*--open/);
  for (const dialect of DIALECTS) assertEquals(told({ isLocal: false, uid: undefined }, dialect), NOT_LET_IN);
});

Deno.test("who governs: root and the own user by the kernel's word, and a holder of the secret", () => {
  const governs = (uid: number, by: "kernel" | "secret" | "nobody"): boolean => mayGovern({ uid, by }, 1000);
  assertEquals([governs(0, "kernel"), governs(1000, "kernel"), governs(4711, "secret")], [true, true, true]);
  assertEquals([governs(1001, "kernel"), governs(0, "nobody"), governs(1000, "nobody")], [false, false, false]);
  assertEquals(mayGovern({ uid: NOBODY_UID, by: "kernel" }, undefined), false);
});

const OPTIONS: ListenOptions = {
  host: "127.0.0.1",
  open: false,
  allowUnauthenticated: undefined,
  tlsCert: undefined,
  tlsKey: undefined,
};

Deno.test("nobody listens beyond this host without something to ask for", () => {
  const listening = (options: Partial<ListenOptions>, secret?: Uint8Array<ArrayBuffer>): DoorSettings =>
    listeningFrom({ ...OPTIONS, ...options }, { ...NO_CREDENTIALS, secret }).door;
  assertEquals(listening({}).unproved, []);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "example.org"]) {
    assertThrows(() => listening({ host }), UsageError, "dsm secret new FILE");
    assertThrows(() => listening({ host, open: true }), UsageError, "dsm secret new FILE");
    assertEquals(listening({ host }, SECRET).secret, SECRET);
    assertEquals(listening({ host, allowUnauthenticated: "simple, classic" }).unproved, ["simple", "classic"]);
  }
  for (const allowUnauthenticated of ["native", "", "classic,", "all"]) {
    assertThrows(() => listening({ allowUnauthenticated }), UsageError, "classic and simple");
  }
  assertThrows(() => listening({ tlsCert: "x" }), UsageError, "go together");
});

Deno.test("a secret: made once, read by its owner only, long enough", async () => {
  await using dir = new TempDir();
  const file = dir.file("secret");
  makeSecret(file);
  assertEquals((Deno.statSync(file).mode ?? 0) & 0o777, 0o600);
  assertMatch(Deno.readTextFileSync(file), /^[0-9a-f]{64}\n$/);
  const { secret } = readCredentials({ secret: file });
  assertEquals(secret, new TextEncoder().encode(Deno.readTextFileSync(file).trim()));
  assertThrows(() => makeSecret(file), ConfigError, "there already");
  makeSecret(dir.file("another"));
  assertEquals(Deno.readTextFileSync(file) === Deno.readTextFileSync(dir.file("another")), false);

  for (const mode of [0o640, 0o604, 0o660, 0o610]) {
    Deno.chmodSync(file, mode);
    assertThrows(() => readCredentials({ secret: file }), ConfigError, "chmod 600");
  }
  Deno.writeTextFileSync(dir.file("short"), "x".repeat(31), { mode: 0o600 });
  assertThrows(() => readCredentials({ secret: dir.file("short") }), ConfigError, "31 bytes");
  Deno.writeTextFileSync(dir.file("large"), "x".repeat(5_000), { mode: 0o600 });
  assertThrows(() => readCredentials({ secret: dir.file("large") }), ConfigError, "5000 bytes");
  assertThrows(() => readCredentials({ secret: dir.file("none") }), ConfigError, "no such file");
  assertThrows(() => readCredentials({ tlsCa: file }), ConfigError, "no certificate in PEM");
  assertEquals(readCredentials({}).secret, undefined);
});
