/**
 * The client in a tree of components.
 *
 * Owns when it is connected: while a provider is mounted, and a moment longer, so that one that is mounted again at once
 * (StrictMode does that to each) finds the socket that it had.
 */

import { createContext, createElement, useContext, useEffect, useSyncExternalStore, type ReactNode } from "react";

import type { Client } from "../client.js";
import type { ConnectionState } from "../state.js";

/** How long everything is kept for whoever comes back: the next page wants much of what the last one had. */
export const LINGER_MS = 1_000;

const IDLE: ConnectionState = { status: "idle" };

const Context = createContext<Client | undefined>(undefined);

/** The providers of each client, and the wait behind the last. */
const mounted = new WeakMap<Client, { count: number; timer?: ReturnType<typeof setTimeout> }>();

/** Gives a client to all below, and keeps it connected. Make the client outside of components: it is one for a page. */
export function RoomcastProvider({ client, children }: { readonly client: Client; readonly children?: ReactNode }): ReactNode {
  useEffect(() => {
    const providers = mounted.get(client) ?? { count: 0 };
    mounted.set(client, providers);
    clearTimeout(providers.timer);
    providers.count++;
    client.connect();
    return () => {
      if (!--providers.count) providers.timer = setTimeout(client.close, LINGER_MS);
    };
  }, [client]);
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the nearest provider. */
export function useClient(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("there is no RoomcastProvider above");
  return client;
}

/** Where the connection stands. */
export function useConnection(): ConnectionState {
  const client = useClient();
  return useSyncExternalStore(client.onState, () => client.state, () => IDLE);
}
