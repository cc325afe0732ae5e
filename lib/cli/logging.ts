/**
 * Logs: one line a record on stderr, for people (`12:03:04.567 WARN server: …`) or as JSON.
 *
 * stdout is for results; nothing here ever writes to it.
 */
import * as log from "@std/log";
import type { Shared } from "./shared.ts";
import { say } from "./output.ts";
import { styleFor } from "./style.ts";

/** How important a line is. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where a role's log lines go. */
export type LogLine = (level: LogLevel, message: string) => void;

class StderrHandler extends log.BaseHandler {
  override log(line: string): void {
    try {
      say(line);
    } catch (error) {
      // whoever read the log is gone; that must not end a server
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  }
}

function formatter(role: string, format: "text" | "json"): log.FormatterFunction {
  if (format === "json") {
    return (record) =>
      JSON.stringify({
        time: record.datetime.toISOString(),
        level: record.levelName.toLowerCase(),
        role,
        message: record.msg,
      });
  }
  const style = styleFor(Deno.stderr);
  const looks: Record<string, (text: string) => string> = { WARN: style.yellow, ERROR: style.red, DEBUG: style.dim };
  return (record) => {
    const time = record.datetime.toISOString().slice(11, 23);
    const level = (looks[record.levelName] ?? ((text: string) => text))(record.levelName);
    return `${style.dim(time)} ${level} ${role}: ${record.msg}`;
  };
}

/** Sets up the log of `role` as the shared options ask, and returns what writes to it. */
export function startLog(role: string, shared: Pick<Shared, "logLevel" | "logFormat">): LogLine {
  const levelName = shared.logLevel.toUpperCase() as log.LevelName;
  log.setup({
    handlers: { stderr: new StderrHandler(levelName, { formatter: formatter(role, shared.logFormat) }) },
    loggers: { [role]: { level: levelName, handlers: ["stderr"] } },
  });
  const logger = log.getLogger(role);
  return (level, message) => void logger[level](message);
}
