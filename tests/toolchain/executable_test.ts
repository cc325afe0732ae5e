/** ./dsm as a portable executable: built once here, then run in all the ways that a single file is run. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { linkNames } from "../../tools/install.ts";

const COMPILE = decodeURIComponent(new URL("../../tools/compile.ts", import.meta.url).pathname);
const SAMPLES = decodeURIComponent(new URL("../samples/checkpoint-1", import.meta.url).pathname);

/** What a command said, and how it ended. */
interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  command: string,
  args: readonly string[],
  place: Pick<Deno.CommandOptions, "cwd" | "env" | "clearEnv"> = {},
): Promise<Said> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args: [...args], stdin: "null", ...place })
    .output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

const VERSION: Said = { code: 0, stdout: `dsm ${config.version}\n`, stderr: "" };

Deno.test("executable: one file, run in every way", async (test) => {
  const folder = await Deno.makeTempDir({ prefix: "dsm's executable " });
  const dsm = `${folder}/dsm`;
  const env = { XDG_CACHE_HOME: `${folder}/cache`, TMPDIR: folder };
  try {
    const built = await run(Deno.execPath(), ["run", "-A", COMPILE, "--portable", "--output", dsm]);
    assertEquals([built.code, built.stdout], [0, `built ${dsm} as a portable executable: as asked\n`], built.stderr);

    await test.step("twenty first runs at once unpack once", async () => {
      const runs = await Promise.all(Array.from({ length: 20 }, () => run(dsm, ["--version"], { env })));
      for (const said of runs) assertEquals(said, VERSION);
      const names = [...Deno.readDirSync(`${env.XDG_CACHE_HOME}/dsm`)].map(({ name }) => name).filter((name) =>
        name !== "lock"
      );
      assertEquals(names.length, 1);
    });

    await test.step("from another directory, by a relative path, by PATH", async () => {
      assertEquals(await run(dsm, ["--version"], { env, cwd: "/" }), VERSION);
      assertEquals(await run("./dsm", ["--version"], { env, cwd: folder }), VERSION);
      const PATH = `${folder}:${Deno.env.get("PATH")}`;
      assertEquals(await run("sh", ["-c", "dsm --version"], { env: { ...env, PATH } }), VERSION);
    });

    await test.step("what it hashes with is inside it", async () => {
      const args = ["checkpoint", "verify", "--dir", SAMPLES];
      // a proxy that is not there: nothing can be fetched
      const proxy = "http://127.0.0.1:1";
      const said = await run(dsm, args, { env: { ...env, DENO_DIR: `${folder}/none`, HTTPS_PROXY: proxy } });
      assertEquals([said.code, said.stdout], [0, ""], said.stderr);
      assertMatch(said.stderr, /is sound/);
    });

    await test.step("arguments and exit status pass unchanged", async () => {
      const { code, stderr } = await run(dsm, ['it\'s a "word"  $HOME'], { env });
      assertEquals([code, stderr], [2, 'dsm: no command it\'s a "word"  $HOME (see dsm --help)\n']);
    });

    await test.step("under an older program's name it takes that role, under any other it is dsm", async () => {
      const results = await linkNames(folder, ["server", "client"]);
      assertEquals(results.map(({ linked }) => linked), [true, true]);
      assertStringIncludes((await run(`${folder}/server`, ["--help"], { env })).stdout, "Usage: dsm server");
      assertStringIncludes((await run("./client", ["--help"], { env, cwd: folder })).stdout, "Usage: dsm client");
      await Deno.symlink("dsm", `${folder}/other name`);
      assertEquals(await run(`${folder}/other name`, ["--version"], { env }), VERSION);
    });

    await test.step("without a home it unpacks elsewhere; where nothing is writable it says so", async () => {
      const bare = { PATH: Deno.env.get("PATH") ?? "", HOME: "/proc/nobody" };
      const elsewhere = { ...bare, TMPDIR: `${folder}/tmp` };
      await Deno.mkdir(elsewhere.TMPDIR);
      assertEquals(await run(dsm, ["--version"], { env: elsewhere, clearEnv: true }), VERSION);
      const { code, stderr } = await run(dsm, ["--version"], { env: { ...bare, TMPDIR: "/proc" }, clearEnv: true });
      assertEquals(code, 126);
      assertMatch(stderr, /^dsm: cannot unpack into \/proc\/nobody\/\.cache\/dsm or \/proc\/dsm-\d+: .*\n$/);
    });

    await test.step("a file cut short says so", async () => {
      const bytes = await Deno.readFile(dsm);
      const cut = `${folder}/cut`;
      await Deno.writeFile(cut, bytes.subarray(0, bytes.length - 1), { mode: 0o755 });
      const said = await run(cut, ["--version"], { env: { ...env, XDG_CACHE_HOME: `${folder}/empty` } });
      const message = `dsm: ${cut} is damaged: it has ${
        bytes.length - 1
      } bytes of ${bytes.length}; build or copy it again\n`;
      assertEquals(said, { code: 126, stdout: "", stderr: message });
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("executable: what does not run as dsm is not kept", async () => {
  const folder = await Deno.makeTempDir();
  try {
    // deno compile appends the program to whatever it is told is its base binary
    await Deno.copyFile("/bin/true", `${folder}/true`);
    const output = `${folder}/dsm`;
    const said = await run(Deno.execPath(), ["run", "-A", COMPILE, "--output", output], {
      env: { DENORT_BIN: `${folder}/true` },
    });
    assertEquals(said.code, 1);
    assertStringIncludes(said.stderr, "what was built does not run as dsm");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["true"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("install: a link is made once, and what is not our link stays", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/server`, "somebody's");
    await Deno.symlink("elsewhere", `${folder}/client`);
    const names = ["server", "client", "logger"];
    const linked = async () => (await linkNames(folder, names)).map((each) => each.linked);
    assertEquals(await linked(), [false, false, true]);
    assertEquals(await linked(), [false, false, true]);
    assertEquals(await Deno.readTextFile(`${folder}/server`), "somebody's");
    assertEquals(await Deno.readLink(`${folder}/client`), "elsewhere");
    assert((await Deno.lstat(`${folder}/logger`)).isSymlink);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
