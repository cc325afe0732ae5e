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
export type {
  BlockStates,
  ConnectOptions,
  RegionInfo,
  RequestOptions,
  ServerInfo,
} from "./lib/node/cluster/cluster.ts";
export { SegmentAttachment } from "./lib/node/cluster/segment_attachment.ts";
export type { ByteSpace } from "./lib/node/cluster/segment_attachment.ts";
export { Segments } from "./lib/node/cluster/segments.ts";
export type { NewSegment, OpenOptions } from "./lib/node/cluster/segments.ts";
export { hostQueues, KernelQueues } from "./lib/node/queues/kernel_queues.ts";
export type { CallOptions, MessageQueues, MsgrcvOptions } from "./lib/node/queues/message_queues.ts";
export { Queue } from "./lib/node/queues/queue.ts";
export type { ReceiveOptions, SendOptions } from "./lib/node/queues/queue.ts";
export { QueueMessage } from "./lib/node/queues/queue_message.ts";
export type { Acknowledge } from "./lib/node/queues/queue_message.ts";
export { Queues } from "./lib/node/queues/queues.ts";
export type { NewQueue } from "./lib/node/queues/queues.ts";
export { ftok } from "./lib/node/cluster/ftok.ts";
export {
  IPC_CREAT,
  IPC_EXCL,
  IPC_INFO,
  IPC_NOWAIT,
  IPC_PRIVATE,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from "./lib/ipc/common/flags.ts";
export { MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_NOERROR, MSG_STAT, MSG_STAT_ANY } from "./lib/ipc/queues/flags.ts";
export type { QueueChange, QueueUsage } from "./lib/ipc/queues/calls.ts";
export type { Limits as QueueLimits } from "./lib/ipc/queues/limits.ts";
export type { MsgctlResult } from "./lib/ipc/queues/msgctl.ts";
export type { Queue as QueueRecord, QueueStatus } from "./lib/ipc/queues/queue.ts";
export {
  SHM_DEST,
  SHM_EXEC,
  SHM_INFO,
  SHM_LOCK,
  SHM_LOCKED,
  SHM_RDONLY,
  SHM_STAT,
  SHM_STAT_ANY,
  SHM_UNLOCK,
} from "./lib/ipc/segments/flags.ts";
export type { Range } from "./lib/ipc/segments/allocator.ts";
export type { Attached, NewOwnership, Usage } from "./lib/ipc/segments/calls.ts";
export type { Limits } from "./lib/ipc/segments/limits.ts";
export type { Ownership } from "./lib/ipc/common/permissions.ts";
export type { Segment, SegmentStatus } from "./lib/ipc/segments/segment.ts";
export type { ShmctlResult } from "./lib/ipc/segments/shmctl.ts";
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
