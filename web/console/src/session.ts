/**
 * One identity's connection: the SDK's client, the rooms that it is in, what it has heard, and the frames of its socket.
 *
 * Owns the identity's token, which is in this page's memory and nowhere else.
 */

import { createClient, presence, type AnyEvent, type ConnectionState, type Notice, type Presence, type Room } from "@roomcast/client";

import { claimsOf, type Claims } from "./claims.js";
import { createLog, type Entry, type Log } from "./log.js";
import { createStore, type Readable, type Store } from "./store.js";
import { tapped, type Direction } from "./tap.js";

/** An event or a notice, as the event log shows it. */
export interface Heard extends Entry {
  readonly kind: "event" | "notice";
  readonly type: string;
  readonly rooms: readonly string[];
  readonly userId: string;
  /** The beginning of its payload, or nothing. */
  readonly summary: string;
  /** From its timestamp to its coming; nothing for a notice, or without a timestamp. */
  readonly latencyMs?: number | undefined;
}

export interface Frame extends Entry {
  readonly direction: Direction;
}

/** A room that the identity has joined. */
export interface Joined {
  readonly name: string;
  readonly room: Room;
  readonly presence: Presence | undefined;
  /** What became of it: in words, and whether that is bad. */
  readonly outcome: string;
  readonly isBad: boolean;
  readonly leave: () => void;
}

/** Gives a token; `isFresh`: another than before, where there can be one. */
export type Source = (isFresh: boolean) => string | Promise<string>;

export interface Session {
  readonly id: number;
  readonly claims: Readable<Claims>;
  readonly token: () => string;
  readonly state: Readable<ConnectionState>;
  readonly heard: Log<Heard>;
  readonly frames: Log<Frame>;
  readonly rooms: Readable<readonly Joined[]>;
  /** Latencies of the newest events, in milliseconds. */
  readonly latencies: readonly number[];
  join(name: string, withPresence: boolean): void;
  leave(name: string): void;
  connect(): void;
  /** Ends the connection. */
  close(): void;
  /** Sends this text as it is. Whether there was a socket to send it on. */
  send(text: string): boolean;
}

/** Latencies that are remembered, for their median. */
const LATENCIES = 200;

/** Characters of a payload that fit into a line. */
const SUMMARY = 200;

/** Rooms of one identity: what a gateway allows a connection by default. */
export const MOST_ROOMS = 128;

/** How far the gateway's clock is ahead of this one's, in milliseconds. */
export const clock = { offsetMs: 0 };

let sessions = 0;

export function createSession(url: string, first: string, source: Source): Session {
  let token = first;
  let isFirst = true;
  let socket: WebSocket | undefined;
  const claims = createStore<Claims>(claimsOf(first) ?? {});
  const heard = createLog<Heard>();
  const frames = createLog<Frame>();
  const rooms = createStore<readonly Joined[]>([]);
  const latencies: number[] = [];
  const client = createClient({
    url,
    async token({ fresh }) {
      if (!isFirst) token = await source(fresh);
      isFirst = false;
      claims.set(claimsOf(token) ?? {});
      return token;
    },
    WebSocket: tapped({
      told: (direction, text) => frames.add({ at: Date.now(), text, direction }),
      opened: (opened) => (socket = opened),
    }),
  });
  const state: Store<ConnectionState> = createStore(client.state);
  client.onState(state.set);

  /** One function for all rooms: so an event of several comes once. */
  function hear(event: AnyEvent) {
    const at = Date.now();
    const latencyMs = event.timestamp ? Math.max(0, at + clock.offsetMs - Date.parse(event.timestamp)) : undefined;
    if (latencyMs !== undefined) latencies.push(latencyMs);
    if (latencies.length > LATENCIES) latencies.shift();
    const { type, userId = "", payload, positions = {} } = event;
    const summary = (JSON.stringify(payload) ?? "").slice(0, SUMMARY);
    heard.add({ at, kind: "event", type, userId, summary, latencyMs, rooms: Object.keys(positions), text: JSON.stringify(event) });
  }

  function notice(name: string, message: Notice) {
    const { outcome, isBad } = outcomeOf(message);
    heard.add({ at: Date.now(), kind: "notice", type: outcome, userId: "", summary: "", rooms: [name], text: JSON.stringify(message) });
    rooms.set(rooms.value.map((joined) => (joined.name === name ? { ...joined, outcome, isBad } : joined)));
  }

  function leave(name: string) {
    rooms.value.find((joined) => joined.name === name)?.leave();
    rooms.set(rooms.value.filter((joined) => joined.name !== name));
  }

  function join(name: string, withPresence: boolean) {
    if (rooms.value.length >= MOST_ROOMS) return;
    leave(name);
    const room = client.room(name as `${string}:${string}`);
    rooms.set([...rooms.value, { name, room, presence: undefined, outcome: "joining", isBad: false, leave: () => {} }]);
    const types = ["subscribed", "recovered", "gap", "denied"] as const;
    const leaving = types.map((type) => room.on(type, (message) => notice(name, message as Notice)));
    leaving.push(room.onAny(hear));
    const attended = withPresence ? presence(room) : undefined;
    if (attended) leaving.push(attended.leave);
    const leaveAll = () => leaving.forEach((stop) => stop());
    rooms.set(rooms.value.map((joined) => (joined.name === name ? { ...joined, presence: attended, leave: leaveAll } : joined)));
  }

  return {
    id: ++sessions,
    claims,
    token: () => token,
    state,
    heard,
    frames,
    rooms,
    latencies,
    join,
    leave,
    connect: client.connect,
    close: client.close,
    send(text) {
      const isOpen = socket?.readyState === WebSocket.OPEN;
      if (isOpen) socket?.send(text);
      return isOpen;
    },
  };
}

function outcomeOf(notice: Notice): { outcome: string; isBad: boolean } {
  switch (notice.type) {
    case "subscribed":
      return { outcome: "subscribed", isBad: false };
    case "recovered":
      return { outcome: `recovered ${notice.recovered}`, isBad: false };
    case "gap":
      return { outcome: `gap: ${notice.reason}`, isBad: true };
    case "denied":
      return { outcome: `denied: ${notice.code}`, isBad: true };
  }
}
