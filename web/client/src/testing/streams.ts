/**
 * The streams of rooms: positions, and the events that are kept.
 *
 * Owns that one event has its place in all its rooms at once, and what somebody has missed.
 */

import type { GapReason, Position, Published, Room, RoomOutcome } from "../schema/index.js";

/** An event with its place in each of its rooms. */
export interface Publication {
  /** The frame without its positions. */
  readonly frame: { readonly type: string; readonly payload: unknown; readonly eventId: string; readonly timestamp: string; readonly userId?: string };
  /** `undefined`: the event is not kept. */
  readonly places: ReadonlyMap<Room, Position | undefined>;
  /** The connection that gets no echo. */
  readonly except?: object | undefined;
}

interface Stream {
  epoch: string;
  offset: number;
  readonly kept: { readonly offset: number; readonly publication: Publication }[];
  /** What was published under an id that its publisher gave. */
  readonly given: Map<string, Published>;
}

/** What somebody has missed in a room. */
export interface Missed {
  readonly latest: Position;
  readonly reason?: GapReason;
  readonly publications: readonly Publication[];
}

export class Streams {
  readonly #streams = new Map<Room, Stream>();
  readonly #historySize: number;
  #epochs = 0;

  constructor(historySize: number) {
    this.#historySize = historySize;
  }

  #stream(room: Room): Stream {
    let stream = this.#streams.get(room);
    if (!stream) this.#streams.set(room, (stream = { epoch: this.#epoch(), offset: 0, kept: [], given: new Map() }));
    return stream;
  }

  #epoch(): string {
    return `e${(++this.#epochs).toString(36)}`;
  }

  position(room: Room): Position {
    const { epoch, offset } = this.#stream(room);
    return `${epoch}:${offset}`;
  }

  /** What was published under the id before, if it was. */
  given(rooms: readonly Room[], eventId: string): Published | undefined {
    return rooms.map((room) => this.#stream(room).given.get(eventId)).find((found) => found !== undefined);
  }

  remember(rooms: readonly Room[], published: Published): void {
    for (const room of rooms) this.#stream(room).given.set(published.eventId, published);
  }

  /** Gives the event its places, and keeps it. */
  append(rooms: readonly Room[], frame: Publication["frame"], isKept: boolean, except?: object): Publication {
    const places = new Map(rooms.map((room) => [room, isKept ? this.#next(room) : undefined]));
    const publication = { frame, places, except };
    if (isKept) for (const room of rooms) this.#keep(room, publication);
    return publication;
  }

  #next(room: Room): Position {
    const stream = this.#stream(room);
    stream.offset++;
    return this.position(room);
  }

  #keep(room: Room, publication: Publication): void {
    const { kept, offset } = this.#stream(room);
    kept.push({ offset, publication });
    if (kept.length > this.#historySize) kept.shift();
  }

  /** The stream is lost: it is made anew, with another epoch. */
  lose(room: Room): void {
    const stream = this.#stream(room);
    stream.epoch = this.#epoch();
    stream.offset = 0;
    stream.kept.length = 0;
  }

  /** The names of all rooms that were ever used. */
  get rooms(): Room[] {
    return [...this.#streams.keys()];
  }

  missed(room: Room, since: Position): Missed {
    const { epoch, offset, kept } = this.#stream(room);
    const latest = this.position(room);
    const colon = since.lastIndexOf(":");
    const from = Number(since.slice(colon + 1));
    if (since.slice(0, colon) !== epoch || from > offset) return { latest, reason: "epoch_changed", publications: [] };
    const oldest = offset - kept.length;
    if (from < oldest) return { latest, reason: "history_truncated", publications: [] };
    return { latest, publications: kept.filter((event) => event.offset > from).map(({ publication }) => publication) };
  }
}

export function isBefore(first: Position, second: Position): boolean {
  return Number(first.slice(first.lastIndexOf(":") + 1)) < Number(second.slice(second.lastIndexOf(":") + 1));
}

/** The outcome of joining a room behind a position. */
export function outcomeOf(since: Position, { latest, reason, publications }: Missed): RoomOutcome {
  if (reason) return { status: "gap", position: latest, reason };
  return { status: "recovered", position: since, recovered: publications.length };
}
