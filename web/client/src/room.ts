/**
 * A room, as an application holds it.
 *
 * Owns what can be asked of a room by itself. A handle costs nothing: the client is in a room while anybody listens.
 */

import type { EventName, EventOf } from "./events.js";
import type { Notices } from "./notices.js";
import type { Rosters } from "./presence.js";
import { ANY, type Listener, type Registry } from "./registry.js";
import type { Connection } from "./connection.js";
import type { AnyEvent, Position } from "./schema/index.js";
import type { Unsubscribe } from "./store.js";

/** A name that can be one of a room: `kind:id`. `rooms` makes them. */
export type RoomName = `${string}:${string}`;

/** What the functions beside the core work with. */
export interface Core {
  readonly connection: Connection;
  readonly registry: Registry;
  /** Events that wait for their acknowledgement. */
  publishing: number;
  /** The rooms with presence, where there are any. */
  rosters?: Rosters;
}

/**
 * A room. The client joins it with the first listener and leaves it when the last one is gone; listeners share it. One
 * function hears of one event once, however many rooms brought it.
 */
export interface Room<Name extends RoomName = RoomName, Own = {}> {
  readonly name: Name;
  /**
   * How far the client has come in the room, while anybody listens: everything behind it will come. Kept elsewhere, it is
   * what `since` takes, after a page was loaded again for example.
   */
  readonly position: Position | undefined;
  /** Calls the listener for each event of the type, or each notice: `subscribed`, `recovered`, `gap`, `denied`. */
  on<Type extends EventName<Own> | keyof Notices>(
    type: Type,
    listener: (
      message: Type extends keyof Notices ? Notices[Type] : Type extends EventName<Own> ? EventOf<Type, Own> : never,
    ) => void,
  ): Unsubscribe;
  /** Calls the listener for each event, also of types that nobody has declared. */
  onAny(listener: (event: AnyEvent) => void): Unsubscribe;
  /** @internal */
  readonly core: Core;
}

const POSITION = /^[0-9a-z]+:\d+$/;

export function createRoom<Name extends RoomName, Own>(core: Core, name: Name, since?: Position): Room<Name, Own> {
  // One that is none would have the gateway refuse a whole request.
  let from = since && POSITION.test(since) ? since : undefined;
  const listen = (type: string, hear: Listener["hear"]) => {
    const position = from;
    // Who comes again later does not want again what came since.
    from = undefined;
    return core.registry.listen(name, { type, hear }, position);
  };
  return {
    core,
    name,
    get position() {
      return core.registry.entry(name)?.position;
    },
    on: listen,
    onAny: (listener) => listen(ANY, listener),
  };
}
