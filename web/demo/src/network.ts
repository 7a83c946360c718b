/**
 * One person's network, which can be gone for a while.
 *
 * Owns what the person's page reaches: nothing, while it is down. The SDK is given this in place of the browser's WebSocket
 * and of its news of the network; what it does then is what it does in a train.
 */

import type { Environment, Unsubscribe, WebSocketConstructor, WebSocketLike } from "@roomcast/client";

export interface Network {
  /** Until when there is none, in milliseconds since 1970; 0 while there is one. */
  readonly downUntil: number;
  /** Calls the listener when it goes or comes back. */
  subscribe(listener: () => void): Unsubscribe;
  /** Lets it be gone for so long. */
  goDown(ms: number): void;
  /** `fetch`, over this network. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  readonly WebSocket: WebSocketConstructor;
  readonly environment: Environment;
}

/** What a browser tells of itself, too. */
const EVENTS = ["online", "offline", "pageshow", "focus", "visibilitychange"];

export function createNetwork(): Network {
  const listeners = new Set<() => void>();
  let downUntil = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function set(until: number) {
    downUntil = until;
    for (const listener of [...listeners]) listener();
  }

  function subscribe(listener: () => void): Unsubscribe {
    // The same function may listen twice.
    const own = () => listener();
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  function Socket(url: string | URL, protocols?: string[]): WebSocketLike {
    return downUntil ? unreachable() : new WebSocket(url, protocols);
  }

  return {
    get downUntil() {
      return downUntil;
    },
    subscribe,
    goDown(ms) {
      clearTimeout(timer);
      timer = setTimeout(set, ms, 0);
      set(Date.now() + ms);
    },
    async fetch(path, init) {
      if (downUntil) throw new TypeError("there is no network");
      return fetch(path, init);
    },
    // A function that is called with `new` gives the object that it returns.
    WebSocket: Socket as unknown as WebSocketConstructor,
    environment: {
      isOnline: () => !downUntil && navigator.onLine,
      watch(look, leave) {
        const watching = new AbortController();
        addEventListener("pagehide", leave, watching);
        for (const name of EVENTS) addEventListener(name, look, watching);
        const off = subscribe(look);
        return () => {
          watching.abort();
          off();
        };
      },
    },
  };
}

/** A socket that ends before it is open, as a browser tells of it: with 1006 and no word. */
function unreachable(): WebSocketLike {
  const socket: WebSocketLike = {
    onopen: null,
    onmessage: null,
    onclose: null,
    onerror: null,
    send: () => {},
    close: () => clearTimeout(timer),
  };
  const timer = setTimeout(() => {
    socket.onerror?.({});
    socket.onclose?.({ code: 1006, reason: "" });
  });
  return socket;
}
