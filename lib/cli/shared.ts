/** The options that every command understands. */
import type { Params, Values } from "./command.ts";

/** The options whose values every command receives. */
export const SHARED = {
  config: {
    kind: "endpoint",
    about: "the config server to ask",
    default: { host: "127.0.0.1", port: 9740 },
    env: "DSM_CONFIG",
  },
  registry: {
    kind: "endpoint",
    about: "the registry to ask",
    default: { host: "127.0.0.1", port: 9750 },
    env: "DSM_REGISTRY",
  },
  secret: {
    kind: "string",
    about: "the file of the secret to prove beyond this host",
    env: "DSM_SECRET_FILE",
    optional: true,
  },
  tlsCa: {
    kind: "string",
    about: "dial with TLS: the certificates, PEM, that servers' must come from",
    env: "DSM_TLS_CA",
    optional: true,
  },
  json: { kind: "boolean", about: "print one JSON array of flat objects" },
  debug: { kind: "boolean", about: "show the stack of an error" },
  logLevel: {
    kind: "string",
    about: "the least important messages to log",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
  },
  logFormat: { kind: "string", about: "how to log", choices: ["text", "json"], default: "text" },
} as const satisfies Params;

/** The options that are answered before any command runs. */
export const HELP_AND_VERSION = {
  help: { kind: "boolean", about: "show this help", short: "h" },
  version: { kind: "boolean", about: "show the version" },
} as const satisfies Params;

/** The values of {@linkcode SHARED}: the third argument of a command's `run`. */
export type Shared = Values<typeof SHARED>;
