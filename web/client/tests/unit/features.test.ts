// What stands beside the core: publishing, presence, typing, streams, and the hand-off from a snapshot.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { events, follow, presence, publish, RoomcastError, rooms, typing } from "../../src/index.js";
import { Bench, settled } from "./socket.js";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const TEAM = rooms.team("t");
const ISSUE = rooms.issue("i");
const subscribed = (position: string) => ({ status: "subscribed", position });

async function back(bench: Bench) {
  bench.socket.drop();
  await pass(500);
  bench.socket.accept();
  await settled();
}

/** What a promise came to, as far as it has. */
function outcome<T>(promise: Promise<T>) {
  const told: { value?: T; error?: RoomcastError } = {};
  promise.then(
    (value) => (told.value = value),
    (error) => (told.error = error),
  );
  return told;
}

const ISSUE_DELETED = { id: "i", teamId: "t" };

test("a publish is acknowledged, and refused by an error that a program can decide by", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  const team = bench.client.room(TEAM);
  const good = outcome(publish(team, "issue.deleted", ISSUE_DELETED, { eventId: "mine" }));
  expect(socket.asked("publish")).toEqual([
    { id: "1", action: "publish", event: { type: "issue.deleted", payload: ISSUE_DELETED, eventId: "mine" }, rooms: [TEAM] },
  ]);
  socket.say({ type: "publish.ack", replyTo: "1", payload: { eventId: "mine", positions: { [TEAM]: "e:2" } } });
  const cases = [
    [{ code: "FORBIDDEN", message: "no" }, { kind: "denied", code: "FORBIDDEN", retryable: false, message: "publish: no" }],
    [{ code: "RATE_LIMIT_EXCEEDED", message: "slow", retryAfterMs: 42_000 }, { retryable: true, retryAfterMs: 42_000 }],
    [{ code: "UNAVAILABLE", message: "away" }, { code: "UNAVAILABLE", retryable: true }],
    [{ code: "INVALID_PAYLOAD", message: "bad", pointer: "/payload/id" }, { retryable: false, pointer: "/payload/id" }],
  ] as const;
  for (const [payload, expected] of cases) {
    const bad = outcome(publish(team, "issue.deleted", ISSUE_DELETED));
    socket.say({ type: "error", replyTo: socket.asked("publish").at(-1).id, payload });
    await settled();
    expect(bad.error).toBeInstanceOf(RoomcastError);
    expect(bad.error).toMatchObject({ name: "RoomcastError", ...expected });
  }
  expect(good.value).toEqual({ eventId: "mine", positions: { [TEAM]: "e:2" } });
  expect(new Set(socket.asked("publish").map(({ event }) => event.eventId)).size).toBe(5);
  for (const { event } of socket.asked("publish")) expect(event.eventId).toMatch(/^[A-Za-z0-9_.:-]{1,64}$/);
});

test("a publish waits for a connection, and is sent again in its order after a lost one, under the same id", async () => {
  const bench = new Bench();
  const team = bench.client.room(TEAM);
  const told = [1, 2, 3].map((id) => outcome(publish(team, "issue.deleted", { id: String(id), teamId: "t" })));
  await bench.open();
  const first = bench.socket.asked("publish").map(({ event }) => event);
  expect(first.map(({ payload }) => payload.id)).toEqual(["1", "2", "3"]);
  await back(bench);
  expect(bench.socket.asked("publish").map(({ event }) => event)).toEqual(first);
  for (const { id, event } of bench.socket.asked("publish")) bench.socket.say({ type: "publish.ack", replyTo: id, payload: { eventId: event.eventId, positions: {} } });
  await settled();
  expect(told.map(({ value }) => value?.eventId)).toEqual(first.map(({ eventId }) => eventId));
  await back(bench);
  expect(bench.socket.asked("publish")).toEqual([]);
});

test("what was typed is not sent again", async () => {
  const bench = new Bench();
  await bench.open();
  const told = outcome(publish(bench.client.room(ISSUE), "user.typing", { issueId: "i", isTyping: true }));
  await back(bench);
  expect(told.error).toMatchObject({ kind: "disconnected", retryable: true });
  expect(bench.socket.asked("publish")).toEqual([]);
});

