/** The size of texts on the wire. */

/** The bytes of the text as UTF-8. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
