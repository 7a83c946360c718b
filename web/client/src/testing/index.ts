/**
 * A gateway for an application's own tests: in memory, without a network, driven by a script.
 *
 * It speaks the protocol as the real one does, which the same scenarios on both show. Time is that of timers: under a fake
 * clock everything waits for it.
 */

import type { EventName, Payloads } from "../events.js";
import type { WebSocketConstructor } from "../options.js";
import type { RoomName } from "../room.js";
import { CLOSE_CODES } from "../schema/codes.js";
import type { GapReason, PresenceMember, Published } from "../schema/index.js";
import type { TokenProvider } from "../token.js";
import { encode, type Claims } from "./access.js";
import { Session } from "./session.js";
import { FakeSocket } from "./socket.js";
import { World, type WorldOptions } from "./world.js";

export type { Claims, RoomAccess } from "./access.js";
export type { WorldOptions as FakeGatewayOptions } from "./world.js";

/** What a token says beside whose it is. */
export interface TokenOptions extends Partial<Pick<Claims, "email" | "grants">> {
  /** When it runs out, from now on; ten minutes. */
  readonly expiresInMs?: number;
}

/** What a back end says of an event. */
export interface Publishing {
  /** Who acted. */
  readonly userId?: string;
  readonly eventId?: string;
  /** Where to; without it the rooms of the event's type. */
  readonly rooms?: readonly RoomName[];
}

/** A gateway, and what a test can do with it. `user` names whose connections are meant; without it all are. */
export interface FakeGateway<Own = {}> {
  /** To be given to `createClient`. */
  readonly url: string;
  readonly WebSocket: WebSocketConstructor;
  /** A token of the user. */
  token(user: string, options?: TokenOptions): string;
  /** A provider that gives the user a new token each time. */
  tokens(user: string, options?: TokenOptions): TokenProvider;

  /** Publishes an event, as a back end does. Throws for what a gateway would refuse. */
  publish<Type extends EventName<Own>>(type: Type, payload: Payloads<Own>[Type], publishing?: Publishing): Published;
  /** The names of those who are connected, each as often as they are. */
  readonly connections: readonly string[];
  /** How many connections are in the room. */
  count(room: RoomName): number;
  /** Who is present in the room. */
  members(room: RoomName): PresenceMember[];

  /** The network fails: connections are gone without a word. */
  drop(user?: string): void;
  /** Connections are refused before they open, until this is called with `false`. */
  refuse(refused?: boolean): void;
  /** The broker is away, until this is called with `false`: rooms are denied for now, and nothing is published. */
  unavailable(away?: boolean): void;
  /**
   * Events of the room are lost: its stream is made anew. Whoever is in it is told of a gap, and so is whoever comes back.
   */
  gap(room: RoomName, reason?: GapReason): void;
  /** Tells that tokens are about to run out, so that clients renew them. */
  expiring(user?: string): void;
  /** Tokens have run out: connections are closed with 4002, to come back with another. */
  expire(user?: string): void;
  /** The gateway stops in good order, and its successor takes the clients back after the time: 1012. */
  drain(retryAfterMs?: number): void;
  /** The server sends a user away: 4501, and their tokens are refused from now on. */
  disconnect(user: string): void;
  /** Ends everything, without a word, and leaves no timer. */
  close(): void;
}

/** Makes a gateway with no one connected. */
export function createFakeGateway<Own = {}>(options: WorldOptions = {}): FakeGateway<Own> {
  const world = new World(options);
  let connections = 0;
  const sessions = (user?: string) => [...world.sessions].filter((session) => user === undefined || session.userId === user);
  const token = (user: string, { expiresInMs = 600_000, ...claims }: TokenOptions = {}) =>
    encode({ sub: user, exp: (Date.now() + expiresInMs) / 1000, ...claims });

  return {
    url: "ws://fake.gateway/ws",
    WebSocket: class extends FakeSocket {
      constructor(url: string | URL, protocols: string | readonly string[] = []) {
        super(url, typeof protocols === "string" ? [protocols] : protocols, new Session(world, `connection-${++connections}`));
      }
    },
    token,
    tokens: (user, options) => () => token(user, options),
    publish: (type, payload, publishing) => world.publish({ type, payload, ...publishing }),
    get connections() {
      return sessions().filter(({ isOpen }) => isOpen).map(({ userId }) => userId);
    },
    count: (room) => sessions().filter(({ rooms }) => rooms.has(room)).length,
    members: (room) => world.presence.members(room),
    drop: (user) => sessions(user).forEach((session) => session.abort()),
    refuse: (refused = true) => void (world.isRefusing = refused),
    unavailable: (away = true) => void (world.isAway = away),
    gap(room, reason = "epoch_changed") {
      world.streams.lose(room);
      for (const session of sessions()) session.gap(room, reason);
    },
    expiring: (user) => sessions(user).forEach((session) => session.warn()),
    expire: (user) => sessions(user).forEach((session) => session.shut(CLOSE_CODES.TokenExpired)),
    drain: (retryAfterMs = 0) => sessions().forEach((session) => session.shut(CLOSE_CODES.ServiceRestart, retryAfterMs)),
    disconnect(user) {
      world.refuseUser(user);
      sessions(user).forEach((session) => session.shut(CLOSE_CODES.Disconnected));
    },
    close() {
      sessions().forEach((session) => session.abort());
      world.presence.close();
    },
  };
}
