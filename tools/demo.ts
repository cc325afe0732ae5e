/**
 * The demonstration behind `deno task demo`: a cluster, bytes across its servers, a checkpoint, a server killed and back
 * again, bytes overwritten and restored.
 *
 * Every step is a real command line of the real program, printed before it runs with what it is. Ports are of the
 * kernel's choice, so it disturbs nothing and runs anywhere; it ends by itself and leaves nothing.
 */
import { styleFor } from "../lib/cli/style.ts";
import { Child } from "../lib/launch/child.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const RUN = ["run", "--quiet", "-A", MAIN];
const style = styleFor(Deno.stdout);
const MESSAGE = "one memory, three servers";

function show(who: string, commandLine: string): void {
  console.log(`\n${style.dim(who.padEnd(9))} ${style.bold(`$ ${commandLine}`)}`);
}

function tell(text: string): void {
  if (text === "") return;
  for (const line of text.trimEnd().split("\n")) console.log(`${" ".repeat(12)}${line}`);
}

/** Where the cluster is. */
interface Place {
  readonly config: string;
  readonly registry: string;
}

async function dsm({ config, registry }: Place, ...args: string[]): Promise<string> {
  show("client", `dsm ${args.map((arg) => /\s/.test(arg) ? JSON.stringify(arg) : arg).join(" ")}`);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...RUN, ...args],
    env: { DSM_CONFIG: config, DSM_REGISTRY: registry },
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  tell(text + new TextDecoder().decode(stderr));
  if (code !== 0) throw new Error(`dsm ${args.join(" ")}: exit status ${code}`);
  return text.trimEnd();
}

function start(who: string, args: string[], onLine: (line: string) => void): Child {
  show(who, `dsm ${args.join(" ")}`);
  return new Child({ name: who, command: Deno.execPath(), args: [...RUN, ...args], onLine });
}

async function tellReady(child: Child, role: string): Promise<string> {
  const { endpoint, fields } = await child.ready;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  tell(["ready", role, endpoint, ...pairs].join(" "));
  return endpoint;
}

function require(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`the demonstration failed: ${what}`);
}

async function run(children: Child[], directory: string): Promise<void> {
  const restart = Promise.withResolvers<string>();
  const anywhere = ["--port", "0", "--base-port", "0", "--size", "1MiB", "--dir", directory];
  const up = start("cluster", ["up", "--local", "3", ...anywhere], (line) => {
    const found = /start it again: dsm (.*)/.exec(line);
    if (found) restart.resolve(found[1] as string);
  });
  children.push(up);
  const place = { config: await tellReady(up, "up"), registry: (await up.ready).fields["registry"] ?? "" };

  const start0 = 2 * 1024 * 1024 - 10;
  const range = [String(start0), String(start0 + MESSAGE.length)];
  await dsm(place, "client", "write", String(start0), MESSAGE);
  require(await dsm(place, "client", "read", ...range) === MESSAGE, "what was written is not what was read");
  console.log(style.dim("\n          ten of those bytes lie on the second server, the rest on the third:"));
  const rows = JSON.parse(await dsmQuiet(place, "status", "--json")) as { server: string; pid: number }[];
  await dsm(place, "status");
  await dsm(place, "checkpoint", "take");

  const victim = rows[1] as { server: string; pid: number };
  show("shell", `kill -9 ${victim.pid}     # ${victim.server}`);
  Deno.kill(victim.pid, "SIGKILL");
  const commandLine = await restart.promise;
  const server = start("server", commandLine.split(" "), () => {});
  children.push(server);
  await tellReady(server, "server");
  require((await server.ready).fields.start === "taken-over", "the server did not take its region over");
  require(await dsm(place, "client", "read", ...range, "--no-attach") === MESSAGE, "bytes were lost with the server");

  console.log(
    `\n          ${style.green("the server was killed, and no byte was lost.")} Now somebody overwrites them:`,
  );

  await dsm(place, "client", "fill", ...range, "0");
  await dsm(place, "checkpoint", "restore", "latest", "--dir", directory, "--yes");
  require(await dsm(place, "client", "read", ...range) === MESSAGE, "the checkpoint did not bring the bytes back");
  console.log(`\n${style.green("the checkpoint has brought them back.")} Stopping everything in order…`);
}

async function dsmQuiet({ config }: Place, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: [...RUN, ...args], env: { DSM_CONFIG: config } })
    .output();
  return new TextDecoder().decode(stdout);
}

const children: Child[] = [];
const directory = await Deno.makeTempDir({ prefix: "dsm-demo-" });
try {
  await run(children, directory);
} finally {
  for (const child of children.reverse()) await child.stop();
  await Deno.remove(directory, { recursive: true });
}
console.log(
  `nothing is left: see ipcs -m. Next: ${style.bold("deno task up")}, or ./dsm after ${
    style.bold("deno task compile")
  }`,
);
