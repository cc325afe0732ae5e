/**
 * The manifest of a checkpoint, `manifest.json`, format 1: see docs/CHECKPOINT.md.
 *
 *   - Its last line but one is the SHA-256 of all bytes before that line. Every byte of the file is either under it or has
 *     one value only, so no flipped bit goes unseen.
 *   - Nothing read from a file is believed before it was checked: types, ranges, and that the parts fit together.
 */
import { CheckpointError } from "../base/errors.ts";
import { EMPTY_TABLE, endOf, requirePictureRows, SEGMENT_COLUMNS } from "../ipc/segments/segment_rows.ts";
import type { TableRows } from "../ipc/segments/segment_rows.ts";
import { CHECKED_SIZE, CHECKSUM_SIZE } from "./checksum.ts";
import { field, hexField, listField, requireThat, textField, wholeField } from "./json_fields.ts";
import type { JsonObject } from "./json_fields.ts";

/** The manifest's name in a checkpoint's directory. */
export const MANIFEST_FILE = "manifest.json";
/** Grows when what an older dsm would read is no longer what was meant. */
export const FORMAT = 1;

/** How an image came to be: all of it written, or begun from the image of the checkpoint before. */
export const METHODS = ["full", "reflink", "hardlink", "copy"] as const;
/** One of {@linkcode METHODS}. */
export type Method = (typeof METHODS)[number];

/** What a manifest says of one server and its image. */
export interface ImageRecord {
  /** The server: `host:port`. */
  readonly name: string;
  /** The image's file name. */
  readonly file: string;
  /** Address of its first byte in the space. */
  readonly base: number;
  /** Bytes of the region, and of the image. */
  readonly size: number;
  /** Bytes per block of the region. */
  readonly blockSize: number;
  /** Which memory it was: 32 hexadecimal digits. */
  readonly cookie: string;
  /** How often a server had started on these bytes. */
  readonly startCount: number;
  /** Bytes that were written into this image; the others are zeros, or as the checkpoint before had them. */
  readonly changedSize: number;
  /** How the image came to be. */
  readonly method: Method;
  /** CHECKSUM_SIZE bytes per MiB of the image; the last MiB may be a part of one. */
  readonly checksums: Uint8Array;
}

/** What a checkpoint says of itself. */
export interface Manifest {
  /** The life of the cluster it belongs to. */
  readonly incarnation: number;
  /** Its number, which only grows within an incarnation. */
  readonly epoch: number;
  /** When it was taken: ms since 1970. */
  readonly timeMs: number;
  /** The program that wrote it, such as `dsm 0.1.0`. */
  readonly software: string;
  /** The checkpoint from which some images were begun; null when all are full. */
  readonly previous: { readonly name: string; readonly epoch: number } | null;
  /** The table of segments, without attachments. */
  readonly table: TableRows;
  /** In the order of the space. */
  readonly servers: readonly ImageRecord[];
}

const HASH_DIGITS = 64;
const TAIL_SIZE = tailOf("0".repeat(HASH_DIGITS)).length;

/** The name of the image of the `index`th server. */
export function imageFile(index: number): string {
  return `server-${index}.img`;
}

/** How many checksums an image of `size` bytes has. */
export function checksumCount(size: number): number {
  return Math.ceil(size / CHECKED_SIZE);
}

/** Bytes of the whole space. */
export function spaceSize({ servers }: Pick<Manifest, "servers">): number {
  return servers.reduce((sum, { size }) => sum + size, 0);
}

/** The bytes of the file. */
export async function encodeManifest(manifest: Manifest): Promise<Uint8Array<ArrayBuffer>> {
  const { incarnation, epoch, timeMs, software, previous, table, servers } = manifest;
  const fields = {
    format: FORMAT,
    incarnation,
    epoch,
    time: new Date(timeMs).toISOString(),
    software,
    previous,
    ...encodeTable(table),
    layout: servers.map(encodeImage),
  };
  // the checksum takes the place of the closing brace
  const head = new TextEncoder().encode(JSON.stringify(fields, null, 2).replace(/\n}$/, ",\n"));
  const tail = tailOf(await hashOf(head));
  const bytes = new Uint8Array(head.length + tail.length);
  bytes.set(head);
  bytes.set(tail, head.length);
  return bytes;
}

/**
 * The manifest in the bytes of a file.
 *
 * @throws CheckpointError saying what is wrong, without the file's name.
 */
export async function decodeManifest(bytes: Uint8Array<ArrayBuffer>): Promise<Manifest> {
  requireThat(bytes.length > TAIL_SIZE, `it has ${bytes.length} bytes, which is no manifest`);
  const head = bytes.subarray(0, bytes.length - TAIL_SIZE);
  const tail = tailOf(await hashOf(head));
  requireThat(
    tail.every((byte, index) => byte === bytes[head.length + index]),
    "its own checksum does not fit its bytes",
  );
  return manifestFrom(parse(bytes));
}

