/** Positions, as far as a client may look into them. */

import type { Position } from "./schema/index.js";

/**
 * Whether the first position of a room lies before the second; `undefined` when that cannot be said, because the room's
 * stream was made anew in between.
 */
export function isBefore(first: Position, second: Position): boolean | undefined {
  const [epoch, offset] = first.split(":");
  const [otherEpoch, otherOffset] = second.split(":");
  return epoch === otherEpoch ? Number(offset) < Number(otherOffset) : undefined;
}
