/**
 * A global logger that stops at one phase of its first checkpoint, for tests that kill or stop it there:
 * `master.ts CONFIG DIRECTORY PHASE`. It prints `at PHASE` and goes no further.
 */
import { parseEndpoint } from "../../../lib/base/units.ts";
import { NO_CREDENTIALS } from "../../../lib/net/credentials.ts";
import { GlobalLogger } from "../../../lib/node/logger/global_logger.ts";

const [config = "", directory = "", last = ""] = Deno.args;
const master = new GlobalLogger(
  {
    config: parseEndpoint(config),
    credentials: NO_CREDENTIALS,
    directory,
    periodMs: 1_000_000,
    cutDelayMsMax: 0,
    onPhase: async (phase) => {
      if (phase !== last) return;
      console.log(`at ${phase}`);
      for await (const _line of Deno.stdin.readable) return; // goes on when told
    },
    onComplete: () => Promise.resolve(),
  },
  { incarnation: 0, epoch: 0 },
  (level, message) => console.error(`${level}: ${message}`),
);
await master.start();
