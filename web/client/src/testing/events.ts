/**
 * Events as a gateway checks them.
 *
 * Owns which fields a payload must have, and the rooms that a type implies. Of the protocol's types only; an application's
 * own are free.
 */

import type { ErrorPayload, EventPayloads, EventType, Position } from "../schema/index.js";

/** The fields of each type, by what they are. */
const FIELDS: { readonly [Type in EventType]: { readonly [Field in keyof EventPayloads[Type]]?: "string" | "object" | "boolean" } } = {
  "issue.created": { id: "string", identifier: "string", title: "string", teamId: "string", status: "string", priority: "string" },
  "issue.updated": { id: "string", changes: "object", teamId: "string" },
  "issue.deleted": { id: "string", teamId: "string" },
  "issue.archived": { id: "string", teamId: "string" },
  "comment.created": { id: "string", issueId: "string", teamId: "string", userId: "string", body: "string" },
  "comment.updated": { id: "string", issueId: "string", teamId: "string", body: "string" },
  "comment.deleted": { id: "string", issueId: "string", teamId: "string" },
  "project.updated": { id: "string", teamId: "string", changes: "object" },
  "cycle.updated": { id: "string", teamId: "string", changes: "object" },
  "user.typing": { issueId: "string", userId: "string", userEmail: "string", isTyping: "boolean" },
  "notification.new": {},
};

/** Where an event goes whose publisher names no rooms: kinds, and the field that has the id. */
const ROOMS: { readonly [Type in EventType]: readonly (readonly [kind: string, field: string])[] } = {
  "issue.created": [["team", "teamId"]],
  "issue.updated": [["team", "teamId"], ["issue", "id"]],
  "issue.deleted": [["team", "teamId"], ["issue", "id"]],
  "issue.archived": [["team", "teamId"], ["issue", "id"]],
  "comment.created": [["issue", "issueId"], ["team", "teamId"]],
  "comment.updated": [["issue", "issueId"], ["team", "teamId"]],
  "comment.deleted": [["issue", "issueId"], ["team", "teamId"]],
  "project.updated": [["team", "teamId"], ["project", "id"]],
  "cycle.updated": [["team", "teamId"], ["cycle", "id"]],
  "user.typing": [["issue", "issueId"]],
  "notification.new": [],
};

const TYPE = /^(?!(connection|subscription|publish|auth|presence)\.)[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/;
const EVENT_ID = /^[A-Za-z0-9_.:-]{1,64}$/;
const ROOM = /^[a-z][a-z0-9_]{0,31}:[A-Za-z0-9_.@|~-]{1,128}$/;

/** What somebody wants to publish. */
export interface Submission {
  readonly type: string;
  readonly payload: unknown;
  readonly userId?: string | undefined;
  readonly eventId?: string | undefined;
  readonly rooms?: readonly string[] | undefined;
}

/** Thrown for what a gateway refuses. */
export class Refusal extends Error {
  constructor(readonly payload: ErrorPayload) {
    super(payload.message);
  }
}

export function refuse(code: ErrorPayload["code"], message: string, pointer?: string): never {
  throw new Refusal({ code, message, ...(pointer !== undefined && { pointer }) });
}

export function isRoom(name: string, kinds: ReadonlySet<string>): boolean {
  return ROOM.test(name) && kinds.has(name.split(":", 1)[0]!);
}

export function isPosition(value: unknown): value is Position {
  return typeof value === "string" && /^[0-9a-z]{1,13}:(0|[1-9]\d*)$/.test(value);
}

/** The rooms of an event that is as its type wants it; a `Refusal` else. */
export function roomsOf({ type, payload, eventId, rooms }: Submission, kinds: ReadonlySet<string>): string[] {
  if (typeof type !== "string" || type.length > 64 || !TYPE.test(type)) refuse("INVALID_PAYLOAD", "not an event type", "/type");
  if (eventId !== undefined && !EVENT_ID.test(eventId)) refuse("INVALID_PAYLOAD", "not an event id", "/eventId");
  checkPayload(type, payload);
  const implied = impliedRooms(type, payload);
  if (rooms === undefined) {
    return implied.length ? implied : refuse("INVALID_PAYLOAD", `${type} needs rooms`, "/rooms");
  }
  if (!rooms.length) refuse("INVALID_PAYLOAD", "the list is empty", "/rooms");
  rooms.forEach((room, index) => isRoom(room, kinds) || refuse("INVALID_ROOM", "not a room", `/rooms/${index}`));
  if (type === "user.typing" && (rooms.length > 1 || rooms[0] !== implied[0])) {
    refuse("INVALID_PAYLOAD", "user.typing goes to the room of its issue only", "/rooms");
  }
  return [...new Set(rooms)];
}

function checkPayload(type: string, payload: unknown): void {
  if (!Object.hasOwn(FIELDS, type)) return;
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) {
    refuse("INVALID_PAYLOAD", "expected an object", "/payload");
  }
  for (const [field, kind] of Object.entries(FIELDS[type as EventType])) {
    const value = (payload as Record<string, unknown>)[field];
    if (typeof value !== kind || value === null) refuse("INVALID_PAYLOAD", `expected ${field}, a ${kind}`, `/payload/${field}`);
  }
}

function impliedRooms(type: string, payload: unknown): string[] {
  if (!Object.hasOwn(ROOMS, type)) return [];
  const fields = payload as Record<string, string>;
  const rooms = ROOMS[type as EventType].map(([kind, field]) => `${kind}:${fields[field]}`);
  if (rooms.length && fields.workspaceId) rooms.push(`workspace:${fields.workspaceId}`);
  return [...new Set(rooms)];
}
