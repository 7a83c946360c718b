/**
 * Everything behind the connections of the fake: streams, presence, who is connected.
 *
 * Owns the way of an event from whoever publishes it to the connections that are in its rooms.
 */

import type { Limits, Published, Room } from "../schema/index.js";
import { ROOM_KINDS } from "../schema/rooms.js";
import type { Claims, RoomAccess } from "./access.js";
import { Refusal, refuse, roomsOf, type Submission } from "./events.js";
import { PresenceRecord } from "./presence.js";
import type { Session } from "./session.js";
import { Streams, type Publication } from "./streams.js";

export interface WorldOptions {
  /** What a token without grants may do; `open`, as on a developer's machine. */
  readonly access?: RoomAccess;
  /** Events that are kept per room; 1000. */
  readonly historySize?: number;
  /** How long a user whose connection is lost is still present; 15 s. */
  readonly presenceGraceMs?: number;
  /** Kinds of room beside those of the protocol. */
  readonly roomKinds?: readonly string[];
  readonly limits?: Partial<Limits>;
}

/** An event that may be published. */
export interface Draft {
  readonly submission: Submission;
  readonly rooms: readonly Room[];
}

export class World {
  readonly sessions = new Set<Session>();
  readonly streams: Streams;
  readonly presence: PresenceRecord;
  readonly access: RoomAccess;
  readonly limits: Limits;
  readonly kinds: ReadonlySet<string>;
  /** The broker is away: nothing can be joined or published. */
  isAway = false;
  /** Connections are refused before they are open. */
  isRefusing = false;
  readonly #refusedUsers = new Set<string>();
  #events = 0;

  constructor({ access = "open", historySize = 1000, presenceGraceMs = 15_000, roomKinds = [], limits }: WorldOptions) {
    this.access = access;
    this.streams = new Streams(historySize);
    this.presence = new PresenceRecord(presenceGraceMs);
    this.kinds = new Set([...ROOM_KINDS, ...roomKinds]);
    this.limits = { messagesPerMinute: 100, maxMessageBytes: 65_536, maxRooms: 128, maxRoomsPerMessage: 128, ...limits };
  }

  now(): string {
    return new Date().toISOString();
  }

  admit(session: Session): boolean {
    if (this.isRefusing) return false;
    this.sessions.add(session);
    return true;
  }

  leave(session: Session): void {
    this.sessions.delete(session);
    session.rooms.clear();
  }

  isRefused({ sub }: Claims): boolean {
    return this.#refusedUsers.has(sub);
  }

  refuseUser(userId: string): void {
    this.#refusedUsers.add(userId);
  }

  /** Checks an event; a `Refusal` says what is wrong with it. */
  draft(submission: Submission): Draft {
    return { submission, rooms: roomsOf(submission, this.kinds) };
  }

  /** Gives an event its places. A repeat has those of the first time, and is not published. */
  place({ submission, rooms }: Draft, except?: Session): { published: Published; publication?: Publication } {
    const { type, payload, userId, eventId } = submission;
    if (this.isAway) throw new Refusal({ code: "UNAVAILABLE", message: "the broker is away", retryAfterMs: 1_000 });
    const given = eventId === undefined ? undefined : this.streams.given(rooms, eventId);
    if (given) return { published: { ...given, duplicate: true } };
    const frame = { type, payload, timestamp: this.now(), eventId: eventId ?? `event-${++this.#events}`, ...(userId !== undefined && { userId }) };
    const publication = this.streams.append(rooms, frame, type !== "user.typing", except);
    const positions = Object.fromEntries([...publication.places].flatMap(([room, position]) => (position ? [[room, position]] : [])));
    const published = { eventId: frame.eventId, positions };
    if (eventId !== undefined) this.streams.remember(rooms, published);
    return { published, publication };
  }

  deliver(publication: Publication): void {
    for (const session of this.sessions) session.hear(publication);
  }

  /** Publishes an event from the back end. */
  publish(submission: Submission, except?: Session): Published {
    if (submission.payload === undefined) refuse("INVALID_MESSAGE", "the payload is missing");
    const { published, publication } = this.place(this.draft(submission), except);
    if (publication) this.deliver(publication);
    return published;
  }
}
