/** What a memory server knows of one connection. */
import type { GuardPlan } from "../../memory/guards.ts";
import type { Region } from "../../memory/region.ts";
import type { Principal } from "../../ipc/common/permissions.ts";
import type { Dialect, Guest, Visit } from "../common/door.ts";
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
  /** While it is not let in yet. */
  visit: Visit | undefined;
  /** What it speaks; of one that is not let in nothing is served, whatever it speaks. */
  dialect: Dialect = "native";
  /** Whose it is: what the kernel says, or what one who knows the secret claims; -1 before it is let in. */
  uid = -1;
  /** Who says so. */
  uidBy: Guest["by"] = "nobody";
  /** Whether it may do everything: root, or the user the server runs as. */
  isPrivileged = false;
  /** The same user with his groups, once they are asked for; nobody else's requests need them. */
  who: Principal | undefined;
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

  /** @param visit with which it begins. */
  constructor(visit: Visit) {
    this.visit = visit;
  }

  /** The guards of the parked request; made when there is one, so that an idle connection stays small. */
  planOf(region: Region): GuardPlan {
    return this.#plan ??= region.guards.plan();
  }
}
