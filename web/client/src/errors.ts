/** What can go wrong with something that was asked of the client. */

import type { ErrorCode, ErrorPayload } from "./schema/index.js";

/** What kind of failure it is. */
export type ErrorKind =
  /** The gateway refused; `code` says why. */
  | "denied"
  /** The answer did not come in time. Whether the request was carried out is unknown. */
  | "timeout"
  /** The connection was lost before the answer came. Whether the request was carried out is unknown. */
  | "disconnected"
  /** The request cannot be put into words that the gateway would take. */
  | "invalid"
  /** Too many requests wait already. */
  | "busy"
  /** The client is closed. */
  | "closed";

/** Why something that was asked was not done. `kind` is what a program decides by; the message is for people. */
export class RoomcastError extends Error {
  declare readonly kind: ErrorKind;
  /** Why the gateway refused. */
  declare readonly code: ErrorCode | undefined;
  /** Whether the same may succeed a little later. */
  declare readonly retryable: boolean;
  /** The gateway's wish for how long to wait before another try, in milliseconds. */
  declare readonly retryAfterMs: number | undefined;
  /** JSON pointer (RFC 6901) to what is wrong with a refused event, from the event's root. */
  declare readonly pointer: string | undefined;

  constructor(kind: ErrorKind, message: string, { code, retryAfterMs, pointer }: Refusal = {}) {
    super(message);
    const retryable = code ? isTransient(code) : kind === "timeout" || kind === "disconnected" || kind === "busy";
    Object.assign(this, { name: "RoomcastError", kind, code, retryable, retryAfterMs, pointer });
  }
}

/** What a gateway says of a refusal. */
export type Refusal = Partial<Pick<ErrorPayload, "code" | "retryAfterMs" | "pointer">>;

/** Whether the same request may be granted a little later. */
export function isTransient(code: ErrorCode): boolean {
  return code === "RATE_LIMIT_EXCEEDED" || code === "UNAVAILABLE" || code === "UNKNOWN_ERROR";
}
