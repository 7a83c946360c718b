/**
 * Which rooms are wanted, where each stands with the gateway, and how far it has come.
 *
 * Owns the sharing of a room by its listeners, the requests about rooms in as few frames as can be, and the way of an event
 * to its listeners, once to each. Refuses the socket and the clock of the connection: a link is given and taken.
 */

import { waitMs } from "./backoff.js";
import { isTransient } from "./errors.js";
import type { Link } from "./link.js";
import { isBefore } from "./position.js";
import type { AnyEvent, Position, Reply, Room, RoomOutcome, ServerMessage } from "./schema/index.js";
import { call, type Unsubscribe } from "./store.js";

/** Whoever wants a room. */
export interface Listener {
  /** The type of the events, notices or words about presence to hear; `ANY`: every event. */
  readonly type: string;
  hear(message: any): void;
}

/** Every event, and nothing else. */
export const ANY = "*";

/** A room that somebody wants, or that is still to be left. */
export interface Entry {
  readonly name: Room;
  /** Whoever wants it. */
  readonly listeners: Set<Listener>;
  /** The last event that came, or where live delivery began; kept over connections. */
  position: Position | undefined;
  standing: Standing;
}

/** Where a room stands on the current connection. */
export type Standing =
  /** The gateway knows nothing of it. */
  | "out"
  /** A request about it has no answer yet. What comes of it meanwhile lies before the answer, or comes again behind it. */
  | "asked"
  /** The gateway sends what happens in it. */
  | "joined"
  /** The gateway refuses it: it is asked again on the next connection, or with the next token. */
  | "denied";

export interface Registry {
  /** Wants a room; from a position on, if this is the first to want it. */
  listen(room: Room, listener: Listener, since?: Position): Unsubscribe;
  entry(room: Room): Entry | undefined;
  /** Asks soon for what is to be asked. */
  schedule(): void;
  opened(link: Link): void;
  lost(): void;
  heard(message: ServerMessage): void;
  /** Another token is in force, which does not grant these rooms. */
  renewed(lostRooms: readonly Room[]): void;
}

/** Events whose hearers are remembered: the history of a room, as a gateway keeps it by default. */
const RECENT = 1000;

/** The longest pause behind a request that the gateway could not serve, beside what it asks for. */
const PAUSE_MS = 10_000;

/** What a room takes of a request at most: its name twice, and a position. */
const ROOM_BYTES = 384;

/** Types of frames that are no events: those of this version, and what a later one may add. */
const NO_EVENT = /^(connection|subscription|publish|auth|presence)\.|^error$/;

