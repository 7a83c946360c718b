/**
 * The missed events of several rooms, brought into one order.
 *
 * An event of several rooms comes once, when it is the next one in each of those that missed it.
 */

import type { Room } from "../schema/index.js";
import { isBefore, type Publication } from "./streams.js";

export interface Replayed {
  readonly publication: Publication;
  /** Where it is the next one. */
  readonly rooms: readonly Room[];
}

export function merge(missed: ReadonlyMap<Room, readonly Publication[]>): Replayed[] {
  const lists = new Map([...missed].sort(([first], [second]) => (first < second ? -1 : 1)).map(([room, list]) => [room, [...list]]));
  const order: Replayed[] = [];
  for (;;) {
    const waiting = [...lists].filter(([, list]) => list.length);
    if (!waiting.length) return order;
    const [, list] = waiting.find(([, [next]]) => !isLater(next!, lists)) ?? waiting[0]!;
    const publication = list[0]!;
    const rooms = waiting.filter(([, [next]]) => next === publication).map(([room]) => room);
    for (const room of rooms) lists.get(room)!.shift();
    order.push({ publication, rooms });
  }
}

/** Whether something comes before the event in another of its rooms. */
function isLater({ places }: Publication, lists: ReadonlyMap<Room, readonly Publication[]>): boolean {
  return [...places].some(([room, position]) => {
    const next = lists.get(room)?.[0]?.places.get(room);
    return next !== undefined && position !== undefined && isBefore(next, position);
  });
}
