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
  /** Calls the listener when the connection is worth a look: back on the network or off it, seen again, thawed. Once too often does no harm. */
  watch(listener: () => void): Unsubscribe;
}

/** `pageshow` is also the way back from the back-forward cache. */
const EVENTS = ["online", "offline", "pageshow", "focus", "visibilitychange"];

export const surroundings: Environment = {
  isOnline: () => globalThis.navigator?.onLine !== false,
  watch(listener) {
    const watching = new AbortController();
    for (const name of EVENTS) globalThis.addEventListener?.(name, listener, watching);
    return () => watching.abort();
  },
};
