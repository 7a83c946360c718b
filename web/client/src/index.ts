/**
 * The browser's end of Roomcast.
 *
 * `createClient` is the core: it connects, subscribes and recovers. Everything else is a function of its own beside it, so
 * that an application ships what it uses.
 */

export { createClient, type Client } from "./client.js";
export type { Environment } from "./environment.js";
export { RoomcastError, type ErrorKind } from "./errors.js";
export type { CustomEvents, EventName, EventOf, Payloads, PublishPayload } from "./events.js";
export { follow, type Follower, type Loading } from "./follow.js";
export type { Notice, Notices } from "./notices.js";
export type { ClientOptions, WebSocketConstructor, WebSocketLike } from "./options.js";
export { isBefore } from "./position.js";
export { presence, type Attendance, type Presence, type PresenceOptions } from "./presence.js";
export { publish, type PublishOptions } from "./publish.js";
export type { Room, RoomName } from "./room.js";
export { RoomNames as rooms } from "./schema/rooms.js";
export type { AnyEvent, ErrorCode, GapReason, Position, PresenceMember, Published } from "./schema/index.js";
export type { ConnectionState, Retrying } from "./state.js";
export type { Readable, Unsubscribe } from "./store.js";
export { events, type Delivery, type Lag, type StreamOptions } from "./stream.js";
export type { TokenProvider, TokenRequest } from "./token.js";
export { typing, type Typing, type TypingUser } from "./typing.js";
