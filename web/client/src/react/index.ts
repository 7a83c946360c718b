"use client";

/** Roomcast in React 18 and 19: a provider and hooks, all over `useSyncExternalStore`. */

export { RoomcastProvider, useClient, useConnection } from "./client.js";
export {
  usePresence,
  useRoomEvent,
  useRoomState,
  useTyping,
  type PresenceChoice,
  type RoomState,
  type RoomStateOptions,
  type TypingHook,
} from "./rooms.js";
