/**
 * One WebSocket, from its making to its end.
 *
 * Owns the time-out of connecting, the requests without an answer, and the watch over the gateway's silence. Refuses to
 * come back: what its end means is the connection's to say. It leaves no timer and no listener behind.
 */

import type { Action, Connected, ErrorPayload, Limits, Reply, ServerMessage } from "./schema/index.js";
import type { Settings } from "./options.js";

/** The answer to a request; `undefined` when there will be none, because the link ended or the answer is overdue. */
export type Answer = (reply?: Reply) => void;

export interface Link {
  /** What it may carry; nothing before it is open. */
  readonly limits: Limits;
  /** Sends a request under an id of its own. */
  request(frame: Action, answer: Answer): void;
  /** Asks whether the gateway is there; without an answer the link ends. */
  probe(): unknown;
  /** Ends it, as if this had come from the other side. */
  end(code: number, reason: string): void;
  /** Ends it without a word to `LinkEvents.ended`. */
  close(): void;
}

export interface Ending {
  /** Whether a socket was made at all. */
  readonly isReached: boolean;
  /** The close code; 0 when this side has lost patience. */
  readonly code: number;
  readonly reason: string;
  /** Not to come back before, in milliseconds from now. */
  readonly hintMs?: number | undefined;
}

export interface LinkEvents {
  /** The gateway has acknowledged. */
  opened(connected: Connected): void;
  /** Everything that answers no request. */
  heard(message: ServerMessage): void;
  /** The link is gone; said once. */
  ended(ending: Ending): void;
}

/** The longest sleep of the watch: a timer that comes much later tells that the machine has slept. */
const BEAT_MS = 5_000;

/** How much later. Timers of pages in the background come late too, and asking costs little. */
const SLEPT_MS = 10_000;

/** The gateway is not asked again so soon after it was heard, as it would be by somebody who changes windows quickly. */
const RESTLESS_MS = 1_000;

/** Opens a socket. Throws what the platform throws when it can make none. */
export function openLink({ url, WebSocket, timeoutMs, pingIntervalMs }: Settings, token: string, on: LinkEvents): Link {
  const socket = new WebSocket(url, ["roomcast.v1", `roomcast.bearer.${token}`]);
  const awaiting = new Map<string | undefined, { answer: Answer; deadline: number }>();
  let isReached = false;
  let limits: Limits | undefined;
  let requests = 0;
  /** Why the gateway says that it will close, and when to come back. */
  let why: string | undefined;
  let hintMs: number | undefined;
  let heardAt = 0;
  /** Until when an answer to the ping under way must have come; 0 without one. */
  let patience = 0;
  let wakeAt = 0;
  let timer = setTimeout(() => end(0, "no acknowledgement"), timeoutMs);

  function close() {
    clearTimeout(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
    for (const { answer } of awaiting.values()) answer();
  }

  function end(code: number, reason: string) {
    close();
    on.ended({ isReached, code, reason, hintMs });
  }

  /** Asks whether the gateway is there, which it can say in half the time that it has for anything else. */
  function ping() {
    patience ||= Date.now() + timeoutMs / 2;
    socket.send('{"type":"ping"}');
    watch();
  }

  function watch() {
    clearTimeout(timer);
    const now = Date.now();
    wakeAt = Math.min(patience || heardAt + pingIntervalMs, now + BEAT_MS);
    timer = setTimeout(beat, wakeAt - now);
  }

  function beat() {
    const now = Date.now();
    for (const [id, { answer, deadline }] of awaiting) if (deadline <= now && awaiting.delete(id)) answer();
    if (patience && patience <= now) end(0, "no answer");
    else if (now - wakeAt > SLEPT_MS || heardAt + pingIntervalMs <= now) ping();
    else watch();
  }

  function hear(message: ServerMessage) {
    const { type, payload, replyTo } = message as Reply;
    const asked = awaiting.get(replyTo);
    if (type === "connection.closing" || (type === "error" && !limits)) {
      ({ message: why, retryAfterMs: hintMs } = payload as Partial<ErrorPayload>);
    } else if (type === "connection.ack" && !limits) {
      limits = (payload as Connected).limits;
      watch();
      on.opened(payload as Connected);
    } else if (asked) {
      awaiting.delete(replyTo);
      asked.answer(message as Reply);
    } else {
      on.heard(message);
    }
  }

  // Of an error the close that follows tells. Node wants somebody to listen, also to that of closing what is not open yet.
  socket.onerror = () => {};
  socket.onopen = () => (isReached = true);
  socket.onclose = ({ code, reason }) => end(code, why || reason || "connection lost");
  socket.onmessage = ({ data }) => {
    heardAt = Date.now();
    patience = 0;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      // Nothing that the protocol has.
    }
    if (message?.type) hear(message);
  };

  return {
    get limits() {
      return limits!;
    },
    request(frame, answer) {
      const id = String(++requests);
      awaiting.set(id, { answer, deadline: Date.now() + timeoutMs });
      socket.send(JSON.stringify({ id, ...frame }));
    },
    probe: () => limits && heardAt + RESTLESS_MS < Date.now() && ping(),
    end,
    close,
  };
}
