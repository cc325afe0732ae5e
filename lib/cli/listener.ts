/** The options of every role that listens. */
import type { Params, Values } from "./command.ts";

/** Who is let in, and TLS. */
export const LISTENER = {
  open: { kind: "boolean", about: "let in every user of this host, not only the one it runs as and root" },
  allowUnauthenticated: {
    kind: "string",
    about: "dialects let in from other hosts without a proof: classic, simple, or both with a comma",
    optional: true,
  },
  tlsCert: { kind: "string", about: "listen with TLS: the file of the certificate, PEM", optional: true },
  tlsKey: { kind: "string", about: "the file of its private key, PEM", optional: true },
} as const satisfies Params;

/** Their values. */
export type Listener = Values<typeof LISTENER>;

/** The same options for another dsm. */
export function listenerArgs({ open, allowUnauthenticated, tlsCert, tlsKey }: Listener): string[] {
  const given: [string, string | undefined][] = [
    ["--allow-unauthenticated", allowUnauthenticated],
    ["--tls-cert", tlsCert],
    ["--tls-key", tlsKey],
  ];
  return [...open ? ["--open"] : [], ...given.flatMap(([name, value]) => value === undefined ? [] : [name, value])];
}
