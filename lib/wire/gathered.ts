/**
 * The two packed fields of `gathered`: where the changed bytes of its payload belong, and the checksums of the MiBs that
 * have changed. Little-endian, unlike the rest of the wire: so the table of messages has it.
 */
import { ProtocolError } from "../base/errors.ts";

/** A run of bytes that follow each other in a region. */
export interface Run {
  /** Where it begins in the region. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** The checksum of one MiB of a region; its last may be shorter. */
export interface MebibyteChecksum {
  /** Which MiB, counted from 0. */
  readonly index: number;
  /** XXH128, 16 bytes. */
  readonly digest: Uint8Array;
}

const RUN_SIZE = 12;
const DIGEST_SIZE = 16;
const CHECKSUM_SIZE = 4 + DIGEST_SIZE;

/** Packs runs. */
export function encodeRuns(runs: readonly Run[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(runs.length * RUN_SIZE);
  const view = new DataView(bytes.buffer);
  runs.forEach(({ offset, size }, i) => {
    view.setBigUint64(i * RUN_SIZE, BigInt(offset), true);
    view.setUint32(i * RUN_SIZE + 8, size, true);
  });
  return bytes;
}

/**
 * Unpacks runs.
 *
 * @throws ProtocolError when they are cut short, or do not add up to the `payloadSize` bytes that came with them.
 */
export function decodeRuns(bytes: Uint8Array, payloadSize: number): Run[] {
  const runs = rowsOf(bytes, RUN_SIZE, (view, at) => ({
    offset: Number(view.getBigUint64(at, true)),
    size: view.getUint32(at + 8, true),
  }));
  const total = runs.reduce((sum, { size }) => sum + size, 0);
  if (total !== payloadSize) throw new ProtocolError(`runs of ${total} bytes with a payload of ${payloadSize}`);
  return runs;
}

/** Packs checksums. */
export function encodeChecksums(checksums: readonly MebibyteChecksum[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(checksums.length * CHECKSUM_SIZE);
  const view = new DataView(bytes.buffer);
  checksums.forEach(({ index, digest }, i) => {
    view.setUint32(i * CHECKSUM_SIZE, index, true);
    bytes.set(digest, i * CHECKSUM_SIZE + 4);
  });
  return bytes;
}

/** Unpacks checksums. @throws ProtocolError when they are cut short. */
export function decodeChecksums(bytes: Uint8Array): MebibyteChecksum[] {
  return rowsOf(bytes, CHECKSUM_SIZE, (view, at) => ({
    index: view.getUint32(at, true),
    digest: bytes.slice(at + 4, at + CHECKSUM_SIZE),
  }));
}

function rowsOf<T>(bytes: Uint8Array, rowSize: number, row: (view: DataView, at: number) => T): T[] {
  if (bytes.length % rowSize !== 0) throw new ProtocolError(`${bytes.length} bytes of rows of ${rowSize}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / rowSize }, (_, i) => row(view, i * rowSize));
}