export function createRegistry(): Registry {
  const entries = new Map<Room, Entry>();
  /** Who has heard of the latest events. An event of several rooms may come once for each. */
  const recent = new Map<string, Set<unknown>>();
  let link: Link | undefined;
  let isScheduled = false;
  let pause: ReturnType<typeof setTimeout> | undefined;

  /** All that is wanted in one turn goes out together. */
  function schedule() {
    if (!isScheduled) queueMicrotask(flush);
    isScheduled = true;
  }

  function flush() {
    isScheduled = false;
    const joining: Entry[] = [];
    const leaving: Entry[] = [];
    for (const entry of entries.values()) {
      const { standing, listeners } = entry;
      if (standing === "asked") continue;
      if (listeners.size) standing === "out" && joining.push(entry);
      else if (standing === "joined") leaving.push(entry);
      else entries.delete(entry.name);
    }
    ask("unsubscribe", leaving, "joined");
    ask("subscribe", joining, "out");
  }

  /** Sends one request or more about rooms, which stand where they stood if it is not served. */
  function ask(action: "subscribe" | "unsubscribe", some: Entry[], before: Standing) {
    if (!link || pause || !some.length) return;
    const { maxRoomsPerMessage, maxMessageBytes } = link.limits;
    const now = some.splice(0, Math.min(maxRoomsPerMessage, Math.ceil(maxMessageBytes / ROOM_BYTES)));
    const rooms = now.map(({ name }) => name);
    const since = Object.fromEntries(now.flatMap(({ name, position }) => (position ? [[name, position]] : [])));
    for (const entry of now) entry.standing = "asked";
    link.request(action === "subscribe" ? { action, rooms, since } : { action, rooms }, (reply) => {
      const error = reply?.type === "error" ? reply.payload : undefined;
      let isServed = true;
      for (const entry of now) {
        const refusal = error && ({ status: "denied", code: error.code } as const);
        const outcome = reply?.type === "subscription.ack" ? reply.payload.rooms[entry.name] : refusal;
        if (!outcome || ("code" in outcome && isTransient(outcome.code))) {
          entry.standing = before;
          isServed = false;
        } else settle(entry, outcome);
      }
      if (!isServed) rest(error?.retryAfterMs);
      schedule();
    });
    ask(action, some, before);
  }

  /** What became of a room. */
  function settle(entry: Entry, outcome: RoomOutcome) {
    const { status } = outcome;
    const isDenied = status === "denied";
    entry.standing = isDenied ? status : status === "unsubscribed" ? "out" : "joined";
    if (!isDenied) entry.position = (outcome as { position?: Position }).position;
    tell(entry, status, { ...outcome, type: status, room: entry.name });
  }

  /** Lets the gateway be for a while. */
  function rest(hintMs?: number) {
    clearTimeout(pause);
    const over = () => {
      pause = undefined;
      schedule();
    };
    pause = setTimeout(over, waitMs(1, PAUSE_MS, PAUSE_MS, hintMs));
  }

  /** Calls the listeners of a room for that type, but for those who `had` the event. */
  function tell(entry: Entry | undefined, type: string, message: unknown, had?: Set<unknown>) {
    for (const listener of [...(entry?.listeners ?? [])]) {
      const { hear } = listener;
      const isMeant = listener.type === type || (had && listener.type === ANY);
      if (!isMeant || had?.has(hear) || !entry!.listeners.has(listener)) continue;
      had?.add(hear);
      call(hear, message);
    }
  }

  /** Hands an event to the listeners of its rooms, where it is new. */
  function route(event: AnyEvent) {
    const { eventId, positions } = event;
    const had = recent.get(eventId!) ?? new Set();
    if (eventId) recent.set(eventId, had);
    if (recent.size > RECENT) recent.delete(recent.keys().next().value!);
    for (const room of positions ? moved(positions) : implied(event)) tell(entries.get(room), event.type, event, had);
  }

  /** The rooms in which the event is the next one, which come to its position. */
  function moved(positions: Record<Room, Position>): Room[] {
    return Object.keys(positions).filter((room) => {
      const entry = entries.get(room);
      const position = positions[room]!;
      const isNext = entry?.standing === "joined" && isBefore(entry.position!, position) !== false;
      if (isNext) entry.position = position;
      return isNext;
    });
  }

  /** Where an event goes that names no rooms, because it is not kept: to the room of its type, or to whoever may want it. */
  function implied({ type, payload }: AnyEvent): Iterable<Room> {
    return type === "user.typing" ? [`issue:${(payload as { issueId: string }).issueId}`] : entries.keys();
  }

  return {
    listen(name, listener, position) {
      // Where nobody listens, the room is only still to be left: who comes with a position is to have all behind it.
      if (position && !entries.get(name)?.listeners.size) entries.delete(name);
      const entry: Entry = entries.get(name) ?? { name, listeners: new Set(), position, standing: "out" };
      entries.set(name, entry);
      entry.listeners.add(listener);
      schedule();
      return () => {
        entry.listeners.delete(listener);
        schedule();
      };
    },
    entry: (room) => entries.get(room),
    schedule,
    opened(opened) {
      link = opened;
      flush();
    },
    lost() {
      link = undefined;
      clearTimeout(pause);
      pause = undefined;
      for (const entry of entries.values()) entry.standing = "out";
    },
    heard(message) {
      const { type, payload, replyTo } = message as Reply;
      if (!NO_EVENT.test(type)) route(message as AnyEvent);
      // Of these only words about presence name a room.
      else tell(entries.get((payload as { room: Room })?.room), type, payload);
      // An answer that comes too late says nothing that is still so.
      if (type !== "subscription.ack" || replyTo) return;
      for (const [room, outcome] of Object.entries(payload.rooms)) {
        const entry = entries.get(room);
        if (entry?.standing === "joined") settle(entry, outcome);
      }
    },
    renewed(lostRooms) {
      for (const entry of entries.values()) {
        if (lostRooms.includes(entry.name)) settle(entry, { status: "denied", code: "FORBIDDEN" });
        else if (entry.standing === "denied") entry.standing = "out";
      }
      schedule();
    },
  };
}
