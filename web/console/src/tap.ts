/**
 * A WebSocket that tells what passes through it.
 *
 * Owns that a token which is renewed over the socket is told as `$TOKEN`.
 */

import type { WebSocketConstructor } from "@roomcast/client";

/** `up` is what the page sends, `down` what it gets; a `note` is about the socket itself. */
export type Direction = "up" | "down" | "note";

export interface Tap {
  told(direction: Direction, text: string): void;
  /** The socket that is in use from now on. */
  opened(socket: WebSocket): void;
}

export function tapped(tap: Tap): WebSocketConstructor {
  return class extends WebSocket {
    constructor(url: string | URL, protocols?: string[]) {
      super(url, protocols);
      this.addEventListener("open", () => tap.told("note", `open, ${this.protocol || "no subprotocol"}`));
      this.addEventListener("message", ({ data }) => tap.told("down", String(data)));
      this.addEventListener("close", ({ code, reason }) => tap.told("note", `closed, ${code} ${reason}`.trim()));
      tap.opened(this);
    }

    override send(text: string) {
      tap.told("up", withoutToken(text));
      super.send(text);
    }
  } as WebSocketConstructor;
}

function withoutToken(text: string): string {
  if (!/"authenticate"/.test(text)) return text;
  return text.replace(/("token"\s*:\s*)"[^"]*"/g, (_, name: string) => `${name}"$TOKEN"`);
}
