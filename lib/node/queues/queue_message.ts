/** A message that was received. */

/** Says that a message has arrived. */
export type Acknowledge = () => Promise<void>;

/** See the head of this file. */
export class QueueMessage {
  /** At least 1. */
  readonly type: number;
  /** Its text, as bytes; a view of memory that it may share with other messages. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** How often it was given out, this time included; more than 1: somebody may have worked on it before. */
  readonly deliveryCount: number;
  readonly #acknowledge: Acknowledge | undefined;
  #acknowledged: Promise<void> | undefined;

  /** As it came; without `acknowledge` that was done with the receipt. */
  constructor(type: number, data: Uint8Array<ArrayBuffer>, deliveryCount: number, acknowledge?: Acknowledge) {
    this.type = type;
    this.data = data;
    this.deliveryCount = deliveryCount;
    this.#acknowledge = acknowledge;
  }

  /** Its text, as UTF-8 has it. */
  get text(): string {
    return new TextDecoder().decode(this.data);
  }

  /**
   * Says that it has arrived, so that nobody gets it again; the second time does nothing more, and for a message that was
   * acknowledged with its receipt there is nothing to do.
   *
   * @throws TimeoutError, PeerLostError.
   */
  async acknowledge(): Promise<void> {
    this.#acknowledged ??= this.#acknowledge?.();
    await this.#acknowledged;
  }
}
