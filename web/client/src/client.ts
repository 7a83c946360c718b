/**
 * The client: one connection to a gateway, and the rooms over it.
 *
 * Owns how the parts are put together, and nothing else.
 */

import { createConnection } from "./connection.js";
import { settings, type ClientOptions } from "./options.js";
import { createRegistry } from "./registry.js";
import { createRoom, type Core, type Room, type RoomName } from "./room.js";
import type { Position } from "./schema/index.js";
import type { ConnectionState } from "./state.js";
import type { Unsubscribe } from "./store.js";

/** A connection to a gateway that mends itself. `Own` are the payloads of the application's own events. */
export interface Client<Own = {}> {
  /** Where the connection stands: the same object as long as nothing changes. */
  readonly state: ConnectionState;
  /** Calls the listener after each change of `state`. */
  onState(listener: (state: ConnectionState) => void): Unsubscribe;
  /** Connects, and stays connected. It returns at once and never throws; `state` tells how it goes. Again: nothing. */
  connect(): void;
  /** Closes the connection. Who listens goes on where it was when `connect` is called again. */
  close(): void;
  /**
   * A room. `since`: the application has everything up to this position, and wants what follows. It counts once, for
   * whoever listens first.
   */
  room<Name extends RoomName>(name: Name, options?: { readonly since?: Position | undefined }): Room<Name, Own>;
  /** @internal */
  readonly core: Core;
}

/** Makes a client. It does nothing before `connect` is called. */
export function createClient<Own = {}>(options: ClientOptions): Client<Own> {
  const registry = createRegistry();
  const connection = createConnection(settings(options), registry);
  const core = { connection, registry, publishing: 0 };
  return {
    core,
    get state() {
      return connection.state.value;
    },
    onState: connection.state.subscribe,
    connect: connection.connect,
    close: connection.close,
    room: (name, { since } = {}) => createRoom(core, name, since),
  };
}
