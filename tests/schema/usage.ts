// What must compile against the generated types, and what must not. Nothing here runs: an expected error that does not come is
// an error of the compiler.
import {
  CLOSE_CODES,
  customType,
  ERROR_CODES,
  EVENT_TYPES,
  isEvent,
  isKnown,
  isKnownEvent,
  isReply,
  mayReconnect,
  ROOM_KINDS,
  RoomNames,
  SCHEMA_VERSION,
} from "../../protocol-schema/typescript/index.js";
import type {
  AnyEvent,
  ClientMessage,
  CloseCode,
  CommentCreated,
  CustomEvent,
  ErrorCode,
  Event,
  EventMap,
  EventPayloads,
  EventType,
  IssueUpdated,
  KnownMessage,
  NewEvent,
  Problem,
  PublishAnswer,
  PublishBody,
  Reply,
  RoomKind,
  RoomOutcome,
  ServerMessage,
} from "../../protocol-schema/typescript/index.js";

function never(value: never): never {
  throw new Error(`not expected: ${JSON.stringify(value)}`);
}

// A switch over all events narrows each payload, and is exhaustive.
export function onEvent(event: Event): string | boolean {
  switch (event.type) {
    case "issue.created":
      return event.payload.identifier + event.payload.title + event.payload.priority;
    case "issue.updated":
      return Object.keys(event.payload.changes).join();
    case "issue.deleted":
    case "issue.archived":
      return event.payload.teamId;
    case "comment.created":
      return event.payload.body + event.payload.userId;
    case "comment.updated":
      return event.payload.body;
    case "comment.deleted":
      return event.payload.issueId;
    case "project.updated":
    case "cycle.updated":
      return event.payload.id;
    case "user.typing":
      return event.payload.isTyping;
    case "notification.new":
      return String(event.payload["message"]);
    default:
      return never(event);
  }
}

// One type left out is found.
export function forgotten(event: Event): string {
  switch (event.type) {
    case "issue.created":
    case "issue.updated":
    case "issue.deleted":
    case "issue.archived":
    case "comment.created":
    case "comment.updated":
    case "comment.deleted":
    case "project.updated":
    case "cycle.updated":
    case "notification.new":
      return event.type;
    default:
      // @ts-expect-error user.typing is missing
      return never(event);
  }
}

export function onReply(reply: Reply): string {
  switch (reply.type) {
    case "connection.ack":
      return "connectionId" in reply.payload ? reply.payload.heartbeat.timeoutMs.toFixed() : reply.payload.message;
    case "connection.closing":
      return `${reply.payload.code} ${reply.payload.retryAfterMs ?? 0}`;
    case "auth.ack":
      return reply.payload.lostRooms.join();
    case "auth.expiring":
      return reply.payload.expiresAt;
    case "subscription.ack":
      return Object.values(reply.payload.rooms).map(onOutcome).join();
    case "publish.ack":
      return Object.entries(reply.payload.positions).join();
    case "presence.state":
      return reply.payload.members.map((member) => member.userId).join();
    case "presence.joined":
    case "presence.left":
      return reply.payload.member.userId;
    case "error":
      return reply.payload.code + reply.payload.message;
    default:
      return never(reply);
  }
}

function onOutcome(outcome: RoomOutcome): string {
  switch (outcome.status) {
    case "subscribed":
      return outcome.position;
    case "recovered":
      return `${outcome.position} ${outcome.recovered}`;
    case "gap":
      return outcome.reason;
    case "denied":
      return outcome.code;
    case "unsubscribed":
      return outcome.status;
    default:
      return never(outcome);
  }
}

// What is not known is told apart first.
export function onMessage(message: ServerMessage): string {
  if (!isKnown(message)) {
    const custom: CustomEvent = message;
    // @ts-expect-error the payload of a custom event may be anything
    custom.payload.data;
    return custom.type;
  }
  const known: KnownMessage = message;
  if (isReply(known)) return onReply(known);
  if (isEvent(known)) return String(onEvent(known));
  return never(known);
}

export function onAnyEvent(event: AnyEvent): string {
  return isKnownEvent(event) ? String(onEvent(event)) : event.type;
}

