// A socket whose other end is the test.
//
// Owns what a client sees of the network and says over it, frame by frame. It speaks no protocol by itself: that is what
// the fake gateway is for.

import { createClient, type Client, type ClientOptions } from "../../src/index.js";

export const LIMITS = { messagesPerMinute: 100, maxMessageBytes: 65_536, maxRooms: 128, maxRoomsPerMessage: 128 };

export class Socket {
  onopen: ((event: object) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: object) => void) | null = null;
  readonly sent: any[] = [];
  closed: number | undefined;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  get token(): string {
    return this.protocols[1]!.replace("roomcast.bearer.", "");
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code?: number): void {
    this.closed = code;
  }

  // What the gateway does.

  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify({ timestamp: "2026-01-01T00:00:00.000Z", ...frame }) });
  }

  /** Lets the client in. */
  accept(limits: Partial<typeof LIMITS> = {}): void {
    this.onopen?.({});
    this.say({
      type: "connection.ack",
      payload: { connectionId: "c1", userId: "ann", limits: { ...LIMITS, ...limits }, heartbeat: { pingIntervalMs: 30_000, timeoutMs: 60_000 } },
    });
  }

  /** The network or the gateway ends it. */
  drop(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }

  /** The requests of an action so far. */
  asked(action: string): any[] {
    return this.sent.filter((frame) => frame.action === action);
  }

  /** Answers a request; the last of its kind where none is named. */
  answer(action: string, rooms: Record<string, object>): void {
    this.say({ type: "subscription.ack", replyTo: this.asked(action).at(-1).id, payload: { rooms } });
  }

  event(type: string, positions: Record<string, string> | undefined, more: object = {}): void {
    this.say({ type, payload: { id: "i" }, ...(positions && { positions }), ...more });
  }
}

/** A client of which everything around is in the test's hand. */
export class Bench {
  readonly sockets: Socket[] = [];
  readonly states: string[] = [];
  readonly tokenRequests: { fresh: boolean }[] = [];
  readonly client: Client;
  isOnline = true;
  wake: (() => void) | undefined;
  leave: (() => void) | undefined;
  /** What the provider does. */
  token: (fresh: boolean) => string | Promise<string> = () => `token-${this.tokenRequests.length}`;

  constructor(options: Partial<ClientOptions> = {}) {
    const bench = this;
    this.client = createClient({
      url: "ws://gateway/ws",
      token: ({ fresh }) => {
        bench.tokenRequests.push({ fresh });
        return bench.token(fresh);
      },
      WebSocket: class extends Socket {
        constructor(url: string | URL, protocols: string[] = []) {
          super(String(url), protocols);
          bench.sockets.push(this);
        }
      } as unknown as NonNullable<ClientOptions["WebSocket"]>,
      environment: {
        isOnline: () => bench.isOnline,
        watch: (look, leave) => {
          [bench.wake, bench.leave] = [look, leave];
          return () => (bench.wake = bench.leave = undefined);
        },
      },
      ...options,
    });
    this.client.onState(({ status }) => this.states.push(status));
  }

  /** The latest socket. */
  get socket(): Socket {
    return this.sockets.at(-1)!;
  }

  /** Connects, and is let in. */
  async open(): Promise<Socket> {
    this.client.connect();
    await settled();
    this.socket.accept();
    await settled();
    return this.socket;
  }
}

/** Lets everything that is ready run; no time passes. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
