/**
 * Stand-in for `jsr:@std/log` with the part of its interface that dsm uses; docs/DEPENDENCIES.md says why.
 *
 *   - Nothing is written unless a handler is set up: there is no default logger on the console.
 *   - A message given as a function is made only when its level is enabled.
 *
 * @module
 */

/** The levels and their numbers. */
export const LogLevels = { NOTSET: 0, DEBUG: 10, INFO: 20, WARN: 30, ERROR: 40, CRITICAL: 50 } as const;

/** A level's number. */
export type LogLevel = typeof LogLevels[LevelName];

/** A level's name. */
export type LevelName = keyof typeof LogLevels;

/** The names of the levels, lowest first. */
export const LogLevelNames: readonly LevelName[] = Object.keys(LogLevels) as LevelName[];

const nameByLevel = new Map<LogLevel, LevelName>(LogLevelNames.map((name) => [LogLevels[name], name]));

/** The name of level `level`. */
export function getLevelName(level: LogLevel): LevelName {
  return nameByLevel.get(level) ?? "NOTSET";
}

/** What a record is made of. */
export interface LogRecordOptions {
  /** The message. */
  msg: string;
  /** What the caller passed after it. */
  args: unknown[];
  /** The level it was logged at. */
  level: LogLevel;
  /** The logger's name. */
  loggerName: string;
}

/** One logged message. */
export class LogRecord {
  /** The message. */
  readonly msg: string;
  /** What the caller passed after it. */
  readonly args: unknown[];
  /** When it was logged. */
  readonly datetime: Date = new Date();
  /** The level it was logged at. */
  readonly level: LogLevel;
  /** That level's name. */
  readonly levelName: LevelName;
  /** The logger's name. */
  readonly loggerName: string;

  constructor(options: LogRecordOptions) {
    this.msg = options.msg;
    this.args = [...options.args];
    this.level = options.level;
    this.levelName = getLevelName(options.level);
    this.loggerName = options.loggerName;
  }
}

/** Turns a record into a line. */
export type FormatterFunction = (record: LogRecord) => string;

/** Options of a handler. */
export interface BaseHandlerOptions {
  /** How a record becomes a line; by default its level and message. */
  formatter?: FormatterFunction;
}

/** Where records go: a class of its own says where, by its `log`. */
export abstract class BaseHandler {
  /** Records below this level are dropped. */
  level: LogLevel;
  /** How a record becomes a line. */
  formatter: FormatterFunction;

  constructor(levelName: LevelName, options: BaseHandlerOptions = {}) {
    this.level = LogLevels[levelName];
    this.formatter = options.formatter ?? ((record) => `${record.levelName} ${record.msg}`);
  }

  /** Formats the record and logs it, unless it is below the handler's level. */
  handle(record: LogRecord): void {
    if (record.level >= this.level) this.log(this.formatter(record));
  }

  /** Called by {@linkcode setup} before the first record. */
  setup(): void {}

  /** Called when another {@linkcode setup} replaces the handler. */
  destroy(): void {}

  /** Writes one line. */
  abstract log(line: string): void;
}

/** A logger's handlers. */
export interface LoggerOptions {
  /** Where its records go. */
  handlers?: BaseHandler[];
}

/** A named source of records. */
export class Logger {
  /** Records below this level are not made. */
  level: LogLevel;
  /** Where its records go. */
  handlers: BaseHandler[];
  /** What records are marked with. */
  readonly loggerName: string;

  constructor(loggerName: string, levelName: LevelName, options: LoggerOptions = {}) {
    this.loggerName = loggerName;
    this.level = LogLevels[levelName];
    this.handlers = options.handlers ?? [];
  }

  /** Logs at DEBUG; returns the message, or undefined where a function was not called. */
  debug<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.DEBUG, msg, args);
  }

  /** Logs at INFO; returns the message, or undefined where a function was not called. */
  info<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.INFO, msg, args);
  }

  /** Logs at WARN; returns the message, or undefined where a function was not called. */
  warn<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.WARN, msg, args);
  }

  /** Logs at ERROR; returns the message, or undefined where a function was not called. */
  error<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.ERROR, msg, args);
  }

  /** Logs at CRITICAL; returns the message, or undefined where a function was not called. */
  critical<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log(LogLevels.CRITICAL, msg, args);
  }

  #log<T>(level: LogLevel, msg: T | (() => T), args: unknown[]): T | undefined {
    if (this.level > level) return msg instanceof Function ? undefined : msg;
    const value = msg instanceof Function ? msg() : msg;
    const record = new LogRecord({ msg: textOf(value), args, level, loggerName: this.loggerName });
    for (const handler of this.handlers) handler.handle(record);
    return value;
  }
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) return value.stack ?? String(value);
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  return String(value);
}

/** One logger in a {@linkcode LogConfig}. */
export interface LoggerConfig {
  /** Its level; NOTSET where none is given. */
  level?: LevelName;
  /** The names of its handlers. */
  handlers?: string[];
}

/** What {@linkcode setup} takes. */
export interface LogConfig {
  /** Handlers by name. */
  handlers?: Record<string, BaseHandler>;
  /** Loggers by name. */
  loggers?: Record<string, LoggerConfig>;
}

const loggers = new Map<string, Logger>();
let handlersInUse: BaseHandler[] = [];

/** Replaces all handlers and loggers; call it before {@linkcode getLogger}. */
export function setup(config: LogConfig): void {
  for (const handler of handlersInUse) handler.destroy();
  loggers.clear();
  const handlers = config.handlers ?? {};
  handlersInUse = Object.values(handlers);
  for (const handler of handlersInUse) handler.setup();
  for (const [name, { level = "NOTSET", handlers: names = [] }] of Object.entries(config.loggers ?? {})) {
    loggers.set(name, new Logger(name, level, { handlers: names.flatMap((each) => handlers[each] ?? []) }));
  }
}

/** The logger of that name; one without handlers where {@linkcode setup} named none. */
export function getLogger(name = "default"): Logger {
  let logger = loggers.get(name);
  if (logger === undefined) {
    logger = new Logger(name, "NOTSET");
    loggers.set(name, logger);
  }
  return logger;
}
