/**
 * One connection's conversation with the fake, frame by frame.
 *
 * Owns what a client may ask, in which order it is answered, and how a connection ends. What is asked of rooms goes to the
 * gateway's streams and presence.
 */

import type { Limits, Position, Reply, Room, RoomOutcome } from "../schema/index.js";
import { CLOSE_CODES } from "../schema/codes.js";
import { decode, isAllowed, type Claims } from "./access.js";
import { isPosition, isRoom, Refusal, refuse, type Submission } from "./events.js";
import type { Guest } from "./presence.js";
import { outcomeOf, type Publication } from "./streams.js";
import { merge } from "./replay.js";
import type { FakeSocket, Peer } from "./socket.js";
import type { World } from "./world.js";

/** Refused messages in one window, and invalid ones in a minute, that are patience enough. */
const MOST_REFUSED = 100;
const MOST_INVALID = 50;

/** Before its end a token is told of, and so long after it the connection is closed. */
const WARNING_MS = 60_000;
const LENIENCE_MS = 10_000;

/** How long an indicator of typing lasts. */
const TYPING_MS = 6_000;

const REASONS: ReadonlyMap<number, string> = new Map([
  [CLOSE_CODES.ServiceRestart, "service restart"],
  [CLOSE_CODES.SlowConsumer, "slow consumer"],
  [CLOSE_CODES.HeartbeatTimeout, "heartbeat timeout"],
  [CLOSE_CODES.TokenExpired, "token expired"],
  [CLOSE_CODES.RateLimited, "rate limited"],
  [CLOSE_CODES.Rebalance, "rebalance"],
  [CLOSE_CODES.Unauthorized, "unauthorized"],
  [CLOSE_CODES.Disconnected, "disconnected by the server"],
  [CLOSE_CODES.TooManyInvalid, "too many invalid messages"],
]);

/** A frame of a client, before anything of it is known. */
type Frame = Readonly<Record<string, unknown>>;

export class Session implements Peer, Guest {
  /** Where it is, and behind which position it gets events. */
  readonly rooms = new Map<Room, Position>();
  readonly id: string;
  readonly #world: World;
  #socket!: FakeSocket;
  #claims: Claims | undefined;
  #isOver = false;
  #window = { since: 0, count: 0, refused: 0 };
  #invalid = { since: 0, count: 0 };
  #expiry: ReturnType<typeof setTimeout>[] = [];
  readonly #typing = new Map<Room, ReturnType<typeof setTimeout>>();

  constructor(world: World, id: string) {
    this.#world = world;
    this.id = id;
  }

  get userId(): string {
    return this.#claims?.sub ?? "";
  }

  get isOpen(): boolean {
    return this.#claims !== undefined && !this.#isOver;
  }

  // Its life.

