/**
 * Completion scripts for bash, zsh and fish, from the same declarations as the help.
 *
 * All three work alike: they walk the words before the cursor along the tree of commands (`dsm`, `dsm client`,
 * `dsm client read`) and offer what that place knows: subcommands, options, or the choices of the option just typed.
 */
import { type Command, isNegatable, kebab, optionsOf, type Program } from "./command.ts";

/** The shells a script can be made for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** One of {@linkcode SHELLS}. */
export type Shell = typeof SHELLS[number];

/** The completion script of `program` for `shell`. */
export function completionScript(program: Program, shell: Shell): string {
  return SCRIPTS[shell](program.name, placesOf(program));
}

const SCRIPTS: Readonly<Record<Shell, (name: string, places: readonly Place[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** A word that can be typed. */
interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** An option of a place. */
interface Flag extends Candidate {
  readonly short: string | undefined;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

/** A command, by the words that lead to it. */
interface Place {
  readonly path: string;
  readonly commands: readonly Candidate[];
  readonly flags: readonly Flag[];
}

function placesOf(program: Program): Place[] {
  const help = { word: "help", about: "show the help of a command" };
  return [
    { path: program.name, commands: [...program.commands.map(candidateOf), help], flags: flagsOf({ options: {} }) },
    ...program.commands.flatMap((each) => placesBelow(program.name, each)),
  ];
}

function placesBelow(parent: string, command: Command): Place[] {
  const path = `${parent} ${command.name}`;
  return [
    { path, commands: command.subcommands.map(candidateOf), flags: flagsOf(command) },
    ...command.subcommands.flatMap((each) => placesBelow(path, each)),
  ];
}

function candidateOf({ name, about }: Command): Candidate {
  return { word: name, about };
}

function flagsOf(command: Pick<Command, "options">): Flag[] {
  return Object.entries(optionsOf(command)).map(([name, param]) => ({
    word: isNegatable(param) ? `--no-${kebab(name)}` : `--${kebab(name)}`,
    about: param.about,
    short: param.short,
    takesValue: param.kind !== "boolean",
    choices: param.choices ?? [],
  }));
}

/** Text as one word of the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The pattern of a `case` that knows every command, so that a walk along the words stops at none that is a value. */
function pathPattern(places: readonly Place[]): string {
  return places.map(({ path }) => quoted(path)).join("|");
}

function bashScript(name: string, places: readonly Place[]): string {
  const values = places.flatMap(({ path, flags }) =>
    flags.filter(({ takesValue }) => takesValue).map(({ word, choices }) =>
      `    ${quoted(`${path} ${word}`)}) words=${quoted(choices.join(" "))} ;;`
    )
  );
  const words = places.map(({ path, commands, flags }) =>
    `      ${quoted(path)}) words=${quoted([...commands, ...flags].map(({ word }) => word).join(" "))} ;;`
  );
  return `# bash completion of ${name}: eval "$(${name} completions bash)"
_${name}() {
  local place=${name} words='' index
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$place \${COMP_WORDS[index]}" in
      ${pathPattern(places)}) place="$place \${COMP_WORDS[index]}" ;;
    esac
  done
  case "$place \${COMP_WORDS[COMP_CWORD - 1]}" in
${values.join("\n")}
    *) case "$place" in
${words.join("\n")}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${name} ${name}`;
}

function zshScript(name: string, places: readonly Place[]): string {
  const described = ({ word, about }: Candidate) => quoted(`${word}:${about.replaceAll(":", "\\:")}`);
  const values = places.flatMap(({ path, flags }) =>
    flags.filter(({ takesValue }) => takesValue).map(({ word, choices }) =>
      `    ${quoted(`${path} ${word}`)}) candidates=(${choices.map(quoted).join(" ")}) ;;`
    )
  );
  const words = places.map(({ path, commands, flags }) =>
    `      ${quoted(path)}) candidates=(${[...commands, ...flags].map(described).join(" ")}) ;;`
  );
  return `#compdef ${name}
# zsh completion of ${name}: ${name} completions zsh > "\${fpath[1]}/_${name}"
_${name}() {
  local place=${name} index
  local -a candidates
  for ((index = 2; index < CURRENT; index++)); do
    case "$place $words[index]" in
      ${pathPattern(places)}) place="$place $words[index]" ;;
    esac
  done
  case "$place $words[CURRENT-1]" in
${values.join("\n")}
    *) case "$place" in
${words.join("\n")}
    esac ;;
  esac
  _describe ${name} candidates || _files
}
if [ "$funcstack[1]" = _${name} ]; then _${name} "$@"; else compdef _${name} ${name}; fi`;
}

function fishScript(name: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, flags }) => {
    const here = `complete -c ${name} -n "__${name}_at ${fishQuoted(path)}"`;
    return [
      ...commands.map(({ word, about }) => `${here} -f -a ${word} -d ${fishQuoted(about)}`),
      ...flags.map(({ word, about, short, takesValue, choices }) => {
        const letter = short === undefined ? "" : ` -s ${short}`;
        const value = choices.length > 0 ? ` -x -a ${fishQuoted(choices.join(" "))}` : takesValue ? " -r" : "";
        return `${here} -l ${word.slice("--".length)}${letter}${value} -d ${fishQuoted(about)}`;
      }),
    ];
  });
  return `# fish completion of ${name}: ${name} completions fish > ~/.config/fish/completions/${name}.fish
function __${name}_at
    set -l place ${name}
    for word in (commandline -opc)[2..-1]
        if contains -- "$place $word" ${places.map(({ path }) => fishQuoted(path)).join(" ")}
            set place "$place $word"
        end
    end
    test "$place" = "$argv[1]"
end
${lines.join("\n")}`;
}

/** Text as one word of fish, which escapes within single quotes. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
