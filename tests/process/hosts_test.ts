/** A cluster over two hosts, which are network namespaces with a cable between them: with a secret, and with TLS besides. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect, IPC_SET, SystemError } from "../../mod.ts";
import { freePortPair } from "../../lib/launch/free_ports.ts";
import { makeCertificates } from "../support/certificates.ts";
import { have, TempDir, testWhere } from "../support/machine.ts";
import { HAS_NETWORK, TestNetwork } from "../support/network.ts";
import { dsm, dsmCommand, Keys, Program, ready, runCommand } from "../support/processes.ts";
import type { Ran } from "../support/processes.ts";
import { until } from "../support/until.ts";

const LACKING = "no network namespaces here";
/** The other host's ports are all its own. */
const PORT_THERE = 9734;

/** Two hosts with a server and a logger each; the config server and the global logger are here. */
class Hosts implements AsyncDisposable {
  readonly network: TestNetwork;
  readonly dir: TempDir;
  config = "";
  readonly programs: Program[] = [];
  readonly #stack = new AsyncDisposableStack();

  private constructor() {
    this.network = this.#stack.use(new TestNetwork());
    this.dir = this.#stack.use(new TempDir());
  }

  /** @param optionsFor makes, in the directory, what every role needs to listen and to dial. */
  static async start(optionsFor: (hosts: Hosts) => Promise<readonly string[]>): Promise<Hosts> {
    const hosts = new Hosts();
    try {
      await hosts.#start(await optionsFor(hosts));
      return hosts;
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(options: readonly string[]): Promise<void> {
    const { here, there } = this.network;
    const port = freePortPair(here);
    const isTls = options.includes("--tls-cert");
    const server = ["--size", "64KiB", ...isTls ? ["--transport", "deno"] : [], ...options];
    const [first, second] = [this.#stack.use(new Keys()), this.#stack.use(new Keys())];
    const firstKeys = [`${first.shm}`, `${first.sem}`];
    const secondKeys = [`${second.shm}`, `${second.sem}`];
    await Promise.all([
      this.#role(false, ["server", `${port}`, ...firstKeys, "--host", here, ...server]),
      this.#role(true, ["server", `${PORT_THERE}`, ...secondKeys, "--host", there, ...server]),
    ]);
    await Deno.writeTextFile(this.dir.file("config.txt"), `2\n${here}:${port}\n${there}:${PORT_THERE}\n`);
    const state = ["--state", this.dir.file("config.sqlite")];
    const config = [this.dir.file("config.txt"), "--host", here, "--port", "0", ...state, ...options];
    this.config = `${here}:${(await this.#role(false, ["config", ...config])).port}`;
    const master = [
      "--host",
      here,
      "--config",
      this.config,
      "--dir",
      this.dir.file("checkpoints"),
      "--period",
      "1000s",
    ];
    await Promise.all([
      this.#role(false, ["logger", "1", `${port + 1}`, ...firstKeys, ...master, ...options]),
      this.#role(true, ["logger", "0", `${PORT_THERE + 1}`, ...secondKeys, "--host", there, ...options]),
    ]);
  }

  async #role(isThere: boolean, args: readonly string[]): ReturnType<typeof ready> {
    const command = dsmCommand(...args);
    const program = new Program(isThere ? this.network.overThere(...command) : command);
    this.programs.push(this.#stack.use(program));
    return await ready(program);
  }

  /** Runs dsm on the other host. */
  overThere(...args: string[]): Promise<Ran> {
    return runCommand(this.network.overThere(...dsmCommand(...args, "--config", this.config)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

async function newSecret(file: string): Promise<string> {
  const { code, stderr } = await dsm(["secret", "new", file]);
  assertEquals(code, 0, stderr);
  return file;
}

function assertDone({ code, stderr }: Ran): void {
  assertEquals(code, 0, stderr);
}

/** Everything a cluster does, from the other host. */
async function assertWorks(hosts: Hosts, shown: readonly string[]): Promise<void> {
  await until("both servers", async () => (await hosts.overThere("status", ...shown)).code === 0);
  // over the border between the two servers
  assertDone(await hosts.overThere("client", "write", "65533", "border", "--no-attach", ...shown));
  const read = await dsm(["client", "read", "65533", "65539", "--no-attach", "--config", hosts.config, ...shown]);
  assertEquals([read.code, read.stdout], [0, "border\n"], read.stderr);
  const taken = await hosts.overThere("checkpoint", "take", ...shown);
  assertDone(taken);
  const image = await Deno.readFile(`${taken.stdout.trim()}/server-1.img`);
  assertEquals(new TextDecoder().decode(image.subarray(0, 3)), "der");
  assertDone(await hosts.overThere("client", "write", "65533", "BORDER", "--no-attach", ...shown));
  const dir = ["--dir", hosts.dir.file("checkpoints")];
  assertDone(await hosts.overThere("checkpoint", "restore", "latest", "--yes", ...dir, ...shown));
  const back = await hosts.overThere("client", "read", "65533", "65539", "--no-attach", ...shown);
  assertEquals([back.code, back.stdout], [0, "border\n"], back.stderr);
  // who is root there is nobody here
  assertDone(await hosts.overThere("ipcmk", "-M", "4KiB", ...shown));
  const { stdout } = await hosts.overThere("ipcs", "-m", "--json", ...shown);
  const [segment] = JSON.parse(stdout) as Record<string, unknown>[];
  assert(segment && Object.values(segment).some((value) => value === 65534 || value === "nobody"), stdout);
}

testWhere(HAS_NETWORK, LACKING, "two hosts and one secret: all roles and tools, and who has not got it", async () => {
  await using hosts = await Hosts.start(async ({ dir }) => ["--secret", await newSecret(dir.file("secret"))]);
  const shown = ["--secret", hosts.dir.file("secret")];
  await assertWorks(hosts, shown);

  const without = await hosts.overThere("client", "read", "0", "4");
  assertEquals(without.code, 1);
  assertMatch(without.stderr, /EACCES: not let in; .*--secret FILE or DSM_SECRET_FILE/);
  const other = await newSecret(hosts.dir.file("other"));
  const wrong = await hosts.overThere("client", "read", "0", "4", "--secret", other);
  assertEquals(wrong.code, 1);
  assertMatch(wrong.stderr, /EACCES: not let in; is its secret the one that --secret/);

  const env = { DSM_SECRET_FILE: hosts.dir.file("secret") };
  const byVariable = await dsm(["client", "read", "65533", "65539", "--no-attach", "--config", hosts.config], { env });
  assertEquals([byVariable.code, byVariable.stdout], [0, "border\n"]);
  await using space = await connect({ config: hosts.config, secret: hosts.dir.file("secret"), attach: false });
  // many records each way, on both transports
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  await space.write(1_000, bytes);
  assertEquals(await space.read(1_000, bytes.length), bytes);

  // root of another host is nobody, and yet may restore over a segment that nobody may touch
  const [segment] = await space.segments.list();
  assert(segment);
  await space.shmctl(segment.id, IPC_SET, { uid: 4_000_000, gid: 4_000_000, mode: 0 });
  await assertRejects(() => space.write(segment.range.base, new Uint8Array(1)), SystemError, "EACCES");
  const dir = ["--dir", hosts.dir.file("checkpoints")];
  assertDone(await hosts.overThere("checkpoint", "restore", "latest", "--yes", ...dir, ...shown));
  assertEquals(await space.segments.list(), []);
});

testWhere(HAS_NETWORK && have("openssl"), `${LACKING}, or no openssl`, "two hosts and TLS", async () => {
  await using hosts = await Hosts.start(async ({ dir, network }) => {
    await makeCertificates(dir, "tls", [network.here, network.there]);
    const certificate = ["--tls-cert", dir.file("tls.pem"), "--tls-key", dir.file("tls.key")];
    const secret = await newSecret(dir.file("secret"));
    return [...certificate, "--tls-ca", dir.file("tls-ca.pem"), "--secret", secret];
  });
  const secret = ["--secret", hosts.dir.file("secret")];
  await assertWorks(hosts, ["--tls-ca", hosts.dir.file("tls-ca.pem"), ...secret]);

  const plain = await hosts.overThere("client", "read", "0", "4", ...secret);
  assertEquals(plain.code, 1);
  assertMatch(plain.stderr, /speaks TLS: .*--tls-ca/);
  await makeCertificates(hosts.dir, "other", ["127.0.0.1"]);
  const other = await hosts.overThere(
    "client",
    "read",
    "0",
    "4",
    "--tls-ca",
    hosts.dir.file("other-ca.pem"),
    ...secret,
  );
  assertEquals(other.code, 1);
  assertMatch(other.stderr, /no TLS with .*--tls-cert.*--tls-ca/);
  const without = await hosts.overThere("client", "read", "0", "4", "--tls-ca", hosts.dir.file("tls-ca.pem"));
  assertEquals(without.code, 1);
  assertMatch(without.stderr, /EACCES: not let in/);
});