test("a payload that JSON cannot write is refused as what it is, and leaves nothing behind", async () => {
  const bench = new Bench();
  const team = bench.client.room(TEAM);
  const circle: Record<string, unknown> = { id: "i", teamId: "t" };
  circle["self"] = circle;
  const told = outcome(publish(team, "issue.deleted", circle as typeof ISSUE_DELETED));
  await settled();
  expect(told.error).toBeInstanceOf(TypeError);
  expect(vi.getTimerCount()).toBe(0);
});

test("a publish without an answer in time, on a closed client, too large or one too many fails and says so", async () => {
  const bench = new Bench();
  const team = bench.client.room(TEAM);
  const early = outcome(publish(team, "issue.deleted", ISSUE_DELETED, { timeoutMs: 1_000 }));
  await pass(1_000);
  expect(early.error).toMatchObject({ kind: "timeout", retryable: true });
  await bench.open();
  const large = outcome(publish(team, "issue.deleted", { id: "é".repeat(33_000), teamId: "t" }));
  const many = Array.from({ length: 257 }, () => outcome(publish(team, "issue.deleted", ISSUE_DELETED)));
  await settled();
  expect(large.error).toMatchObject({ kind: "invalid", retryable: false });
  expect(many.filter(({ error }) => error).map(({ error }) => error!.kind)).toEqual(["busy"]);
  bench.client.close();
  const late = outcome(publish(team, "issue.deleted", ISSUE_DELETED));
  await settled();
  expect([...many.slice(0, 256), late].every(({ error }) => error?.kind === "closed")).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  bench.client.connect();
  await settled();
  bench.socket.accept();
  expect(bench.socket.asked("publish")).toEqual([]);
  outcome(publish(team, "issue.deleted", ISSUE_DELETED));
  expect(bench.socket.asked("publish").length).toBe(1);
});

const member = (userId: string, data?: unknown) => ({ userId, connections: 1, ...(data !== undefined && { data }) });

test("presence is asked for once a room is joined, and its list is folded from what comes", async () => {
  const bench = new Bench();
  const part = presence(bench.client.room(ISSUE), { data: { cursor: 1 } });
  const socket = await bench.open();
  expect(socket.asked("subscribe")).toMatchObject([{ rooms: [ISSUE], since: {} }]);
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  await settled();
  expect(socket.asked("subscribe")[1]).toEqual({ id: "2", action: "subscribe", rooms: [ISSUE], presence: { data: { cursor: 1 } } });
  socket.answer("subscribe", { [ISSUE]: subscribed("e:5") });
  const lists: string[][] = [];
  part.subscribe(({ members }) => lists.push(members.map(({ userId }) => userId)));
  const say = (type: string, payload: object) => socket.say({ type, payload: { room: ISSUE, ...payload } });
  say("presence.state", { members: [member("ann"), member("bob")] });
  say("presence.joined", { member: member("cid") });
  say("presence.joined", { member: member("bob", "new") });
  say("presence.left", { member: member("ann") });
  expect(lists).toEqual([["ann", "bob"], ["ann", "bob", "cid"], ["ann", "cid", "bob"], ["cid", "bob"]]);
  expect(part.value.members.find(({ userId }) => userId === "bob")?.data).toBe("new");
  expect(part.value).toBe(part.value);
  // Its own request moves nobody.
  expect(bench.client.room(ISSUE).position).toBe("e:1");
});

test("presence is said again on each connection, rooms of one wish in one frame", async () => {
  const bench = new Bench();
  const names = [1, 2, 3].map((id) => rooms.issue(String(id)));
  for (const name of names) presence(bench.client.room(name));
  const parts = presence(bench.client.room(TEAM), { data: 7 });
  const join = () => bench.socket.answer("subscribe", Object.fromEntries([...names, TEAM].map((name) => [name, subscribed("e:1")])));
  await bench.open();
  for (let turn = 0; turn < 3; turn++) {
    join();
    await settled();
    expect(bench.socket.asked("subscribe").slice(1).map(({ rooms, presence }) => [rooms, presence])).toEqual([
      [names, true],
      [[TEAM], { data: 7 }],
    ]);
    bench.socket.say({ type: "presence.state", payload: { room: TEAM, members: [member("ann")] } });
    await back(bench);
    expect(parts.value.members.length).toBe(1);
  }
});

