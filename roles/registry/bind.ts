/** `dsm registry bind`: a name for an endpoint or a queue. */
import { command } from "../../lib/cli/command.ts";
import { untilStopped } from "../../lib/cli/daemon.ts";
import { print, say } from "../../lib/cli/output.ts";
import { openRegistry } from "./options.ts";

const EXIT_LOST = 1;

/** See the head of this file. */
export const bind = command({
  name: "bind",
  about: "bind a name or a number to an endpoint or a queue",
  details:
    `Prints the revision of the change. ENDPOINT is HOST:PORT, or queue:KEY for a message queue; any text will do.
A name that is bound already stays as it is, unless --replace; nobody but root replaces another user's.
With --lease the name is bound as long as this command runs; it ends with status 1 when the lease is lost.`,
  examples: [
    ["dsm registry bind printer 10.0.0.7:9100", "for good"],
    ["dsm registry bind 42 queue:0x4d6 --replace", "a number, and something else than before"],
    ["dsm registry bind worker/1 127.0.0.1:7001 --lease", "until Ctrl-C, or until this process dies"],
  ],
  args: {
    name: { kind: "string", about: "up to 255 bytes, without control characters" },
    endpoint: { kind: "string", about: "HOST:PORT, or queue:KEY" },
  },
  options: {
    replace: { kind: "boolean", about: "take the place of what you have bound it to" },
    lease: { kind: "boolean", about: "only as long as this command runs" },
  },
  async run({ name, endpoint }, { replace, lease: isLeased }, shared) {
    await using registry = openRegistry(shared);
    const show = (revision: number): void => {
      print(shared.json ? JSON.stringify([{ name, value: endpoint, revision, leased: isLeased }]) : `${revision}`);
    };
    if (!isLeased) {
      show(await registry.bind(name, endpoint, { replaces: replace }));
      return 0;
    }
    const stop = new AbortController();
    const stopped = untilStopped({ signal: stop.signal });
    try {
      await using lease = await registry.lease(name, endpoint, { replaces: replace });
      lease.lost.addEventListener("abort", () => stop.abort(lease.lost.reason));
      show(lease.revision);
      const reason = await stopped;
      if (!lease.lost.aborted) return 0;
      say(`dsm: ${reason}; bind it again`);
      return EXIT_LOST;
    } finally {
      stop.abort("the end");
    }
  },
});
