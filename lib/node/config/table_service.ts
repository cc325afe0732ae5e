/**
 * Requests on the table of segments as a whole: a checkpoint's copy of it, and its restoring.
 *
 *   - Anybody may have the copy: SHM_STAT_ANY tells as much. To hold or restore is for who governs (see common/door.ts): root
 *     and whom this process runs as, who have the file anyway, and who has proved the secret.
 *   - Who holds is the connection: with it the hold ends.
 */
import { SystemError } from "../../base/errors.ts";
import { peerName } from "../../net/transport.ts";
import type { Link } from "../../net/transport.ts";
import type { Envelope, Header } from "../../wire/frame.ts";
import type { MessageName } from "../../wire/messages.ts";
import { mayGovern } from "../common/door.ts";
import type { Guest } from "../common/door.ts";
import type { LogSink } from "../common/log_sink.ts";
import { decodeTable, encodeTable } from "../common/table_payload.ts";
import type { SegmentKeeper } from "./segment_keeper.ts";
import { errorAnswer } from "./segment_service.ts";
import type { TablePicture } from "./table_picture.ts";

const REQUESTS = ["segmentTable", "holdTable", "restoreTable"] as const;

/** One of the requests answered here. */
export type TableRequest = Header & { readonly name: (typeof REQUESTS)[number] };

/** What one is answered with. */
export interface TableAnswer {
  /** The reply's name. */
  readonly name: "segmentTableReply" | "done" | "error";
  /** Its fields. */
  readonly fields: object;
  /** What follows it. */
  readonly payload?: Uint8Array<ArrayBuffer>;
  /** The sessions that have lost what they had attached; to be closed once the answer is given. */
  readonly ended?: readonly string[];
}

/** Whether `header` is a request that is answered here. */
export function isTableRequest(header: Envelope & { readonly name: MessageName }): header is TableRequest {
  return (REQUESTS as readonly string[]).includes(header.name);
}

const DONE: TableAnswer = { name: "done", fields: {} };

/** See the head of this file. */
export class TableService {
  readonly #keeper: SegmentKeeper;
  readonly #picture: TablePicture;
  readonly #log: LogSink;

  /** @param keeper of the table. @param picture of it at the latest cut. */
  constructor(keeper: SegmentKeeper, picture: TablePicture, log: LogSink) {
    this.#keeper = keeper;
    this.#picture = picture;
    this.#log = log;
  }

  /** The answer to a request of `guest` that came over `link`, with its payload. */
  async answer(link: Link, guest: Guest, request: TableRequest, payload: Uint8Array): Promise<TableAnswer> {
    try {
      switch (request.name) {
        case "segmentTable":
          return {
            name: "segmentTableReply",
            fields: {},
            payload: encodeTable(this.#picture.at(request.fields.epoch)),
          };
        case "holdTable":
          requireMaster(guest, "holdTable");
          await this.#keeper.hold(link);
          return DONE;
        case "restoreTable":
          requireMaster(guest, "restoreTable");
          return await this.#restore(link, payload);
      }
    } catch (error) {
      return errorAnswer(error);
    }
  }

  async #restore(link: Link, payload: Uint8Array): Promise<TableAnswer> {
    const ended = this.#keeper.restore(link, decodeTable(payload));
    await this.#keeper.tellOwner();
    this.#keeper.letGo(link);
    const count = this.#keeper.table.usage.segmentCount;
    this.#log(
      "info",
      `${peerName(link.peer)} has restored the table: ${count} segments; ${ended.length} session(s) ended`,
    );
    return { ...DONE, ended };
  }
}

function requireMaster(guest: Guest, call: string): void {
  if (mayGovern(guest, Deno.uid() ?? undefined)) return;
  throw new SystemError(
    call,
    "EPERM",
    `uid ${guest.uid} may not restore the table of segments: EPERM; that is for uid 0 and uid ${Deno.uid()} on this host, ` +
      `and for who has the secret`,
  );
}