test("of changes behind one that is on its way only the last is sent; who leaves takes no part, and the last one tells", async () => {
  const bench = new Bench();
  const room = bench.client.room(ISSUE);
  room.onAny(() => {});
  const [silent, speaking] = [presence(room), presence(room, { data: 0 })];
  const socket = await bench.open();
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  await settled();
  for (let cursor = 1; cursor < 5; cursor++) {
    speaking.update(cursor);
    await settled();
  }
  const wishes = () => socket.asked("subscribe").slice(1).map(({ presence }) => presence);
  expect(wishes()).toEqual([{ data: 0 }]);
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  await settled();
  expect(wishes()).toEqual([{ data: 0 }, { data: 4 }]);
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  speaking.leave();
  await settled();
  expect(wishes().at(-1)).toBe(true);
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  silent.leave();
  silent.leave();
  await settled();
  expect(wishes().at(-1)).toBe(undefined);
  expect(socket.asked("unsubscribe")).toEqual([]);
});

test("who has left presence stays away, whatever is said afterwards", async () => {
  const bench = new Bench();
  const part = presence(bench.client.room(ISSUE), { data: 0 });
  const socket = await bench.open();
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  await settled();
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  part.leave();
  // A pointer that still moves.
  part.update(1);
  await settled();
  socket.answer("unsubscribe", { [ISSUE]: { status: "unsubscribed" } });
  part.update(2);
  await settled();
  expect(socket.asked("subscribe").length).toBe(2);
  expect(socket.asked("unsubscribe").length).toBe(1);
});

test("denied presence is told, unserved presence is asked again, and one that costs the room joins it again", async () => {
  const bench = new Bench();
  const part = presence(bench.client.room(ISSUE));
  const socket = await bench.open();
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  await settled();
  socket.say({ type: "error", replyTo: "2", payload: { code: "RATE_LIMIT_EXCEEDED", message: "slow", retryAfterMs: 2_000 } });
  await pass(2_000);
  expect(socket.asked("subscribe").length).toBe(3);
  socket.answer("subscribe", { [ISSUE]: { status: "denied", code: "UNAVAILABLE" } });
  await settled();
  expect(socket.asked("subscribe")[3]).toMatchObject({ rooms: [ISSUE], since: { [ISSUE]: "e:1" } });
  socket.answer("subscribe", { [ISSUE]: { status: "recovered", position: "e:1", recovered: 0 } });
  await settled();
  expect(socket.asked("subscribe")[4]).toMatchObject({ rooms: [ISSUE], presence: true });
  socket.answer("subscribe", { [ISSUE]: { ...subscribed("e:1"), presence: "denied" } });
  expect(part.value).toEqual({ members: [], isDenied: true });
  expect(() => presence(bench.client.room(ISSUE), { data: "x".repeat(1_100) })).toThrow(RoomcastError);
});

test("who types is told until they stop, or it has lasted; oneself is nobody", async () => {
  const bench = new Bench();
  const issue = typing(bench.client.room(ISSUE));
  const socket = await bench.open();
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  const say = (userId: string, isTyping: boolean) => socket.event("user.typing", undefined, { payload: { issueId: "i", userId, userEmail: `${userId}@x`, isTyping } });
  say("bob", true);
  say("cid", true);
  say("ann", true);
  expect(issue.value.map(({ userId }) => userId)).toEqual(["bob", "cid"]);
  say("bob", false);
  await pass(5_000);
  say("cid", true);
  await pass(7_999);
  expect(issue.value).toEqual([{ userId: "cid", userEmail: "cid@x" }]);
  await pass(1);
  expect(issue.value).toEqual([]);
});

