/**
 * Who is in a room.
 *
 * Owns the list, folded from what the gateway tells, and the one wish that all who take part in a room's presence have with
 * the gateway: the latest data of those who said something. It is said once a room is joined, again on each connection, and
 * moves nobody in the room.
 */

import { byteLength } from "./bytes.js";
import { isTransient, RoomcastError } from "./errors.js";
import type { Core, Room, RoomName } from "./room.js";
import type { PresenceChange, PresenceMember, PresenceState, Reply } from "./schema/index.js";
import { createStore, type Readable, type Store, type Unsubscribe } from "./store.js";

/** What is known of a room's presence. */
export interface Attendance {
  /** Who is in the room, oneself included. While the connection is away, who was. */
  readonly members: readonly PresenceMember[];
  /** The gateway does not tell: the token does not grant it. Events come all the same. */
  readonly isDenied: boolean;
}

/** One part that is taken in the presence of a room. */
export interface Presence extends Readable<Attendance> {
  /**
   * Says something else of the user to the others. Each change is a message, of which a gateway takes about a hundred a
   * minute; those behind one that is on its way wait, and only the last of them is sent.
   */
  update(data: unknown): void;
  /** Takes no part any more. When nobody of this client does, the user is gone from the list. */
  leave(): void;
}

export interface PresenceOptions {
  /** What others see beside the user's id, at most 1 KiB as JSON. */
  readonly data?: unknown;
}

/** What a gateway takes of data. */
const MAX_BYTES = 1024;

/** Before a wish that was not served is said again, where the gateway does not say when. */
const PAUSE_MS = 5_000;

/** What one part says of the user. */
interface Attendee {
  data: unknown;
}

/** One room's presence. */
interface Roster {
  readonly room: string;
  readonly store: Store<Attendance>;
  /** Who takes part. Who spoke last comes last. */
  attendees: Attendee[];
  /** The listeners in the room, while anybody takes part. */
  leaving: Unsubscribe[];
  /** There is something to say that no request has said. */
  isDue: boolean;
  /** A request has no answer yet. */
  isAsked: boolean;
  /** The pause behind a request that was not served. */
  timer?: ReturnType<typeof setTimeout>;
}

/** All rooms of a client with presence. */
export type Rosters = ReturnType<typeof createRosters>;

/** Takes part in the presence of the room. */
export function presence<Name extends RoomName, Own>(room: Room<Name, Own>, { data }: PresenceOptions = {}): Presence {
  const { core, name } = room;
  const attendee = { data: checked(data) };
  const all = (core.rosters ??= createRosters(core));
  const roster = all.attend(name, attendee);
  return {
    get value() {
      return roster.store.value;
    },
    subscribe: roster.store.subscribe,
    update(data) {
      attendee.data = checked(data);
      // One who has left stays away.
      if (roster.attendees.includes(attendee)) all.attend(name, attendee);
    },
    leave: () => all.withdraw(roster, attendee),
  };
}

function checked(data: unknown): unknown {
  const text = JSON.stringify(data) ?? "";
  if (byteLength(text) > MAX_BYTES) throw new RoomcastError("invalid", "presence: over 1 KiB");
  return data;
}

function createRosters({ registry, connection }: Core) {
  const rooms = new Map<string, Roster>();
  let isScheduled = false;

  function attend(room: string, attendee: Attendee): Roster {
    const store = createStore<Attendance>({ members: [], isDenied: false });
    const roster = rooms.get(room) ?? { room, store, attendees: [], leaving: [], isDue: false, isAsked: false };
    rooms.set(room, roster);
    if (!roster.leaving.length) listen(roster);
    roster.attendees = [...roster.attendees.filter((other) => other !== attendee), attendee];
    schedule(roster);
    return roster;
  }

  function withdraw(roster: Roster, attendee: Attendee) {
    roster.attendees = roster.attendees.filter((other) => other !== attendee);
    if (!roster.attendees.length) for (const leave of roster.leaving.splice(0)) leave();
    clearTimeout(roster.timer);
    schedule(roster);
  }

  function listen(roster: Roster) {
    const on = (type: string, hear: (message: any) => void) => {
      roster.leaving.push(registry.listen(roster.room, { type, hear }));
    };
    const set = (members: readonly PresenceMember[]) => roster.store.set({ members, isDenied: false });
    const others = ({ userId }: PresenceMember) => roster.store.value.members.filter((other) => other.userId !== userId);
    for (const type of ["subscribed", "recovered", "gap"]) on(type, () => schedule(roster));
    on("presence.state", ({ members }: PresenceState) => set(members));
    on("presence.joined", ({ member }: PresenceChange) => set([...others(member), member]));
    on("presence.left", ({ member }: PresenceChange) => set(others(member)));
  }

  /** All that is to be said in one turn goes out together. */
  function schedule(roster: Roster) {
    roster.isDue = true;
    if (!isScheduled) queueMicrotask(flush);
    isScheduled = true;
  }

  /** Says what can be said: the wishes of rooms that are joined, the same ones in one request. */
  function flush() {
    isScheduled = false;
    const asking = new Map<string, Roster[]>();
    for (const roster of rooms.values()) {
      const entry = registry.entry(roster.room);
      // A room without listeners is left, and presence with it.
      if (!roster.attendees.length && !entry?.listeners.size) rooms.delete(roster.room);
      else if (roster.isDue && !roster.isAsked && entry?.standing === "joined") {
        const wish = JSON.stringify(wishOf(roster));
        asking.set(wish, [...(asking.get(wish) ?? []), roster]);
      }
    }
    for (const some of asking.values()) ask(some);
  }

  function ask(some: Roster[]) {
    const { link } = connection;
    if (!link || !some.length) return;
    const now = some.splice(0, link.limits.maxRoomsPerMessage);
    const wish = wishOf(now[0]!);
    for (const roster of now) [roster.isDue, roster.isAsked] = [false, true];
    link.request({ action: "subscribe", rooms: now.map(({ room }) => room), ...wish }, (reply) => {
      for (const roster of now) answered(roster, reply);
    });
    ask(some);
  }

  function answered(roster: Roster, reply: Reply | undefined) {
    const outcome = reply?.type === "subscription.ack" ? reply.payload.rooms[roster.room] : undefined;
    const entry = registry.entry(roster.room);
    roster.isAsked = false;
    if (!outcome) {
      // Without an answer it is said when the room is joined again.
      roster.isDue = true;
      if (reply?.type === "error" && isTransient(reply.payload.code)) {
        roster.timer = setTimeout(() => schedule(roster), reply.payload.retryAfterMs ?? PAUSE_MS);
      }
      return;
    }
    if (outcome.status === "denied" && entry) {
      // The gateway has put the client out of the room, which is joined anew, and presence with it.
      entry.standing = "out";
      registry.schedule();
    } else if ("presence" in outcome) {
      roster.store.set({ members: [], isDenied: true });
    }
    if (roster.isDue) schedule(roster);
  }

  return { attend, withdraw };
}

/** What the gateway is to be told: the latest data of those who have any. */
function wishOf({ attendees }: Roster): { presence?: true | { data: unknown } } {
  const said = attendees.filter(({ data }) => data !== undefined).at(-1);
  return said ? { presence: said } : attendees.length ? { presence: true } : {};
}
