/**
 * How long to wait before trying again.
 *
 * Owns the arithmetic and nothing else. Full jitter (a wait drawn evenly from nothing up to a window that doubles) is what
 * spreads the clients of a restarted gateway.
 */

/** The longest hint that is obeyed. A longer one is a mistake, and would look like a dead client. */
const LONGEST_HINT_MS = 10 * 60_000;

/** The wait after `failures` in a row, in milliseconds: the gateway's `hintMs`, and behind it full jitter. */
export function waitMs(failures: number, firstMs: number, longestMs: number, hintMs = 0): number {
  const window = Math.min(firstMs * 2 ** (failures - 1), longestMs);
  return Math.min(hintMs, LONGEST_HINT_MS) + Math.random() * window;
}
