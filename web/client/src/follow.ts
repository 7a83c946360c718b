/**
 * From a state to its events: the position first, then the snapshot, then what follows.
 *
 * Owns the hand-off. What happens while the snapshot is loaded waits for it, within a bound; after a gap it is loaded anew.
 */

import { waitMs } from "./backoff.js";
import { ANY } from "./registry.js";
import type { Room, RoomName } from "./room.js";
import type { AnyEvent, Position } from "./schema/index.js";
import type { Unsubscribe } from "./store.js";

/** What a snapshot must hold. */
export interface Loading {
  /** The snapshot has everything up to this position, or more; whatever lies behind it comes as an event. */
  readonly position: Position;
  /** Aborted when the snapshot is of no use any more. */
  readonly signal: AbortSignal;
}

export interface Follower<State> {
  /** Loads the state. One that fails is tried again, after a while. */
  load(loading: Loading): State | Promise<State>;
  /** The state was loaded, at first or anew: it replaces what was known. */
  onSnapshot(state: State, loading: Loading): void;
  /**
   * An event behind the snapshot, in order. The snapshot may hold the first of them already: apply them in a way that bears
   * that, or pass over those that are not behind the position that the snapshot names itself (`isBefore`).
   */
  onEvent(event: AnyEvent): void;
  /** Loading has failed. */
  onError?(error: unknown): void;
}

/** Events that wait for a snapshot. When more come, it is loaded again. */
const BUFFER = 1000;

/** The waits after a failure to load. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;

/** Follows a room from a snapshot on, until it is taken back. */
export function follow<State, Name extends RoomName, Own>(room: Room<Name, Own>, follower: Follower<State>): Unsubscribe {
  const { registry } = room.core;
  /** The latest snapshot, loaded or on its way. */
  let loading: AbortController | undefined;
  /** What waits for the snapshot; `undefined` behind it. */
  let queue: AnyEvent[] | undefined = [];
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function load() {
    clearTimeout(timer);
    loading?.abort();
    const { signal } = (loading = new AbortController());
    const events: AnyEvent[] = (queue = []);
    const own = { position: room.position!, signal };
    try {
      const state = await follower.load(own);
      if (signal.aborted) return;
      if (events.length > BUFFER) return load();
      failures = 0;
      queue = undefined;
      follower.onSnapshot(state, own);
      for (const event of events) if (!signal.aborted) follower.onEvent(event);
    } catch (error) {
      if (signal.aborted) return;
      timer = setTimeout(load, waitMs(++failures, FIRST_RETRY_MS, LONGEST_RETRY_MS));
      follower.onError?.(error);
    }
  }

  function hear(event: AnyEvent) {
    if (!queue) follower.onEvent(event);
    else if (queue.length <= BUFFER) queue.push(event);
  }

  const leaving = [
    registry.listen(room.name, { type: ANY, hear }),
    registry.listen(room.name, { type: "subscribed", hear: load }),
    registry.listen(room.name, { type: "gap", hear: load }),
    // Only who goes on from a position of its own is told this before anything was loaded.
    registry.listen(room.name, { type: "recovered", hear: () => loading || load() }),
  ];
  if (registry.entry(room.name)?.standing === "joined") load();
  return () => {
    for (const leave of leaving) leave();
    clearTimeout(timer);
    loading?.abort();
  };
}
