/**
 * A room as a stream, for `for await`.
 *
 * Owns the queue of one reader, which is bounded: a reader that falls behind is told by a gap, and loads the state anew.
 */

import type { EventName, EventOf } from "./events.js";
import type { Notices } from "./notices.js";
import { ANY } from "./registry.js";
import type { Room, RoomName } from "./room.js";
import type { Position } from "./schema/index.js";
import type { Unsubscribe } from "./store.js";

/** The reader was too slow, and what waited for it was dropped: load the state of the room anew. */
export interface Lag {
  readonly type: "gap";
  readonly room: string;
  /** How far the client has come: what comes behind it is in the stream. */
  readonly position: Position | undefined;
  readonly reason: "lagged";
}

/** What a stream brings: events of declared types (others come too), and what the room tells of itself. */
export type Delivery<Own = {}> =
  | { [Type in EventName<Own>]: EventOf<Type, Own> }[EventName<Own>]
  | Notices[keyof Notices]
  | Lag;

export interface StreamOptions {
  /** Deliveries that wait for the reader, at most; 1000. */
  readonly buffer?: number;
}

/**
 * What happens in the room, in order. The client is in the room from the call on until the loop is left; the stream ends
 * when the client is closed.
 *
 *     for await (const delivery of events(room)) { … }
 */
export function events<Name extends RoomName, Own>(
  room: Room<Name, Own>,
  { buffer = 1000 }: StreamOptions = {},
): AsyncIterableIterator<Delivery<Own>, undefined> {
  const { registry, connection } = room.core;
  let queue: Delivery<Own>[] = [];
  const waiting: ((result: IteratorResult<Delivery<Own>, undefined>) => void)[] = [];
  let isDone = false;

  const push = (value: Delivery<Own>) => {
    const reader = waiting.shift();
    if (reader) return reader({ value, done: false });
    if (queue.length < buffer) return void queue.push(value);
    queue = [{ type: "gap", room: room.name, position: room.position, reason: "lagged" }];
  };
  const leaving: Unsubscribe[] = [ANY, "subscribed", "recovered", "gap", "denied"].map((type) =>
    registry.listen(room.name, { type, hear: push }),
  );
  const finish = () => {
    isDone = true;
    for (const leave of leaving.splice(0)) leave();
    for (const reader of waiting.splice(0)) reader({ value: undefined, done: true });
  };
  leaving.push(connection.state.subscribe(({ status }) => status === "closed" && finish()));

  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next() {
      const value = queue.shift();
      if (value) return Promise.resolve({ value, done: false });
      if (isDone) return Promise.resolve({ value: undefined, done: true });
      return new Promise((resolve) => waiting.push(resolve));
    },
    return() {
      queue = [];
      finish();
      return Promise.resolve({ value: undefined, done: true });
    },
  };
}
