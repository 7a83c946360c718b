// What a component writes, and what it must not get past the compiler.

import { createClient, type ConnectionState } from "@roomcast/client";
import { RoomcastProvider, useClient, useConnection, usePresence, useRoomEvent, useRoomState, useTyping } from "@roomcast/client/react";
import { createElement } from "react";

const client = createClient({ url: "wss://example.com/ws", token: () => "jwt" });
createElement(RoomcastProvider, { client }, "children");
const own = createClient<{ "deploy.started": { sha: string } }>({ url: "wss://example.com/ws", token: () => "jwt" });
createElement(RoomcastProvider, { client: own });

// What must compile.

export function Component({ room }: { room: `issue:${string}` | null }) {
  useConnection() satisfies ConnectionState;
  useRoomEvent(room, "issue.updated", ({ payload }) => payload.changes satisfies object);
  useRoomEvent("team:t", "gap", ({ reason }) => reason satisfies string);
  const count: number = usePresence(room, { data: { cursor: 4 }, select: ({ members }) => members.length });
  const { members, isDenied } = usePresence(room);
  const { users, start, stop } = useTyping(room);
  const { state, error } = useRoomState(room, {
    load: async ({ position }) => ({ position, titles: ["one"] }),
    reduce: (state, event) => ({ ...state, titles: [...state.titles, event.type] }),
  });
  useClient().close satisfies () => void;
  start();
  stop();
  return [count, members.length, isDenied, users.length, state?.titles.length, error];
}

// What must not.

// @ts-expect-error there is no client
createElement(RoomcastProvider, {});
// @ts-expect-error an event that nobody has declared
useRoomEvent("team:t", "issue.moved", () => {});
// @ts-expect-error a field that the payload does not have
useRoomEvent("team:t", "issue.updated", ({ payload }) => payload.title);
// @ts-expect-error a room has a kind
useRoomEvent("team", "issue.updated", () => {});
// @ts-expect-error nobody types in a team
useTyping("team:t");
// @ts-expect-error a selection of another type
usePresence("issue:i", { select: ({ members }) => members.length }) satisfies string;
// @ts-expect-error a reducer gives a state
useRoomState("team:t", { load: () => 1, reduce: () => "one" });
// @ts-expect-error a state comes from somewhere
useRoomState("team:t", { reduce: (state: number) => state });
// @ts-expect-error only an open connection has a user
useConnection().userId;
