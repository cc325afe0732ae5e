/**
 * All benchmarks, one after the other, and one table. See harness/settings.ts for the options.
 *
 * Every row is measured in alternating rounds against its peer; values are medians with the least and the most, and the ratio
 * is taken pair by pair. What is not installed (redis-server, ioredis) is named in its rows.
 */
import { benchAttached } from "./attached.ts";
import { benchCheckpoint } from "./checkpoint.ts";
import { benchClient } from "./client.ts";
import { benchMain } from "./harness/program.ts";
import { benchMemory } from "./memory.ts";
import { benchQueues } from "./queues.ts";
import { benchRegistry } from "./registry.ts";
import { benchSegments } from "./segments.ts";
import { benchTcp } from "./tcp.ts";

await benchMain([
  ...[benchAttached, benchTcp, benchClient, benchMemory, benchSegments, benchQueues, benchRegistry],
  benchCheckpoint,
]);
