/**
 * What a command says: results on stdout, speech on stderr.
 *
 * Synchronous, so that nothing is lost when the process ends. A reader that went away (`dsm … | head`) is
 * Deno.errors.BrokenPipe, which ends the command; unlike console.log, which would go on writing for nobody.
 */

const encoder = new TextEncoder();

/** Writes `text` and a newline to stdout. */
export function print(text: string): void {
  printBytes(encoder.encode(`${text}\n`));
}

/** Writes `bytes` to stdout as they are. */
export function printBytes(bytes: Uint8Array): void {
  writeAll(Deno.stdout, bytes);
}

/** Writes `text` and a newline to stderr. */
export function say(text: string): void {
  writeAll(Deno.stderr, encoder.encode(`${text}\n`));
}

function writeAll(writer: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += writer.writeSync(bytes.subarray(written));
}
