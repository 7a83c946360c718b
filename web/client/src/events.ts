/**
 * The types of events: those of the protocol, and an application's own.
 *
 * Owns types only; nothing of this is there at run time.
 */

import type { CustomEvent, EventMap, EventPayloads, Typing } from "./schema/index.js";

/**
 * The payloads of an application's own events by their types, for the whole program:
 *
 *     declare module "@roomcast/client" {
 *       interface CustomEvents { "build.finished": { id: string; ok: boolean } }
 *     }
 *
 * Where that is too much, `createClient` takes them as a type parameter.
 */
export interface CustomEvents {}

/** The payloads of all events of a program by their types; `Own` are those of one client. */
export type Payloads<Own = {}> = EventPayloads & CustomEvents & Own;

/** The type of an event. */
export type EventName<Own = {}> = keyof Payloads<Own> & string;

/** The whole event of a type. */
export type EventOf<Name extends EventName<Own>, Own = {}> = Name extends keyof EventMap
  ? EventMap[Name]
  : Omit<CustomEvent, "type" | "payload"> & { readonly type: Name; readonly payload: Payloads<Own>[Name] };

/** What a client says of an event: of typing, the gateway stamps who it is. */
export type PublishPayload<Name extends EventName<Own>, Own = {}> = Name extends "user.typing" ? Typing : Payloads<Own>[Name];