  open(socket: FakeSocket): void {
    this.#socket = socket;
    if (!this.#world.admit(this)) return socket.abort();
    socket.accept();
    const bearer = socket.protocols.find((protocol) => protocol.startsWith("roomcast.bearer."));
    const token = bearer?.slice("roomcast.bearer.".length) ?? new URL(socket.url).searchParams.get("token") ?? undefined;
    if (token !== undefined) this.#welcome(token);
  }

  closed(): void {
    this.#end();
  }

  /** The network is gone. */
  abort(): void {
    this.#end();
    this.#socket.abort();
  }

  /** The gateway closes it. */
  shut(code: number, retryAfterMs = 0): void {
    if (this.#isOver) return;
    const resumable = code < 4500;
    const reason = REASONS.get(code) ?? "";
    if (this.#claims) {
      this.#say("connection.closing", { code, reason, ...(resumable && { retryAfterMs }), resumable });
    }
    this.#end();
    this.#socket.finish(code, reason);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#expiry.forEach(clearTimeout);
    for (const room of [...this.#typing.keys()]) this.#stopTyping(room);
    this.#world.leave(this);
    this.#world.presence.lose(this);
  }

  #welcome(token: string, replyTo?: string): void {
    const claims = this.#check(token, replyTo);
    if (!claims) return;
    this.#claims = claims;
    const rooms: Record<Room, RoomOutcome> = {};
    if (!this.#socket.protocol) {
      const own = `user:${claims.sub}`;
      rooms[own] = { status: "subscribed", position: this.#join(own) };
    }
    const timestamp = this.#world.now();
    this.#say(
      "connection.ack",
      {
        message: "Connected to WebSocket server",
        timestamp,
        connectionId: this.id,
        userId: claims.sub,
        protocol: "roomcast.v1",
        expiresAt: new Date(claims.exp * 1000).toISOString(),
        rooms,
        heartbeat: { pingIntervalMs: 30_000, timeoutMs: 60_000 },
        limits: this.#world.limits satisfies Limits,
        schema: { version: "fake", hash: "fake" },
      },
      replyTo,
    );
    this.#watchExpiry();
  }

  /** The claims of a good token. A bad one ends a connection that has none yet. */
  #check(token: string, replyTo?: string): Claims | undefined {
    const claims = decode(token);
    const isGood = claims && claims.exp * 1000 > Date.now() && !this.#world.isRefused(claims);
    const isOther = isGood && this.#claims && this.#claims.sub !== claims.sub;
    if (isGood && !isOther) return claims;
    const message = isOther ? "the token is another user's" : claims ? "the token has expired or was revoked" : "not a token";
    this.#say("error", { code: "UNAUTHORIZED", message }, replyTo);
    if (!this.#claims) this.shut(CLOSE_CODES.Unauthorized);
    return undefined;
  }

  #watchExpiry(): void {
    this.#expiry.forEach(clearTimeout);
    const left = this.#claims!.exp * 1000 - Date.now();
    // Longer than a timer can be set is longer than any test.
    if (left > 2 ** 30) return;
    this.#expiry = [
      setTimeout(() => this.warn(), Math.max(0, left - WARNING_MS)),
      setTimeout(() => this.shut(CLOSE_CODES.TokenExpired), left + LENIENCE_MS),
    ];
  }

  /** Tells that the token is about to run out. */
  warn(): void {
    this.#say("auth.expiring", { expiresAt: new Date(this.#claims!.exp * 1000).toISOString() });
  }

  // What the client asks.

  receive(text: unknown): void {
    if (this.#isOver) return;
    const frame = read(text);
    const replyTo = frame && isId(frame.id) ? frame.id : undefined;
    if (this.#isOverLimit(replyTo)) return;
    try {
      if (!frame || (frame.id !== undefined && replyTo === undefined)) refuse("INVALID_MESSAGE", "not a frame");
      if ((frame.type === undefined) === (frame.action === undefined)) refuse("INVALID_MESSAGE", "a frame has a type or an action");
      if (this.#claims) this.#carryOut(frame, replyTo);
      else this.#first(frame, replyTo);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!this.#claims) return void this.#check("", replyTo);
      this.#say("error", error.payload, replyTo);
      if (error.payload.code === "INVALID_MESSAGE" && this.#countInvalid() >= MOST_INVALID) this.shut(CLOSE_CODES.TooManyInvalid);
    }
  }

  #isOverLimit(replyTo: string | undefined): boolean {
    const now = Date.now();
    const { messagesPerMinute } = this.#world.limits;
    if (now - this.#window.since >= 60_000) this.#window = { since: now, count: 0, refused: 0 };
    if (++this.#window.count <= messagesPerMinute) return false;
    const retryAfterMs = this.#window.since + 60_000 - now;
    const message = `Rate limit exceeded. Try again in ${Math.ceil(retryAfterMs / 1000)} seconds.`;
    this.#say("error", { code: "RATE_LIMIT_EXCEEDED", message, retryAfterMs }, replyTo);
    if (++this.#window.refused >= MOST_REFUSED) this.shut(CLOSE_CODES.RateLimited, retryAfterMs);
    return true;
  }

  #countInvalid(): number {
    const now = Date.now();
    if (now - this.#invalid.since >= 60_000) this.#invalid = { since: now, count: 0 };
    return ++this.#invalid.count;
  }

  #first(frame: Frame, replyTo?: string): void {
    const isAuthentication = frame.action === "authenticate" && typeof frame.token === "string";
    this.#welcome(isAuthentication ? (frame.token as string) : "", replyTo);
  }

  #carryOut(frame: Frame, replyTo?: string): void {
    if (frame.type === "ping") return this.#say("connection.ack", { message: "pong", timestamp: this.#world.now() }, replyTo);
    switch (frame.action) {
      case "authenticate":
        return this.#renew(frame, replyTo);
      case "subscribe":
        return this.#subscribe(frame, replyTo);
      case "unsubscribe":
        return this.#unsubscribe(frame, replyTo);
      case "publish":
        return this.#publish(frame, replyTo);
    }
    refuse("INVALID_MESSAGE", "unknown type or action");
  }

  #renew({ token }: Frame, replyTo?: string): void {
    if (typeof token !== "string") refuse("INVALID_MESSAGE", "token is missing");
    const claims = this.#check(token, replyTo);
    if (!claims) return;
    this.#claims = claims;
    const lostRooms = [...this.rooms.keys()].filter((room) => !this.#may(room, "subscribe")).sort();
    for (const room of lostRooms) this.#leave(room);
    for (const room of this.rooms.keys()) if (!this.#may(room, "presence")) this.#world.presence.leave(room, this);
    this.#watchExpiry();
    this.#say("auth.ack", { userId: claims.sub, expiresAt: new Date(claims.exp * 1000).toISOString(), lostRooms }, replyTo);
  }

  #subscribe(frame: Frame, replyTo?: string): void {
    const names = this.#names(frame);
    const since = sinceOf(frame, names);
    const presence = presenceOf(frame);
    const outcomes: Record<Room, RoomOutcome> = {};
    const missed = new Map<Room, readonly Publication[]>();
    const present: Room[] = [];
    for (const room of names) {
      const code = this.#refusal(room);
      if (code) {
        if (code === "UNAVAILABLE") this.#leave(room);
        outcomes[room] = { status: "denied", code };
        continue;
      }
      const position = this.#join(room);
      const from = since.get(room);
      const page = from === undefined ? undefined : this.#world.streams.missed(room, from);
      const outcome: RoomOutcome = page ? outcomeOf(from!, page) : { status: "subscribed", position };
      if (page) {
        this.rooms.set(room, page.latest);
        missed.set(room, page.publications);
      }
      const mayAttend = presence && this.#may(room, "presence");
      if (mayAttend) {
        this.#world.presence.enter(room, this, presence.data);
        present.push(room);
      } else this.#world.presence.leave(room, this);
      outcomes[room] = { ...outcome, ...(presence && !mayAttend && { presence: "denied" as const }) };
    }
    this.#say("subscription.ack", { rooms: outcomes }, replyTo);
    for (const room of present) this.tell("presence.state", { room, members: this.#world.presence.members(room) });
    for (const { publication, rooms } of merge(missed)) this.#event(publication, rooms);
  }

  #refusal(room: Room): "INVALID_ROOM" | "FORBIDDEN" | "LIMIT_EXCEEDED" | "UNAVAILABLE" | undefined {
    if (!isRoom(room, this.#world.kinds)) return "INVALID_ROOM";
    if (!this.#may(room, "subscribe")) return "FORBIDDEN";
    if (!this.rooms.has(room) && this.rooms.size >= this.#world.limits.maxRooms) return "LIMIT_EXCEEDED";
    return this.#world.isAway ? "UNAVAILABLE" : undefined;
  }

  #unsubscribe(frame: Frame, replyTo?: string): void {
    const outcomes: Record<Room, RoomOutcome> = {};
    for (const room of this.#names(frame)) {
      const isGood = isRoom(room, this.#world.kinds);
      outcomes[room] = isGood ? { status: "unsubscribed" } : { status: "denied", code: "INVALID_ROOM" };
      this.#leave(room);
    }
    this.#say("subscription.ack", { rooms: outcomes }, replyTo);
  }

  #publish({ event, rooms }: Frame, replyTo?: string): void {
    if (!isObject(event) || typeof event.type !== "string" || !("payload" in event)) refuse("INVALID_MESSAGE", "event is missing");
    if (rooms !== undefined && !isTexts(rooms)) refuse("INVALID_MESSAGE", "rooms is no list of names");
    const { sub: userId, email: userEmail = "" } = this.#claims!;
    const isTyping = event.type === "user.typing";
    const payload = isTyping && isObject(event.payload) ? { ...event.payload, userId, userEmail } : event.payload;
    const submission = { ...event, payload, userId, rooms } as Submission;
    const draft = this.#world.draft(submission);
    for (const room of draft.rooms) {
      if (!this.#may(room, `publish:${event.type}`)) refuse("FORBIDDEN", `the token does not grant publish:${event.type} on ${room}`);
      const isGranted = isAllowed("grants", { ...this.#claims!, grants: this.#claims!.grants ?? {} }, room, `publish:${event.type}`);
      if (isTyping && !this.rooms.has(room) && !(this.#claims!.grants && isGranted)) refuse("FORBIDDEN", `join ${room} to type there`);
    }
    const { published, publication } = this.#world.place(draft, isTyping ? this : undefined);
    this.#say("publish.ack", published, replyTo);
    if (publication) this.#world.deliver(publication);
    if (isTyping) this.#noteTyping(draft.rooms[0]!, (payload as { isTyping: boolean }).isTyping);
  }

  #noteTyping(room: Room, isTyping: boolean): void {
    clearTimeout(this.#typing.get(room));
    this.#typing.delete(room);
    if (isTyping) this.#typing.set(room, setTimeout(() => this.#stopTyping(room), TYPING_MS));
  }

  #stopTyping(room: Room): void {
    if (!this.#typing.has(room)) return;
    this.#noteTyping(room, false);
    const { sub: userId, email: userEmail = "" } = this.#claims!;
    const payload = { issueId: room.slice("issue:".length), userId, userEmail, isTyping: false };
    this.#world.publish({ type: "user.typing", payload, userId, rooms: [room] }, this);
  }

  // Rooms.

  #may(room: Room, operation: string): boolean {
    return isAllowed(this.#world.access, this.#claims!, room, operation);
  }

  #names({ rooms }: Frame): Room[] {
    if (!isTexts(rooms) || !rooms.length) refuse("INVALID_MESSAGE", "rooms is no list of names, or empty");
    const names = [...new Set(rooms)];
    if (names.length > this.#world.limits.maxRoomsPerMessage) refuse("LIMIT_EXCEEDED", "too many rooms in one message");
    return names;
  }

  #join(room: Room): Position {
    const position = this.rooms.get(room) ?? this.#world.streams.position(room);
    this.rooms.set(room, position);
    return position;
  }

  #leave(room: Room): void {
    this.rooms.delete(room);
    this.#stopTyping(room);
    this.#world.presence.leave(room, this);
  }

  /** An event has happened: it comes if it is the next one in a room that the client is in. */
  hear(publication: Publication): void {
    if (publication.except === this) return;
    const rooms = [...publication.places].filter(([room, position]) => {
      if (!this.rooms.has(room)) return false;
      if (position) this.rooms.set(room, position);
      return true;
    });
    if (rooms.length) this.#event(publication, rooms.map(([room]) => room));
  }

  #event({ frame, places }: Publication, rooms: readonly Room[]): void {
    const positions = Object.fromEntries(rooms.flatMap((room) => (places.get(room) ? [[room, places.get(room)!]] : [])));
    this.#send({ ...frame, ...(Object.keys(positions).length && { positions }) });
  }

  /** Events of the room were lost on the way. */
  gap(room: Room, reason: "epoch_changed" | "history_truncated" | "too_many_missed"): void {
    if (!this.rooms.has(room)) return;
    const position = this.#world.streams.position(room);
    this.rooms.set(room, position);
    this.#say("subscription.ack", { rooms: { [room]: { status: "gap", position, reason } } });
  }

  tell(type: "presence.state" | "presence.joined" | "presence.left", payload: object): void {
    this.#say(type, payload);
  }

  #say(type: Reply["type"], payload: object, replyTo?: string): void {
    this.#send({ type, ...(replyTo !== undefined && { replyTo }), payload, timestamp: this.#world.now() });
  }

  #send(frame: object): void {
    if (!this.#isOver) this.#socket.deliver(JSON.stringify(frame));
  }
}

function read(text: unknown): Frame | undefined {
  try {
    const frame = typeof text === "string" ? JSON.parse(text) : undefined;
    return isObject(frame) ? frame : undefined;
  } catch {
    return undefined;
  }
}

function sinceOf({ since }: Frame, names: readonly Room[]): Map<Room, Position> {
  if (since === undefined) return new Map();
  if (!isObject(since)) refuse("INVALID_MESSAGE", "since is no object");
  const asked = Object.entries(since).filter(([room]) => names.includes(room));
  return new Map(asked.map(([room, position]) => [room, isPosition(position) ? position : refuse("INVALID_MESSAGE", "not a position")]));
}

function presenceOf({ presence }: Frame): { readonly data?: unknown } | undefined {
  if (presence === undefined || presence === false) return undefined;
  if (presence === true) return {};
  if (!isObject(presence)) refuse("INVALID_MESSAGE", "presence is true or an object with data");
  if (JSON.stringify(presence.data ?? null).length > 1024) refuse("INVALID_MESSAGE", "presence: data is over 1024 bytes");
  return presence.data === null ? {} : presence;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && [...value].length <= 64;
}

function isObject(value: unknown): value is Frame {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
