/**
 * The messages of the registry exercise, byte for byte as a C program has them in memory, so that one can take part.
 *
 *     BIND 1     {int id_server; int id_queue;}    a server to the registry: this is my queue
 *     QUERY 2    {int id_server; int id_queue;}    a client to the registry: which is its queue? (id_queue says nothing)
 *     result     {int id_server; int id_queue;}    the registry to whoever asks; the type is the server's number; -1: none
 *     SERVICE 3  {int value;}                      a client to a server: your resource is this now
 *     EXIT 4                                       the parent to the registry, the registry to each server
 */

/** The types. */
export const MessageType = { bind: 1, query: 2, service: 3, exit: 4 } as const;

/** The queue of a server that is not bound. */
export const NO_QUEUE = -1;

/** A buffer of that size receives any of them, also from a C program that sends its struct with the padding. */
export const BODY_SIZE_MAX = 64;

const INT_SIZE = 4;
/** The exercise is for one host, or between hosts of one byte order; every Linux that runs Deno has this one. */
const IS_LITTLE_ENDIAN = true;

/** The body of BIND, QUERY and of a result. */
export interface AboutServer {
  /** The server's number, 1 and more. */
  readonly server: number;
  /** The id of its queue. */
  readonly queue: number;
}

/** Encodes the body of BIND, QUERY and a result. */
export function encodeAboutServer({ server, queue }: AboutServer): Uint8Array<ArrayBuffer> {
  return encodeInts(server, queue);
}

/** Encodes the body of SERVICE. */
export function encodeService(value: number): Uint8Array<ArrayBuffer> {
  return encodeInts(value);
}

/** Reads the body of BIND, QUERY or a result; undefined when it is too short for one. */
export function decodeAboutServer(body: Uint8Array): AboutServer | undefined {
  const [server, queue] = decodeInts(body);
  return server === undefined || queue === undefined ? undefined : { server, queue };
}

/** Reads the body of SERVICE; undefined when it is too short for one. */
export function decodeService(body: Uint8Array): number | undefined {
  return decodeInts(body)[0];
}

function encodeInts(...values: number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.length * INT_SIZE);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setInt32(i * INT_SIZE, value, IS_LITTLE_ENDIAN));
  return bytes;
}

function decodeInts(body: Uint8Array): number[] {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  return Array.from({ length: Math.floor(body.length / INT_SIZE) }, (_, i) => {
    return view.getInt32(i * INT_SIZE, IS_LITTLE_ENDIAN);
  });
}
