/**
 * Who has which segment attached.
 *
 *   - An attachment belongs to one session and ends with it at the latest. A session may attach a segment many times.
 *   - A segment's `nattch` is the number of its attachments here; there is no counter that could disagree.
 *   - Numbers are never used twice, so a late `shmdt` never hits somebody else's attachment.
 */

/** One successful `shmat`. */
export interface Attachment {
  /** What `shmdt` names it by, where C has an address. */
  readonly number: number;
  /** The segment. */
  readonly segmentId: number;
  /** The session it belongs to. */
  readonly session: string;
  /** The process that attached; it is the one that detaches when the session just ends. */
  readonly pid: number;
  /** Whether it may write. */
  readonly isWritable: boolean;
}

/** See the head of this file. */
export class Attachments {
  /** The number of the next one. */
  nextNumber: number;
  readonly #byNumber = new Map<number, Attachment>();
  readonly #bySegment = new Map<number, Set<number>>();
  readonly #bySession = new Map<string, Set<number>>();

  /** None yet; the first one gets `nextNumber`. */
  constructor(nextNumber = 1) {
    this.nextNumber = nextNumber;
  }

  /** All, in the order of their numbers. */
  get all(): Attachment[] {
    return [...this.#byNumber.values()].sort((a, b) => a.number - b.number);
  }

  /** The sessions that have any. */
  get sessions(): string[] {
    return [...this.#bySession.keys()];
  }

  /** How many a segment has: its `nattch`. */
  countOf(segmentId: number): number {
    return this.#bySegment.get(segmentId)?.size ?? 0;
  }

  /** The attachment with that number. */
  get(number: number): Attachment | undefined {
    return this.#byNumber.get(number);
  }

  /** Those of a session. */
  ofSession(session: string): Attachment[] {
    return [...this.#bySession.get(session) ?? []].flatMap((number) => this.#byNumber.get(number) ?? []);
  }

  /** Adds one under the next number. */
  attach(attachment: Omit<Attachment, "number">): Attachment {
    const numbered = { ...attachment, number: this.nextNumber++ };
    this.restore(numbered);
    return numbered;
  }

  /** Adds one under the number it has. */
  restore(attachment: Attachment): void {
    this.#byNumber.set(attachment.number, attachment);
    addTo(this.#bySegment, attachment.segmentId, attachment.number);
    addTo(this.#bySession, attachment.session, attachment.number);
  }

  /** Takes one out. */
  detach({ number, segmentId, session }: Attachment): void {
    this.#byNumber.delete(number);
    deleteFrom(this.#bySegment, segmentId, number);
    deleteFrom(this.#bySession, session, number);
  }
}

function addTo<Key>(sets: Map<Key, Set<number>>, key: Key, member: number): void {
  const set = sets.get(key);
  if (set) set.add(member);
  else sets.set(key, new Set([member]));
}

function deleteFrom<Key>(sets: Map<Key, Set<number>>, key: Key, member: number): void {
  const set = sets.get(key);
  set?.delete(member);
  if (set?.size === 0) sets.delete(key);
}
