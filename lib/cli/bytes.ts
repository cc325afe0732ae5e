/** Bytes as people read them. */

const decoder = new TextDecoder("utf-8", { fatal: true });

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** How many bytes the UTF-8 sequence takes that begins with `first`; 0 when none does. */
function sequenceSize(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/**
 * Text where the bytes are printable UTF-8, `\xNN` for every other byte and for the backslash itself, so that the bytes
 * can be told from the text again.
 */
export function bytesToText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const size = sequenceSize(bytes[at] as number);
    const character = size === 0 ? undefined : decodeOne(bytes.subarray(at, at + size));
    if (character === undefined || /[\p{C}\p{Zl}\p{Zp}\\]/u.test(character)) {
      text += hex(bytes[at] as number);
      at++;
    } else {
      text += character;
      at += size;
    }
  }
  return text;
}

function decodeOne(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
