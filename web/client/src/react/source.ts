/**
 * What a component follows of a room, over `useSyncExternalStore`.
 *
 * Owns that it is opened when the component is mounted, and left a moment after it is gone: whoever is mounted again
 * meanwhile goes on with what there was. Nothing is opened while rendering, and nothing on a server.
 */

import { useCallback, useInsertionEffect, useMemo, useRef, useSyncExternalStore } from "react";

import type { Client } from "../client.js";
import type { Room, RoomName } from "../room.js";
import type { Readable } from "../store.js";
import { LINGER_MS, useClient } from "./client.js";

/** Something of a room that can be followed, and left. */
export interface Source<T> extends Readable<T> {
  leave(): void;
}

interface Held<S> {
  readonly client: Client;
  readonly name: RoomName;
  readonly source: S;
  timer?: ReturnType<typeof setTimeout>;
}

/** The latest of something that is new in each rendering, for what is called later. */
export function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  useLatestIn(latest, value);
  return latest;
}

/**
 * What is selected of the room's source (of `none` without any), and the source itself for calls outside of rendering. What
 * is selected anew and says the same stays the same.
 */
export function useSource<T, S extends Source<T>, Name extends RoomName, Selected>(
  name: Name | null | undefined,
  open: (room: Room<Name>) => S,
  none: T,
  select: (value: T) => Selected,
): [selected: Selected, source: { readonly current: S | undefined }] {
  const client = useClient();
  const latest = useLatest(open);
  const held = useRef<Held<S>>(undefined);
  const source = useRef<S>(undefined);
  const isMine = () => held.current?.client === client && held.current.name === name;

  const subscribe = useCallback(
    (changed: () => void) => {
      if (!name) return () => {};
      if (!isMine()) held.current = { client, name, source: latest.current(client.room(name)) };
      const own = held.current!;
      clearTimeout(own.timer);
      source.current = own.source;
      const off = own.source.subscribe(changed);
      return () => {
        off();
        source.current = undefined;
        own.timer = setTimeout(() => {
          own.source.leave();
          if (held.current === own) held.current = undefined;
        }, LINGER_MS);
      };
    },
    [client, name],
  );
  const shown = useRef<Selected>(undefined);
  const selection = useMemo(() => {
    let from: { value: T; selected: Selected } | undefined;
    return (value: T) => {
      if (!from || from.value !== value) from = { value, selected: same(shown.current, select(value)) };
      return from.selected;
    };
  }, [client, name, select]);
  const selected = useSyncExternalStore(
    subscribe,
    () => selection(isMine() ? held.current!.source.value : none),
    () => selection(none),
  );
  useLatestIn(shown, selected);
  return [selected, source];
}

function useLatestIn<T>(latest: { current: T }, value: T): void {
  useInsertionEffect(() => {
    latest.current = value;
  });
}

/** The former value where the next one says the same; lists are compared item by item. */
function same<T>(former: T | undefined, next: T): T {
  const areLists = Array.isArray(former) && Array.isArray(next) && former.length === next.length;
  return areLists && former.every((item, index) => Object.is(item, next[index])) ? former : next;
}
