/**
 * What can be set about a client, and what it is when nothing is set.
 *
 * Owns every default, each with its reason.
 */

import { surroundings, type Environment } from "./environment.js";
import type { TokenProvider } from "./token.js";

/** As much of a WebSocket as the client uses: that of browsers, of `ws`, of Deno and Bun. */
export interface WebSocketLike {
  // The events of the implementations have nothing in common that TypeScript could know.
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface WebSocketConstructor {
  new (url: string | URL, protocols?: string[]): WebSocketLike;
}

export interface ClientOptions {
  /** The gateway, such as `wss://example.com/ws`. */
  readonly url: string | URL;
  /** Where tokens come from. */
  readonly token: TokenProvider;
  /** The WebSocket to use; without it that of the platform. Node has one from version 22 on. */
  readonly WebSocket?: WebSocketConstructor;
  /** The surroundings; without it those of the browser or worker, where there are any. */
  readonly environment?: Environment;
  /**
   * How long the gateway may take: to let the client in, to answer a request, and to answer a ping. Longer than two lost
   * packets, shorter than a person waits.
   */
  readonly timeoutMs?: number;
  /**
   * So long after its last frame the gateway is asked whether it is there: under the 30 s after which routers forget. With
   * the former it bounds how long a dead connection goes unseen.
   */
  readonly pingIntervalMs?: number;
  /** Where the window of the waits before reconnecting stops growing: what a person accepts after a long outage. */
  readonly longestRetryMs?: number;
}

export type Settings = Required<ClientOptions>;

/** The options with what is meant where nothing is said. */
export function settings({
  WebSocket = (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket!,
  environment = surroundings,
  timeoutMs = 10_000,
  pingIntervalMs = 25_000,
  longestRetryMs = 30_000,
  ...required
}: ClientOptions): Settings {
  return { ...required, WebSocket, environment, timeoutMs, pingIntervalMs, longestRetryMs };
}