test("one's own typing is said every few seconds at most, and its end once", async () => {
  const bench = new Bench();
  const issue = typing(bench.client.room(ISSUE));
  issue.start();
  const socket = await bench.open();
  await pass(3_000);
  for (let stroke = 0; stroke < 40; stroke++) {
    issue.start();
    await pass(100);
  }
  issue.stop();
  issue.stop();
  issue.start();
  const { leave } = issue;
  leave();
  expect(socket.asked("publish").map(({ event }) => event.payload.isTyping)).toEqual([true, true, false, true, false]);
});

test("a room is a stream: its events and notices in order, from the call on", async () => {
  const bench = new Bench();
  const stream = events(bench.client.room(TEAM));
  const read: string[] = [];
  const socket = await bench.open();
  socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  const reading = (async () => {
    for await (const delivery of stream) {
      read.push(delivery.type);
      if (delivery.type === "issue.deleted") break;
    }
  })();
  await settled();
  socket.event("issue.deleted", { [TEAM]: "e:3" }, { eventId: "2" });
  await reading;
  expect(read).toEqual(["subscribed", "issue.updated", "issue.deleted"]);
  await settled();
  expect(socket.asked("unsubscribe").length).toBe(1);
});

test("a reader that falls behind is told by a gap, with the position behind which everything comes", async () => {
  const bench = new Bench();
  const stream = events(bench.client.room(TEAM), { buffer: 3 });
  const socket = await bench.open();
  socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  for (let offset = 2; offset < 10; offset++) socket.event("issue.updated", { [TEAM]: `e:${offset}` }, { eventId: String(offset) });
  const read = [];
  for (let turn = 0; turn < 3; turn++) read.push((await stream.next()).value);
  expect(read).toMatchObject([{ type: "gap", reason: "lagged", room: TEAM, position: "e:7" }, { eventId: "8" }, { eventId: "9" }]);
});

test("a stream ends when the client is closed, behind what was still to be read", async () => {
  const bench = new Bench();
  const stream = events(bench.client.room(TEAM));
  const socket = await bench.open();
  socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  const types = (async () => {
    const read = [];
    for await (const { type } of stream) read.push(type);
    return read;
  })();
  socket.drop(4501, "disconnected by the server");
  expect(await types).toEqual(["subscribed"]);
  expect(await stream.next()).toEqual({ value: undefined, done: true });
});

test("a snapshot is loaded behind the position, and what came meanwhile comes behind the snapshot", async () => {
  const bench = new Bench();
  const told: unknown[] = [];
  let loaded = (_: string) => {};
  const off = follow(bench.client.room(TEAM), {
    load: ({ position }) => {
      told.push(`load at ${position}`);
      return new Promise<string>((resolve) => (loaded = resolve));
    },
    onSnapshot: (state) => told.push(state),
    onEvent: ({ eventId }) => told.push(eventId),
  });
  const socket = await bench.open();
  const event = (offset: number) => socket.event("issue.updated", { [TEAM]: `e:${offset}` }, { eventId: String(offset) });
  expect(told).toEqual([]);
  socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  event(2);
  event(3);
  await settled();
  loaded("snapshot");
  await settled();
  event(4);
  expect(told).toEqual(["load at e:1", "snapshot", "2", "3", "4"]);
  // A recovered room needs none; after a gap it is loaded anew.
  await back(bench);
  bench.socket.answer("subscribe", { [TEAM]: { status: "recovered", position: "e:4", recovered: 0 } });
  await back(bench);
  bench.socket.answer("subscribe", { [TEAM]: { status: "gap", position: "f:1", reason: "epoch_changed" } });
  await settled();
  loaded("another");
  await settled();
  expect(told.slice(5)).toEqual(["load at f:1", "another"]);
  off();
  await settled();
  expect(bench.socket.asked("unsubscribe").length).toBe(1);
});

