/**
 * Who carries out requests of the simple dialect, as a memory server sees it: on its main thread, which may wait, while the
 * thread that serves the connections may not.
 *
 *   - A request and its reply share memory, the *exchange*: the reply takes the request's place, and there is room for both.
 *     So one thread names it, and the other only says that it is done.
 *   - A connection has one request under way at most.
 */
import type { Endpoint } from "../../base/units.ts";
import type { Region } from "../../memory/region.ts";
import type { GuardWaiter } from "./guard_waiter.ts";

/** The bytes of an exchange. */
export type ExchangeBytes = Uint8Array<SharedArrayBuffer>;

/** See the head of this file. */
export interface SimpleCalls {
  /** Whether this server has a table of its own, and so belongs to no cluster. */
  readonly isStandalone: boolean;
  /** Carries out the request of connection `caller`, whose process is user `uid`'s; resolves when the reply is there. */
  call(caller: number, uid: number, bytes: ExchangeBytes): Promise<void>;
  /** Connection `caller` has ended: what it attached is undone. */
  ended(caller: number): void;
  /** A config server has taken this server over. */
  adopted(config: Endpoint): void;
  /**
   * Ends; nobody may call any more.
   *
   * @param isKept whether the region stays, for the next server on its keys.
   */
  close(isKept: boolean): Promise<void>;
}

/** The server that the calls are made of. */
export interface SimpleHome extends Endpoint {
  /** Its region. */
  readonly region: Region;
  /** Waits for its guards. */
  readonly waiter: GuardWaiter;
}
