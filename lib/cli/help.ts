/** The help texts: examples first, then the usage line, then everything that can be given. */
import {
  type Command,
  type Example,
  isNegatable,
  kebab,
  mayBeOmitted,
  type Param,
  type Params,
  type Program,
} from "./command.ts";
import { HELP_AND_VERSION, SHARED } from "./shared.ts";
import { formatValue, placeholder } from "./values.ts";

type Row = readonly [left: string, right: string];

/** The help of the whole program. */
export function programHelp(program: Program): string {
  const commands = program.commands.map((each): Row => [each.name, each.about]);
  return sections([
    `${program.name} ${program.version}: ${program.about}`,
    examples(program.examples),
    `Usage: ${program.name} COMMAND [ARGUMENTS] [OPTIONS]`,
    titled("Commands", [...commands, ["help", "show the help of a command: help COMMAND"]]),
    titled("Options of every command", optionRows({ ...SHARED, ...HELP_AND_VERSION })),
    `'${program.name} COMMAND --help' shows more about one of them.`,
  ]);
}

/** The help of the command that the names in `path` lead to, the program's name first. */
export function commandHelp(path: readonly string[], command: Command): string {
  return sections([
    examples(command.examples),
    `${path.join(" ")}: ${command.about}`,
    usageLines(path, command),
    command.details,
    titled("Arguments", argumentRows(command)),
    titled("Subcommands", command.subcommands.map((each): Row => [each.name, each.about])),
    titled("Options", optionRows(command.options)),
    titled("Options of every command", optionRows({ ...SHARED, ...HELP_AND_VERSION })),
  ]);
}

function usageLines(path: readonly string[], command: Command): string {
  const words = [
    ...Object.keys(command.options).length > 0 ? ["[OPTIONS]"] : [],
    ...Object.entries(command.args).map(([name, param]) => bracketed(kebab(name).toUpperCase(), mayBeOmitted(param))),
    ...command.rest === undefined ? [] : [bracketed(`${kebab(command.rest.name).toUpperCase()}...`, true)],
  ];
  const lines = [
    ...command.run === undefined ? [] : [[...path, ...words].join(" ")],
    ...command.subcommands.length === 0 ? [] : [`${path.join(" ")} SUBCOMMAND [ARGUMENTS] [OPTIONS]`],
  ];
  return lines.map((line, index) => (index === 0 ? "Usage: " : "       ") + line).join("\n");
}

function bracketed(name: string, omissible: boolean): string {
  return omissible ? `[${name}]` : `<${name}>`;
}

function argumentRows({ args, rest }: Command): Row[] {
  const rows = Object.entries(args).map(([name, param]): Row => [kebab(name).toUpperCase(), description(param)]);
  return rest === undefined ? rows : [...rows, [`${kebab(rest.name).toUpperCase()}...`, rest.about]];
}

function optionRows(options: Params): Row[] {
  return Object.entries(options).map(([name, param]): Row => {
    const letter = param.short === undefined ? "    " : `-${param.short}, `;
    const flag = isNegatable(param) ? `--no-${kebab(name)}` : `--${kebab(name)}`;
    const about = isNegatable(param) ? `do not ${description(param)}` : description(param);
    return [`${letter}${flag}${param.kind === "boolean" ? "" : ` ${placeholder(param)}`}`, about];
  });
}

function description(param: Param): string {
  const notes = [
    param.many ? ["may be given several times"] : [],
    param.env === undefined ? [] : [`env ${param.env}`],
    param.default === undefined || param.kind === "boolean"
      ? []
      : [`default ${formatValue(param.kind, param.default)}`],
  ].flat();
  return notes.length === 0 ? param.about : `${param.about} (${notes.join(", ")})`;
}

function examples(list: readonly Example[]): string {
  return list.length === 0 ? "" : `Examples:\n${list.map(([line, about]) => `  ${line}\n      ${about}`).join("\n")}`;
}

function titled(title: string, rows: readonly Row[]): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
  return lines.length === 0 ? "" : `${title}:\n${lines.join("\n")}`;
}

function sections(parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join("\n\n");
}
