/** What a memory server knows of one connection. */
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import { NOBODY_UID } from "../common/peer_uid.ts";
import type { Session } from "../common/sessions.ts";
import type { SimpleTalk } from "./simple_dialect.ts";

/** Where a connection stands with its next request. */
export type Standing =
  /** It is served as it comes. */
  | "ready"
  /** Parked: its guards are being waited for. */
  | "waiting"
  /** Its guards are held; it is served when `dueMs` comes. */
  | "holding"
  /** Its guards are held; it is served at once. */
  | "granted"
  /** It holds nothing and is tried again when `dueMs` comes. */
  | "retrying";

/** See the head of this file. */
export class Conversation {
  /** Known from its first bytes on. */
  dialect: "unknown" | "native" | "classic" | "simple" = "unknown";
  /** Whose process is at the other end, once that matters: the kernel's word. */
  uid: number = NOBODY_UID;
  /** See {@linkcode Standing}. */
  standing: Standing = "ready";
  /** Begun by its hello. */
  session: Session<bigint> | undefined;
  /** In the simple dialect. */
  simple: SimpleTalk | undefined;
  /** When its standing is looked at again. */
  dueMs = 0;
  /** Since when its next request is tried in vain; 0 when it is not. */
  triedSinceMs = 0;
  /** Which cut it waits for to be made everywhere. */
  heldEpoch = 0;
  /** Since when it does. */
  heldSinceMs = 0;
  /** Whether the connection has gone. */
  isOver = false;
  #plan: GuardPlan | undefined;

  /** The guards of the parked request; made when there is one, so that an idle connection stays small. */
  planOf(region: Region): GuardPlan {
    return this.#plan ??= region.guards.plan();
  }
}