function parse(bytes: Uint8Array): JsonObject {
  try {
    return field({ manifest: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) }, "manifest");
  } catch (error) {
    throw error instanceof CheckpointError ? error : new CheckpointError("it is not JSON", error);
  }
}

function manifestFrom(fields: JsonObject): Manifest {
  const format = wholeField(fields, "format");
  requireThat(
    format === FORMAT,
    `it has format ${format}, and this dsm reads format ${FORMAT}: use the one that wrote it`,
  );
  const timeMs = Date.parse(textField(fields, "time"));
  requireThat(!Number.isNaN(timeMs), `its time is not one`);
  const layout = listField(fields, "layout");
  requireThat(layout.length > 0, "its layout names no server");
  let base = 0;
  const servers = layout.map((_, index) => {
    const server = imageFrom(field(layout, index), index, base);
    base += server.size;
    return server;
  });
  requireThat(Number.isSafeInteger(base), "its servers have more bytes than there can be");
  const table = tableFrom(fields);
  requireThat(endOf(table.segments) <= base, "a segment ends beyond the last server");
  return {
    incarnation: wholeField(fields, "incarnation"),
    epoch: wholeField(fields, "epoch"),
    timeMs,
    software: textField(fields, "software"),
    previous: previousFrom(fields),
    table,
    servers,
  };
}

function previousFrom(fields: JsonObject): Manifest["previous"] {
  if (fields.previous === null) return null;
  const previous = field(fields, "previous");
  return { name: textField(previous, "name"), epoch: wholeField(previous, "epoch") };
}

/** Of a cluster that never had a segment nothing is said of ids, as in the time before there were any. */
function encodeTable({ sequence, lastIndex, segments }: TableRows): JsonObject {
  const rows = segments.map((row) => Object.fromEntries(SEGMENT_COLUMNS.map((column) => [column, row[column]])));
  return { ...lastIndex < 0 ? {} : { ids: { sequence, lastIndex } }, segments: rows };
}

function tableFrom(fields: JsonObject): TableRows {
  const segments = listField(fields, "segments");
  if (fields.ids === undefined && segments.length === 0) return EMPTY_TABLE;
  const ids = field(fields, "ids");
  const [sequence, lastIndex] = [wholeField(ids, "sequence"), wholeField(ids, "lastIndex")];
  return requirePictureRows({ ...EMPTY_TABLE, sequence, lastIndex, segments });
}

function imageFrom(fields: JsonObject, index: number, base: number): ImageRecord {
  const name = textField(fields, "name");
  const size = wholeField(fields, "size");
  const file = textField(fields, "file");
  const changedSize = wholeField(fields, "changedSize");
  const method = METHODS.find((each) => each === fields.method);
  requireThat(size > 0, `${name} has no bytes`);
  requireThat(file === imageFile(index), `the image of ${name} is called ${file}, not ${imageFile(index)}`);
  requireThat(wholeField(fields, "base") === base, `${name} does not begin where the server before it ends`);
  requireThat(changedSize <= size, `${name} has more changed bytes than bytes`);
  if (method === undefined) throw new CheckpointError(`the image of ${name} was made in a way this dsm does not know`);
  const digests = listField(fields, "checksums");
  requireThat(digests.length === checksumCount(size), `${name} has ${digests.length} checksums for ${size} bytes`);
  const checksums = new Uint8Array(digests.length * CHECKSUM_SIZE);
  digests.forEach((_, at) =>
    checksums.set(Uint8Array.fromHex(hexField(digests, at, CHECKSUM_SIZE)), at * CHECKSUM_SIZE)
  );
  return {
    name,
    file,
    base,
    size,
    blockSize: wholeField(fields, "blockSize"),
    cookie: hexField(fields, "cookie", 16),
    startCount: wholeField(fields, "startCount"),
    changedSize,
    method,
    checksums,
  };
}

function encodeImage(record: ImageRecord): JsonObject {
  const { name, file, base, size, blockSize, cookie, startCount, method, changedSize, checksums } = record;
  const digests = Array.from({ length: checksumCount(size) }, (_, at) => {
    return checksums.subarray(at * CHECKSUM_SIZE, (at + 1) * CHECKSUM_SIZE).toHex();
  });
  return { name, file, base, size, blockSize, cookie, startCount, method, changedSize, checksums: digests };
}

async function hashOf(head: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", head)).toHex();
}

/** The end of a file whose other bytes have that hash. */
function tailOf(hash: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`  "checksum": "${hash}"\n}\n`);
}
