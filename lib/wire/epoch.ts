/**
 * Epochs, as every frame carries them: which life of the cluster the sender is in (its *incarnation*), and the highest
 * epoch it has seen there. Lai and Yang's rule ("On distributed snapshots", 1987) rests on them: whoever meets a higher
 * epoch moves to it before it does anything else, so no message sent after a cut is received before it.
 *
 *   - Incarnation 0 is nobody's: a client that knows none yet, or a region that has not joined a cluster.
 *   - Later lives have greater numbers.
 */

/** The highest epoch a process has seen, and the life it belongs to. */
export interface EpochWord {
  /** 0 while none is known. */
  incarnation: number;
  /** See incarnation. */
  epoch: number;
  /** Called just before it is raised to what is given: this process's own cut, for what is to be kept as it is then. */
  beforeRaise?: (incarnation: number, epoch: number) => void;
}

/**
 * Takes note of an epoch that came in a frame; every word is raised here and nowhere else. A later life begins anew; what an
 * earlier one says is not heeded.
 */
export function meetEpoch(known: EpochWord, incarnation: number, epoch: number): void {
  const isLater = incarnation === known.incarnation ? epoch > known.epoch : incarnation > known.incarnation;
  if (!isLater) return;
  known.beforeRaise?.(incarnation, epoch);
  known.incarnation = incarnation;
  known.epoch = epoch;
}

/** What a server makes of the epoch in a request. */
export type EpochVerdict =
  /** It is served. */
  | "current"
  /** The server moves to that epoch, then serves it. */
  | "next"
  /** More than one ahead, or the server has not joined that life yet: it may be asked again in a moment. */
  | "ahead"
  /** It comes from another life of the cluster. */
  | "foreign";

/**
 * Judges the epoch of a request. Only the next one is believed: a stray client must not carry every server off to any
 * number it likes.
 */
export function judgeEpoch(own: Readonly<EpochWord>, incarnation: number, epoch: number): EpochVerdict {
  if (incarnation === 0) return "current";
  if (own.incarnation === 0) return "ahead";
  if (incarnation !== own.incarnation) return "foreign";
  if (epoch <= own.epoch) return "current";
  return epoch === own.epoch + 1 ? "next" : "ahead";
}
