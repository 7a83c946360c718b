/**
 * Who is in which room, by user.
 *
 * Owns when others are told: not of each connection, but when a user comes, says something else, or is gone. One who was
 * lost has a while to come back.
 */

import type { PresenceMember, Room } from "../schema/index.js";

/** A connection that takes part. */
export interface Guest {
  readonly userId: string;
  tell(type: "presence.state" | "presence.joined" | "presence.left", payload: object): void;
}

interface Seat {
  readonly data: unknown;
  /** Of two, the later has the say. */
  readonly entered: number;
}

interface Attendee {
  readonly seats: Map<Guest, Seat>;
  lost?: { readonly seat: Seat; readonly timer: ReturnType<typeof setTimeout> } | undefined;
}

export class PresenceRecord {
  readonly #rooms = new Map<Room, Map<string, Attendee>>();
  readonly #graceMs: number;
  #entered = 0;

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  members(room: Room): PresenceMember[] {
    const attendees = [...(this.#rooms.get(room) ?? [])].sort(([first], [second]) => (first < second ? -1 : 1));
    return attendees.flatMap(([userId, attendee]) => member(userId, attendee) ?? []);
  }

  enter(room: Room, guest: Guest, data: unknown): void {
    this.#change(room, guest, (attendee) => {
      clearTimeout(attendee.lost?.timer);
      attendee.lost = undefined;
      attendee.seats.set(guest, { data, entered: ++this.#entered });
    });
  }

  leave(room: Room, guest: Guest): void {
    if (this.#rooms.get(room)?.get(guest.userId)?.seats.has(guest)) this.#change(room, guest, ({ seats }) => seats.delete(guest));
  }

  /** The connection is gone, and may come back. */
  lose(guest: Guest): void {
    for (const [room, attendees] of this.#rooms) {
      const seat = attendees.get(guest.userId)?.seats.get(guest);
      if (!seat) continue;
      this.#change(room, guest, (attendee) => {
        attendee.seats.delete(guest);
        clearTimeout(attendee.lost?.timer);
        const timer = setTimeout(() => this.#change(room, guest, (lost) => (lost.lost = undefined)), this.#graceMs);
        attendee.lost = { seat, timer };
      });
    }
  }

  /** Nobody comes back any more. */
  close(): void {
    for (const attendees of this.#rooms.values()) for (const { lost } of attendees.values()) clearTimeout(lost?.timer);
  }

  /** Changes a user's attendance, and tells the others what they can see of it. */
  #change(room: Room, { userId }: Guest, act: (attendee: Attendee) => void): void {
    const attendees = this.#rooms.get(room) ?? new Map<string, Attendee>();
    this.#rooms.set(room, attendees);
    const attendee = attendees.get(userId) ?? { seats: new Map() };
    attendees.set(userId, attendee);
    const before = member(userId, attendee);
    act(attendee);
    const after = member(userId, attendee);
    if (!after) attendees.delete(userId);
    const isSame = before && after && JSON.stringify(before.data) === JSON.stringify(after.data);
    if (isSame || (!before && !after)) return;
    const news = after ? (["presence.joined", after] as const) : (["presence.left", { ...before!, connections: 0 }] as const);
    for (const [other, { seats }] of attendees) {
      if (other !== userId) for (const guest of seats.keys()) guest.tell(news[0], { room, member: news[1] });
    }
  }
}

function member(userId: string, { seats, lost }: Attendee): PresenceMember | undefined {
  const all = [...seats.values(), ...(lost ? [lost.seat] : [])];
  if (!all.length) return undefined;
  const said = all.filter(({ data }) => data !== undefined).sort((first, second) => second.entered - first.entered);
  return { userId, ...(said[0] && { data: said[0].data }), connections: seats.size };
}
