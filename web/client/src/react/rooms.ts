/**
 * Rooms in components: events, presence, typing, and a state that is kept up to date.
 *
 * A name that is `null` or `undefined` is no room: then nothing is asked for.
 */

import { useCallback, useEffect, useRef } from "react";

import { RoomcastError } from "../errors.js";
import type { EventName, EventOf } from "../events.js";
import { follow, type Loading } from "../follow.js";
import type { Notices } from "../notices.js";
import { presence, type Attendance } from "../presence.js";
import type { Room, RoomName } from "../room.js";
import type { AnyEvent } from "../schema/index.js";
import { createStore } from "../store.js";
import { typing, type TypingUser } from "../typing.js";
import { LINGER_MS, useClient } from "./client.js";
import { useLatest, useSource, type Source } from "./source.js";

type Name<N extends RoomName = RoomName> = N | null | undefined;

/** Calls the listener of the latest rendering for each event or notice of the type. Another listener is no new subscription. */
export function useRoomEvent<Type extends EventName | keyof Notices>(
  name: Name,
  type: Type,
  listener: (message: Type extends keyof Notices ? Notices[Type] : Type extends EventName ? EventOf<Type> : never) => void,
): void {
  const client = useClient();
  const latest = useLatest(listener);
  useEffect(() => {
    if (!name) return;
    const room = client.room(name);
    const off = room.on(type, (message) => latest.current(message));
    // Who is mounted again soon finds the room joined.
    const release = room.on("subscribed", () => {});
    return () => {
      off();
      setTimeout(release, LINGER_MS);
    };
  }, [client, name, type]);
}

const NOBODY: Attendance = { members: [], isDenied: false };
const NO_TYPISTS: readonly TypingUser[] = [];

export interface PresenceChoice<T> {
  /** What others see beside the user's id, at most 1 KiB as JSON. Said again when it has changed. */
  readonly data?: unknown;
  /** What of it the component shows. It is rendered again only when that has changed; lists are compared item by item. */
  readonly select?: (attendance: Attendance) => T;
}

/** Takes part in the presence of the room, and tells who is there. */
export function usePresence<T = Attendance>(name: Name, { data, select }: PresenceChoice<T> = {}): T {
  const choice = (select ?? whole) as (attendance: Attendance) => T;
  const [selected, part] = useSource(name, (room) => presence(room, { data }), NOBODY, choice);
  const text = JSON.stringify(data);
  const said = useRef(text);
  useEffect(() => {
    if (said.current !== text) part.current?.update(data);
    said.current = text;
  }, [text]);
  return selected;
}

function whole<T>(value: T): T {
  return value;
}

/** Who types in an issue, and how to say that the user does. */
export interface TypingHook {
  readonly users: readonly TypingUser[];
  /** To be called at each stroke. */
  start(): void;
  stop(): void;
}

/** Who types in the issue. `start` and `stop` stay the same functions. */
export function useTyping(name: Name<`issue:${string}`>): TypingHook {
  const [users, source] = useSource(name, typing, NO_TYPISTS, whole);
  const start = useCallback(() => source.current?.start(), []);
  const stop = useCallback(() => source.current?.stop(), []);
  return { users, start, stop };
}

/** A state that follows its room. */
export interface RoomState<State> {
  /** The state as of the last event; `undefined` before the first snapshot. */
  readonly state: State | undefined;
  /** Why the last try to load it has failed, or that the gateway refuses the room. It is tried again. */
  readonly error: unknown;
}

export interface RoomStateOptions<State> {
  /** Loads the state: at first, and anew after a gap. It must hold everything up to the position, and may hold more. */
  load(loading: Loading): State | Promise<State>;
  /** The state behind an event; the same object where the event changes nothing. */
  reduce(state: State, event: AnyEvent): State;
}

const UNKNOWN: RoomState<never> = { state: undefined, error: undefined };

/** A state kept up to date: a snapshot, and every event behind it. */
export function useRoomState<State>(name: Name, options: RoomStateOptions<State>): RoomState<State> {
  const latest = useLatest(options);
  const open = (room: Room): Source<RoomState<State>> => {
    const store = createStore<RoomState<State>>(UNKNOWN);
    const fail = (error: unknown) => store.set({ state: store.value.state, error });
    const leave = follow<State, RoomName, {}>(room, {
      load: (loading) => latest.current.load(loading),
      onSnapshot: (state) => store.set({ state, error: undefined }),
      onEvent(event) {
        const before = store.value.state as State;
        const state = latest.current.reduce(before, event);
        if (state !== before) store.set({ state, error: undefined });
      },
      onError: fail,
    });
    const leaving = [
      leave,
      room.on("denied", ({ code }) => fail(new RoomcastError("denied", `${room.name}: ${code}`, { code }))),
      // Granted again, it goes on from the state that there is.
      room.on("recovered", () => store.value.error instanceof RoomcastError && fail(undefined)),
    ];
    return Object.assign(store, { leave: () => leaving.forEach((leave) => leave()) });
  };
  const [value] = useSource(name, open, UNKNOWN as RoomState<State>, whole);
  return value;
}
