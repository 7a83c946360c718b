/**
 * What a program can learn of its surroundings: whether there is a network, and when to look after the connection.
 *
 * Owns the events of browsers and workers. Where they do not exist (Node, Bun, Deno) nothing is heard, and the heartbeat
 * alone tells.
 */

import type { Unsubscribe } from "./store.js";

/** The surroundings of a client. An application with others (React Native, a test) brings its own. */
export interface Environment {
  /** Whether there may be a network. `false` must be certain. */
  isOnline(): boolean;
  /**
   * Calls `look` when the connection is worth a look: back on the network or off it, seen again, thawed. Once too often does
   * no harm. Calls `leave` when the program is put away: it ends the connection, and the next `look` makes another.
   */
  watch(look: () => void, leave: () => void): Unsubscribe;
}

/** `pageshow` is also the way back from the back-forward cache. */
const EVENTS = ["online", "offline", "pageshow", "focus", "visibilitychange"];

export const surroundings: Environment = {
  isOnline: () => globalThis.navigator?.onLine !== false,
  watch(look, leave) {
    const watching = new AbortController();
    // Into the back-forward cache, or for good. Chromium keeps the socket of a page in there and answers the gateway's pings,
    // though nothing of the page runs: for minutes others would see a user who has left.
    globalThis.addEventListener?.("pagehide", leave, watching);
    for (const name of EVENTS) globalThis.addEventListener?.(name, look, watching);
    return () => watching.abort();
  },
};
