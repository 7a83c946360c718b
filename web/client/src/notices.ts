/** What a room tells of itself, beside its events. */

import type { ErrorCode, GapReason, Position, Room } from "./schema/index.js";

/** The notices of a room, by their type. No event has such a name: those of events have a dot. */
export interface Notices {
  /** The room is joined: everything behind the position will come. */
  subscribed: { readonly type: "subscribed"; readonly room: Room; readonly position: Position };
  /** The room goes on behind a position that the client had, without a hole: so many missed events follow. */
  recovered: { readonly type: "recovered"; readonly room: Room; readonly position: Position; readonly recovered: number };
  /** Events of the room are lost: load its state anew. Everything behind the position will come. */
  gap: { readonly type: "gap"; readonly room: Room; readonly position: Position; readonly reason: GapReason };
  /** The gateway refuses the room. It is asked again on the next connection, and with the next token. */
  denied: { readonly type: "denied"; readonly room: Room; readonly code: ErrorCode };
}

/** Any notice. */
export type Notice = Notices[keyof Notices];
