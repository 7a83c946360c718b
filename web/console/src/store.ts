/** The SDK's store, and the hooks by which a view shows one. */

import { useEffect, useState } from "preact/hooks";

// Not on the package's face, which has what an application needs; the console is built from the SDK's sources.
import { createStore, type Readable, type Store } from "../../client/src/store.js";

export { createStore, type Readable, type Store };

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
