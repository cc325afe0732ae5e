/**
 * Where the segments are: by id, by key and by index, with the ranges and the attachments they have.
 *
 *   - Every segment's range is taken in the allocator, its id among the ids; its key, unless IPC_PRIVATE, is nobody else's.
 *   - Every attachment is of a segment that is here.
 *   - A segment is replaced, never altered: who has one in hand has it as it was.
 *   - What was changed is remembered until `takeChanges`, so that whoever stores the table stores only that.
 *
 * Knows nothing of permissions and errors: that is the table's.
 */
import { invariant } from "../../base/assert.ts";
import type { Space } from "../../config/space.ts";
import { Allocator } from "./allocator.ts";
import type { Range } from "./allocator.ts";
import { Attachments } from "./attachments.ts";
import type { Attachment } from "./attachments.ts";
import { IPC_PRIVATE } from "../common/flags.ts";
import { pageCount } from "./limits.ts";
import type { Segment } from "./segment.ts";
import { ObjectIds } from "../common/object_ids.ts";
import type { Circle } from "../common/object_ids.ts";

/** What may be changed of a segment. */
export type SegmentChange = Partial<Omit<Segment, "id" | "size" | "range" | "cuid" | "cgid" | "cpid">>;

/** What is to be stored: what is still there by its present row, what is not by deleting its row. */
export interface Changes {
  /** Ids of segments. */
  readonly segments: readonly number[];
  /** Numbers of attachments. */
  readonly attachments: readonly number[];
}

/** See the head of this file. */
export class SegmentStore {
  /** The ids, each of a segment. */
  readonly ids: ObjectIds;
  readonly #attachments: Attachments;
  readonly #lowWaterMark: number;
  readonly #byId = new Map<number, Segment>();
  readonly #byKey = new Map<number, Segment>();
  readonly #changedSegments = new Set<number>();
  readonly #changedAttachments = new Set<number>();
  #allocator: Allocator;
  #pageCount = 0;

  /** An empty one that goes on from those ids and that number of an attachment. */
  constructor(space: Space, lowWaterMark: number, circle?: Circle, nextAttachment?: number) {
    this.ids = new ObjectIds(circle);
    this.#attachments = new Attachments(nextAttachment);
    this.#lowWaterMark = lowWaterMark;
    this.#allocator = new Allocator(space, lowWaterMark);
  }

  /** All segments, pending ones too, by their ids. */
  get all(): Segment[] {
    return [...this.#byId.values()].sort((a, b) => a.id - b.id);
  }

  /** How many segments there are, pending ones too. */
  get count(): number {
    return this.#byId.size;
  }

  /** Pages of all segments together. */
  get pageCount(): number {
    return this.#pageCount;
  }

  /** The ranges that are free. */
  get allocator(): Allocator {
    return this.#allocator;
  }

  /** Who has what attached; to be changed by `attach` and `detach` only. */
  get attachments(): Omit<Attachments, "attach" | "restore" | "detach"> {
    return this.#attachments;
  }

  /** Follows the servers of the space; segments stay where they are, wherever that is now. */
  layOut(space: Space): void {
    this.#allocator = new Allocator(space, this.#lowWaterMark);
    for (const { range } of this.#byId.values()) this.#allocator.reserve(range);
  }

  /** The segment with that id, pending or not. */
  get(id: number): Segment | undefined {
    return this.#byId.get(id);
  }

  /** The segment under that key, pending or not. */
  find(key: number): Segment | undefined {
    return this.#byKey.get(key);
  }

  /** The segments that have bytes of `range`. */
  overlapping({ base, size }: Range): Segment[] {
    return [...this.#byId.values()].filter(({ range }) => range.base < base + size && base < range.base + range.size);
  }

  /**
   * Adds a segment on a range taken from the allocator before, under a new id; there must be an index left.
   *
   * @param wantedId the id it is to have, where that is free.
   */
  add(segment: Omit<Segment, "id">, wantedId?: number): Segment {
    const numbered = { ...segment, id: this.#newId(wantedId) };
    this.#put(numbered);
    this.#changedSegments.add(numbered.id);
    return numbered;
  }

  #newId(wantedId: number | undefined): number {
    if (wantedId === undefined || !this.ids.isFree(wantedId)) return this.ids.take();
    this.ids.claim(wantedId);
    return wantedId;
  }

  /** Adds a segment as it was in an earlier life; its index, its key and its range must be free. */
  restore(segment: Segment): void {
    this.ids.claim(segment.id);
    this.#allocator.reserve(segment.range);
    this.#put(segment);
  }

  #put(segment: Segment): void {
    this.#byId.set(segment.id, segment);
    if (segment.key !== IPC_PRIVATE) this.#byKey.set(segment.key, segment);
    this.#pageCount += pageCount(segment.size);
  }

  /** Changes a segment; it keeps its id, range and creator. */
  update(id: number, change: SegmentChange): void {
    const before = this.#byId.get(id);
    invariant(before !== undefined, `segment ${id} is in the store`);
    const after = { ...before, ...change };
    this.#byId.set(id, after);
    if (before.key !== IPC_PRIVATE) this.#byKey.delete(before.key);
    if (after.key !== IPC_PRIVATE) this.#byKey.set(after.key, after);
    this.#changedSegments.add(id);
  }

  /** Takes a segment out, which has no attachments, and frees its id and range. */
  remove(id: number): void {
    const segment = this.#byId.get(id);
    invariant(segment !== undefined, `segment ${id} is in the store`);
    invariant(this.#attachments.countOf(id) === 0, `segment ${id} is attached by nobody`);
    this.#byId.delete(id);
    if (segment.key !== IPC_PRIVATE) this.#byKey.delete(segment.key);
    this.#pageCount -= pageCount(segment.size);
    this.ids.release(id);
    this.#allocator.free(segment.range);
    this.#changedSegments.add(id);
  }

  /** Adds an attachment of a segment that is here. */
  attach(attachment: Omit<Attachment, "number">): Attachment {
    invariant(this.#byId.has(attachment.segmentId), `segment ${attachment.segmentId} is in the store`);
    const attached = this.#attachments.attach(attachment);
    this.#changedAttachments.add(attached.number);
    return attached;
  }

  /** Adds an attachment as it was in an earlier life. */
  restoreAttachment(attachment: Attachment): void {
    this.#attachments.restore(attachment);
  }

  /** Takes an attachment out. */
  detach(attachment: Attachment): void {
    this.#attachments.detach(attachment);
    this.#changedAttachments.add(attachment.number);
  }

  /** What was changed since this was last called. */
  takeChanges(): Changes {
    const changes = { segments: [...this.#changedSegments], attachments: [...this.#changedAttachments] };
    this.#changedSegments.clear();
    this.#changedAttachments.clear();
    return changes;
  }
}
