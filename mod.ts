/**
 * dsm: one space of bytes over many servers.
 *
 * ```ts
 * import { connect } from "@dsm/dsm";
 *
 * await using cluster = await connect();
 * await cluster.write(0, new TextEncoder().encode("hello"));
 * console.log(new TextDecoder().decode(await cluster.read(0, 5)));
 * const ticket = await cluster.fetchAdd(8, 1);
 * ```
 *
 * @module
 */
export { Cluster, connect, DEFAULT_CONFIG } from "./lib/node/cluster/cluster.ts";
export type { BlockStates, ConnectOptions, RegionInfo, RequestOptions, ServerInfo } from "./lib/node/cluster/cluster.ts";
export type { Way } from "./lib/node/cluster/server_link.ts";
export type { Place } from "./lib/config/space.ts";
export { Attachment } from "./lib/memory/attachment.ts";
export type { AttachmentInfo, Attempt } from "./lib/memory/attachment.ts";
export type { WordWidth } from "./lib/memory/region.ts";
export {
  CheckpointError,
  ConfigError,
  DsmError,
  InvariantError,
  PeerLostError,
  ProtocolError,
  SystemError,
  TimeoutError,
  UsageError,
} from "./lib/base/errors.ts";
export type { Outcome } from "./lib/base/errors.ts";
