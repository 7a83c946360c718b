/**
 * A value that can be read at any time and watched.
 *
 * Owns who watches. A listener that fails does not keep the others from hearing; its error is thrown where the platform
 * reports such things.
 */

/** Takes back a subscription. May be called more than once. */
export type Unsubscribe = () => void;

/** A value that can be read and watched, as `useSyncExternalStore` wants it: the same object as long as nothing changes. */
export interface Readable<T> {
  /** The value as of now. */
  readonly value: T;
  /** Calls the listener after each change. */
  subscribe(listener: (value: T) => void): Unsubscribe;
}

export interface Store<T> extends Readable<T> {
  set(value: T): void;
}

export function createStore<T>(value: T): Store<T> {
  const listeners = new Set<{ hear(value: T): void }>();
  return {
    get value() {
      return value;
    },
    set(next) {
      value = next;
      for (const listener of [...listeners]) if (listeners.has(listener)) call(listener.hear, value);
    },
    subscribe(hear) {
      const listener = { hear };
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Calls a function of the application. What it throws is the application's: it is reported, and stops nothing here. */
export function call<T>(hear: (value: T) => void, value: T): void {
  try {
    hear(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