test("a load that fails is tried again, one that a gap has overtaken counts for nothing, and one that takes too long is repeated", async () => {
  const bench = new Bench();
  const told: unknown[] = [];
  const loads: { resolve(state: string): void; reject(error: Error): void; signal: AbortSignal }[] = [];
  follow(bench.client.room(TEAM), {
    load: ({ signal }) => new Promise<string>((resolve, reject) => loads.push({ resolve, reject, signal })),
    onSnapshot: (state) => told.push(state),
    onEvent: ({ eventId }) => told.push(eventId),
    onError: (error) => told.push((error as Error).message),
  });
  const socket = await bench.open();
  socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  loads[0]!.reject(new Error("away"));
  await pass(500);
  expect([told, loads.length]).toEqual([["away"], 2]);
  socket.say({ type: "subscription.ack", payload: { rooms: { [TEAM]: { status: "gap", position: "e:5", reason: "too_many_missed" } } } });
  await settled();
  expect([loads.length, loads[1]!.signal.aborted]).toEqual([3, true]);
  loads[1]!.resolve("overtaken");
  for (let offset = 6; offset < 1100; offset++) socket.event("issue.updated", { [TEAM]: `e:${offset}` }, { eventId: String(offset) });
  loads[2]!.resolve("too late");
  await settled();
  expect(loads.length).toBe(4);
  loads[3]!.resolve("good");
  await settled();
  socket.event("issue.updated", { [TEAM]: "e:1100" }, { eventId: "last" });
  expect(told).toEqual(["away", "good", "last"]);
});

test("a load is tried again although the application's onError throws", async () => {
  const others = process.listeners("unhandledRejection");
  const reported: unknown[] = [];
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", (error) => reported.push(error));
  try {
    const bench = new Bench();
    const load = vi.fn(() => Promise.reject(new Error("away")));
    const onError = () => {
      throw new Error("of the application");
    };
    const stop = follow(bench.client.room(TEAM), { load, onSnapshot: () => {}, onEvent: () => {}, onError });
    (await bench.open()).answer("subscribe", { [TEAM]: subscribed("e:1") });
    await pass(2_000);
    expect(load.mock.calls.length).toBeGreaterThan(1);
    stop();
    vi.useRealTimers();
    await vi.waitFor(() => expect(reported).toContainEqual(new Error("of the application")));
  } finally {
    process.removeAllListeners("unhandledRejection");
    others.forEach((listener) => process.on("unhandledRejection", listener));
  }
});

test("whoever follows a room that is joined already loads at once", async () => {
  const bench = new Bench();
  bench.client.room(TEAM).onAny(() => {});
  const socket = await bench.open();
  socket.answer("subscribe", { [TEAM]: subscribed("e:3") });
  const told: unknown[] = [];
  follow(bench.client.room(TEAM), { load: ({ position }) => position, onSnapshot: (state) => told.push(state), onEvent: () => {} });
  await settled();
  expect(told).toEqual(["e:3"]);
  expect(socket.asked("subscribe").length).toBe(1);
});

test("what becomes of a publish behind its deadline counts for nothing", async () => {
  const bench = new Bench();
  await bench.open();
  const issue = bench.client.room(ISSUE);
  const late = Array.from({ length: 10 }, () => outcome(publish(issue, "user.typing", { issueId: "i", isTyping: true }, { timeoutMs: 100 })));
  await pass(100);
  expect(late.every(({ error }) => error?.kind === "timeout")).toBe(true);
  await back(bench);
  const told = Array.from({ length: 257 }, () => outcome(publish(issue, "issue.deleted", ISSUE_DELETED)));
  await settled();
  expect(told.filter(({ error }) => error?.kind === "busy").length).toBe(1);
});

test("who has left presence waits for nothing any more", async () => {
  const bench = new Bench();
  const part = presence(bench.client.room(ISSUE));
  const socket = await bench.open();
  socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  await settled();
  const before = vi.getTimerCount();
  socket.say({ type: "error", replyTo: "2", payload: { code: "RATE_LIMIT_EXCEEDED", message: "slow", retryAfterMs: 50_000 } });
  expect(vi.getTimerCount()).toBe(before + 1);
  part.leave();
  expect(vi.getTimerCount()).toBe(before);
});
