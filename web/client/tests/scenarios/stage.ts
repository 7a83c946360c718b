// Where a scenario is played: on the fake gateway, or on the real one behind a network that can be cut.
//
// Owns that both can be asked for the same things. What they are set up with is the same too.

import { WebSocket } from "ws";

// @ts-expect-error these have no types
import { Gateway } from "../../../../tests/clients/support/gateway.mjs";
// @ts-expect-error these have no types
import { Relay } from "../../../../tests/clients/support/relay.mjs";
// @ts-expect-error these have no types
import { sign } from "../../../../tests/clients/support/tokens.mjs";
import type { Published, WebSocketConstructor } from "../../src/index.js";
import { createFakeGateway, type TokenOptions } from "../../src/testing/index.js";

export const HISTORY_SIZE = 5;
export const MESSAGES_PER_MINUTE = 120;
export const PRESENCE_GRACE_MS = 3_000;
export const MAX_ROOMS = 10;
export const MAX_ROOMS_PER_MESSAGE = 12;

export interface Publishing {
  type: string;
  payload: unknown;
  rooms?: string[];
  userId?: string;
  eventId?: string;
}

export interface Stage {
  readonly url: string;
  readonly WebSocket: WebSocketConstructor;
  token(user: string, options?: TokenOptions): string;
  publish(event: Publishing): Promise<Published>;
  /** How many connections are in the room. */
  count(room: string): Promise<number>;
  /** Every connection is gone; the next ones pass. */
  drop(): void;
  /** Every connection is gone, and none is let in until `mend`. */
  cut(): void;
  mend(): void;
  disconnect(user: string): Promise<void>;
  /** The gateway stops in good order, and another takes its place. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export async function fake(): Promise<Stage> {
  const gateway = createFakeGateway({
    historySize: HISTORY_SIZE,
    presenceGraceMs: PRESENCE_GRACE_MS,
    limits: { messagesPerMinute: MESSAGES_PER_MINUTE, maxRooms: MAX_ROOMS, maxRoomsPerMessage: MAX_ROOMS_PER_MESSAGE },
  });
  return {
    url: gateway.url,
    WebSocket: gateway.WebSocket,
    token: gateway.token,
    publish: async ({ type, payload, ...publishing }) => gateway.publish(type as "issue.deleted", payload as never, publishing as object),
    count: async (room) => gateway.count(room as `team:${string}`),
    drop: () => gateway.drop(),
    cut() {
      gateway.refuse();
      gateway.drop();
    },
    mend: () => gateway.refuse(false),
    disconnect: async (user) => gateway.disconnect(user),
    drain: async () => gateway.drain(),
    close: async () => gateway.close(),
  };
}

const SETTINGS = {
  ROOM_ACCESS: "open",
  AUTH_ATTEMPTS_PER_MINUTE: "1000",
  HISTORY_SIZE: String(HISTORY_SIZE),
  MESSAGES_PER_MINUTE: String(MESSAGES_PER_MINUTE),
  PRESENCE_GRACE: `${PRESENCE_GRACE_MS}ms`,
  MAX_ROOMS: String(MAX_ROOMS),
  MAX_ROOMS_PER_MESSAGE: String(MAX_ROOMS_PER_MESSAGE),
  DRAIN_SECONDS: "1",
};

/** One gateway for all scenarios but those that stop theirs. */
let shared: Promise<any> | undefined;

export async function stopReal(): Promise<void> {
  await (await shared)?.stop();
}

export async function real(isOwn = false): Promise<Stage> {
  const first = isOwn ? await Gateway.serve(SETTINGS) : await (shared ??= Gateway.serve(SETTINGS));
  let gateway = first;
  const relay = await Relay.to(gateway.address);
  return {
    url: `ws://${relay.address}/ws`,
    WebSocket: WebSocket as unknown as WebSocketConstructor,
    token(user, { expiresInMs = 600_000, ...claims }: TokenOptions = {}) {
      const now = Date.now();
      return sign({ sub: user, iat: Math.floor(now / 1000), exp: Math.floor((now + expiresInMs) / 1000), ...claims });
    },
    publish: (event) => gateway.publish(event),
    count: async (room) => (await gateway.stats()).clientsPerRoom[room] ?? 0,
    drop: () => relay.drop(),
    cut: () => relay.cut(),
    mend: () => relay.mend(),
    disconnect: (user) => gateway.call("POST", `/api/v1/users/${user}/disconnect`),
    async drain() {
      gateway = await Gateway.serve(SETTINGS);
      relay.target = gateway.address;
      await first.stop();
    },
    async close() {
      relay.drop();
      relay.close();
      if (isOwn) await gateway.stop();
    },
  };
}
