/** A value that can be watched, as the SDK has them too, and the hook by which a view shows one. */

import type { Readable } from "@roomcast/client";
import { useEffect, useState } from "preact/hooks";

export type { Readable };

export interface Store<T> extends Readable<T> {
  set(value: T): void;
}

export function createStore<T>(value: T): Store<T> {
  const listeners = new Set<(value: T) => void>();
  return {
    get value() {
      return value;
    },
    set(next) {
      value = next;
      for (const hear of [...listeners]) hear(value);
    },
    subscribe(hear) {
      listeners.add(hear);
      return () => void listeners.delete(hear);
    },
  };
}

/** The store's value; the view is drawn again when it changes. */
export function useStore<T>(store: Readable<T>): T {
  const [, drawAgain] = useState({});
  const shown = store.value;
  useEffect(() => {
    // It may have changed between the drawing and now.
    if (store.value !== shown) drawAgain({});
    return store.subscribe(() => drawAgain({}));
  }, [store]);
  return shown;
}

/** Draws the view again each second, for what depends on the time; gives the time, in milliseconds since 1970. */
export function useSeconds(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
