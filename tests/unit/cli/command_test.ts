import { assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../../lib/base/errors.ts";
import { command, kebab } from "../../../lib/cli/command.ts";

const about = "";
const run = () => 0;

Deno.test("command: what run receives is typed by the declaration", () => {
  const declared = command({
    name: "x",
    about,
    args: { port: { kind: "port", about, default: 1 }, file: { kind: "string", about, optional: true } },
    rest: { name: "words", about },
    options: {
      size: { kind: "size", about },
      mode: { kind: "string", about, choices: ["a", "b"], default: "a" },
      quiet: { kind: "boolean", about },
      locks: { kind: "key", about, many: true },
    },
    run(args, options, shared) {
      const port: number = args.port;
      const words: readonly string[] = args.words;
      const mode: "a" | "b" = options.mode;
      const quiet: boolean = options.quiet;
      const locks: readonly number[] = options.locks;
      // @ts-expect-error: an optional argument may be undefined
      const file: string = args.file;
      // @ts-expect-error: nobody declared it
      const unknown = options.unknown;
      return [port, words, mode, quiet, locks, file, unknown, options.size.toFixed(), shared.config.host].length;
    },
  });
  assertEquals(declared.subcommands, []);
});

Deno.test("command: a declaration that contradicts itself is refused", () => {
  const contradictions = [
    () => command({ name: "x", about }),
    () => command({ name: "x", about, run, options: { json: { kind: "boolean", about } } }),
    () => command({ name: "x", about, run, options: { version: { kind: "string", about } } }),
    () => command({ name: "x", about, run, args: { files: { kind: "string", about, many: true } } }),
    () => command({ name: "x", about, run, options: { quiet: { kind: "boolean", about, many: true } } }),
    () => command({ name: "x", about, run, options: { key: { kind: "key", about, many: true, default: 1 } } }),
    () => command({ name: "x", about, run, options: { head: { kind: "boolean", about, short: "h" } } }),
    () =>
      command({
        name: "x",
        about,
        run,
        args: { first: { kind: "string", about, optional: true }, second: { kind: "string", about } },
      }),
  ];
  for (const contradiction of contradictions) assertThrows(contradiction, InvariantError);
});

Deno.test("command: names are typed in kebab-case", () => {
  assertEquals(["size", "blockSize", "block-size"].map(kebab), ["size", "block-size", "block-size"]);
});
