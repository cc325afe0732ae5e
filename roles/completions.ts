/** `dsm completions`: a script that teaches a shell dsm's commands and options. */
import { command } from "../lib/cli/command.ts";
import type { Command, Program } from "../lib/cli/command.ts";
import { completionScript, SHELLS } from "../lib/cli/completions.ts";
import { print } from "../lib/cli/output.ts";

/** The command for `program`, which is asked for late because this command is part of it. */
export function completionsOf(program: () => Program): Command {
  return command({
    name: "completions",
    about: "print a completion script for a shell",
    examples: [
      ['eval "$(dsm completions bash)"', "complete dsm's commands and options in this bash"],
      ["dsm completions fish > ~/.config/fish/completions/dsm.fish", "in every fish from now on"],
    ],
    args: { shell: { kind: "string", about: "which shell the script is for", choices: SHELLS } },
    run({ shell }) {
      print(completionScript(program(), shell));
      return 0;
    },
  });
}