export function wrong(event: Event, message: ServerMessage, payload: CommentCreated) {
  // @ts-expect-error no event has this type
  if (event.type === "issue.exploded") return;
  if (event.type === "issue.updated") {
    // @ts-expect-error another event's field
    event.payload.identifier;
    // @ts-expect-error no field
    event.payload.team_id;
    // @ts-expect-error not narrowed to this
    const created: EventMap["issue.created"] = event;
    return created;
  }
  // @ts-expect-error not before isKnown
  if (message.type === "error") message.payload.code;
  // @ts-expect-error no field
  payload.text;
  return payload.workspaceId;
}

// The maps lead from a name to its types.
export const updated: EventPayloads["issue.updated"] = { id: "i", teamId: "t", changes: { status: "done" } };
export const same: IssueUpdated = updated;
export function on<T extends EventType>(type: T, listener: (payload: EventPayloads[T], event: EventMap[T]) => void) {
  return [type, listener];
}
on("comment.created", (payload, event) => payload.body + event.timestamp + event.positions?.["team:t"]);
// @ts-expect-error no such type
on("comment.exploded", () => {});
// @ts-expect-error no such field
on("comment.created", (payload) => payload.text);
// @ts-expect-error a field is missing
export const lacking: EventPayloads["issue.deleted"] = { id: "i" };
// @ts-expect-error a field of the wrong type
export const mistyped: EventPayloads["user.typing"] = { issueId: "i", userId: "u", userEmail: "", isTyping: "yes" };

// What a client sends.
export const sent: ClientMessage[] = [
  { type: "ping" },
  { type: "ping", id: "1" },
  { action: "authenticate", token: "t" },
  { action: "subscribe", rooms: [RoomNames.team("t")] },
  { action: "subscribe", rooms: ["team:t"], since: { "team:t": "k3x9:1" }, presence: true, id: "2" },
  { action: "subscribe", rooms: ["team:t"], presence: { data: { cursor: 4 } } },
  { action: "unsubscribe", rooms: ["team:t"] },
  { action: "publish", event: { type: "user.typing", payload: { issueId: "i", isTyping: true } } },
  { action: "publish", event: { type: "issue.deleted", payload: { id: "i", teamId: "t" }, eventId: "e" }, rooms: ["team:t"] },
  { action: "publish", event: { type: customType("build.finished"), payload: { ok: true } }, rooms: ["team:t"] },
];
export const notSent: ClientMessage[] = [
  // @ts-expect-error no such type
  { type: "pong" },
  // @ts-expect-error a type or an action, not both
  { type: "ping", action: "subscribe", rooms: ["team:t"] },
  // @ts-expect-error no such action
  { action: "leave", rooms: ["team:t"] },
  // @ts-expect-error rooms are missing
  { action: "subscribe" },
  // @ts-expect-error no such field
  { action: "subscribe", rooms: ["team:t"], room: "team:t" },
  // @ts-expect-error rooms are a list
  { action: "unsubscribe", rooms: "team:t" },
  // @ts-expect-error a payload of another type
  { action: "publish", event: { type: "issue.deleted", payload: { id: "i", changes: {} } } },
  // @ts-expect-error a type of one's own is named by customType
  { action: "publish", event: { type: "build.finished", payload: {} }, rooms: ["team:t"] },
];

// What a back end posts, and is answered.
export const posted: PublishBody[] = [
  { type: "issue.deleted", payload: { id: "i", teamId: "t" }, userId: "u", rooms: ["team:t"], eventId: "e" },
  { events: [{ type: "notification.new", payload: { message: "hello" }, rooms: ["user:u"] }] },
];
// @ts-expect-error who types must be said
export const notPosted: NewEvent = { type: "user.typing", payload: { issueId: "i", isTyping: true } };
export function answered(answer: PublishAnswer | Problem): string {
  if ("results" in answer) return answer.results.map((result) => ("code" in result ? result.code : result.eventId)).join();
  return "code" in answer ? answer.code : answer.eventId;
}

// Names and codes.
export const room: "team:team_456" = RoomNames.team("team_456");
export const anyRoom: `issue:${string}` = RoomNames.issue(SCHEMA_VERSION as string);
// @ts-expect-error no such kind
RoomNames.galaxy("g");
export const kinds: readonly RoomKind[] = ROOM_KINDS;
export const types: readonly EventType[] = EVENT_TYPES;
export const code: CloseCode = CLOSE_CODES.SlowConsumer;
export const error: ErrorCode = ERROR_CODES.FORBIDDEN;
// @ts-expect-error no such code
export const noError: ErrorCode = "TEAPOT";
export const stay: boolean = mayReconnect(4500);
