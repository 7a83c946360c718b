/**
 * Publishing from a client: what a user does, rather than what a back end decides.
 *
 * Owns that an event is sent again after a lost connection under the id that it has from the start, so that it happens
 * once. It waits for a connection, within its deadline.
 */

import { byteLength } from "./bytes.js";
import { RoomcastError, type ErrorKind } from "./errors.js";
import type { EventName, PublishPayload } from "./events.js";
import type { Core, Room, RoomName } from "./room.js";
import type { ClientEvent, ErrorPayload, PublishFrame, Published } from "./schema/index.js";

export interface PublishOptions {
  /** The event's id; without it a new one. The same id again publishes nothing and answers as the first time. */
  readonly eventId?: string;
  /** How long to wait for the acknowledgement, and before it for a connection; 10 s. */
  readonly timeoutMs?: number;
}

/** Events that wait for their acknowledgement. Each has a caller who waits. */
const MAX_WAITING = 256;

/**
 * Publishes an event into the room. Resolves when the gateway has it, and rejects with a `RoomcastError`; with the
 * `TypeError` of `JSON.stringify` where the payload is nothing that JSON can write.
 *
 * An error that is `retryable` may be tried again, after `retryAfterMs` where it is there; where the outcome is unknown
 * (`timeout`, `disconnected`), with the same `eventId`.
 */
export function publish<Name extends RoomName, Own, Type extends EventName<Own>>(
  room: Room<Name, Own>,
  type: Type,
  payload: PublishPayload<Type, Own>,
  { eventId = newEventId(), timeoutMs = 10_000 }: PublishOptions = {},
): Promise<Published> {
  const event = { type, payload, eventId } as unknown as ClientEvent;
  return new Promise((resolve, reject) => send(room.core, { action: "publish", event, rooms: [room.name] }, timeoutMs, resolve, reject));
}

function send(
  core: Core,
  frame: PublishFrame,
  timeoutMs: number,
  resolve: (published: Published) => void,
  reject: (error: RoomcastError) => void,
): void {
  const bytes = byteLength(JSON.stringify(frame)) + ID_BYTES;
  const timer = setTimeout(() => fail("timeout", "no acknowledgement"), timeoutMs);
  let isDone = false;
  const unsubscribe = core.connection.state.subscribe(attempt);
  core.publishing++;
  if (core.publishing > MAX_WAITING) fail("busy", "too many wait");
  else attempt();

  function attempt() {
    const { link, state } = core.connection;
    if (state.value.status === "closed") return fail("closed", "the client is closed");
    if (!link) return;
    // Sent, it would end the connection.
    if (bytes > link.limits.maxMessageBytes) return fail("invalid", `over ${link.limits.maxMessageBytes} bytes`);
    link.request(frame, (reply) => {
      if (isDone) return;
      if (reply?.type === "publish.ack") {
        finish();
        resolve(reply.payload);
      } else if (reply?.type === "error") {
        fail("denied", reply.payload.message, reply.payload);
      } else if (frame.event.type === "user.typing") {
        // What was typed then is not what is typed now.
        fail("disconnected", "connection lost");
      }
    });
  }

  function finish() {
    isDone = true;
    clearTimeout(timer);
    unsubscribe();
    core.publishing--;
  }

  function fail(kind: ErrorKind, message: string, refusal?: ErrorPayload) {
    finish();
    reject(new RoomcastError(kind, `publish: ${message}`, refusal));
  }
}

/** What a request's id takes of a message. */
const ID_BYTES = 32;

/** 128 random bits. `crypto.randomUUID` is for pages that came over https only. */
function newEventId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
