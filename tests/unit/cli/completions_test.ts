/** The completion scripts, bash's by asking bash. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { completionScript } from "../../../lib/cli/completions.ts";
import { makeProgram } from "./declarations.ts";

/** What bash offers for the last of `words`. */
async function offered(script: string, words: readonly string[]): Promise<string[]> {
  const asked = `${script}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_dsm
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", asked, "bash", ...words] }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  return new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "");
}

Deno.test("completions: bash offers commands, subcommands, options and choices by their place", async () => {
  const script = completionScript(makeProgram().program, "bash");
  const cases: [string[], string[]][] = [
    [["dsm", "c"], ["client", "checkpoint", "config"]],
    [["dsm", "he"], ["help"]],
    [["dsm", "client", ""].slice(0, 2).concat("r"), ["read"]],
    [["dsm", "client", "read", "--lo"], ["--log-level", "--log-format"]],
    [["dsm", "server", "9734", "--bl"], ["--block-size"]],
    [["dsm", "server", "--no"], ["--no-attach"]],
    [["dsm", "server", "--transport", ""], ["auto", "epoll", "deno"]],
    [["dsm", "--log-level", "w"], ["warn"]],
    [["dsm", "server", "--block-size", ""], []],
  ];
  for (const [words, expected] of cases) assertEquals(await offered(script, words), expected, words.join(" "));
});

Deno.test("completions: zsh and fish know every place and say what things are", () => {
  const { program } = makeProgram();
  const zsh = completionScript(program, "zsh");
  assert(zsh.startsWith("#compdef dsm\n"));
  assertStringIncludes(
    zsh,
    "'dsm client') candidates=('read:read a range' 'fill:fill a range' '--history:keep a history' ",
  );
  assertStringIncludes(zsh, "'dsm server --transport') candidates=('auto' 'epoll' 'deno') ;;");
  const fish = completionScript(program, "fish");
  assertStringIncludes(fish, `complete -c dsm -n "__dsm_at 'dsm client'" -f -a read -d 'read a range'`);
});
