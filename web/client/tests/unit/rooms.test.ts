// Rooms: what is asked for, what the answers mean, and which events reach whom.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { rooms } from "../../src/index.js";
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
const recovered = (position: string, count: number) => ({ status: "recovered", position, recovered: count });

/** A client that is in these rooms at `e:1`. */
async function joined(...names: (typeof TEAM | typeof ISSUE)[]) {
  const bench = new Bench();
  const heard: any[] = [];
  for (const name of names) {
    const room = bench.client.room(name);
    for (const type of ["subscribed", "recovered", "gap", "denied"] as const) room.on(type, (notice) => heard.push(notice));
    room.onAny((event) => heard.push(`${name} ${event.eventId ?? event.type}`));
  }
  await bench.open();
  if (names.length) bench.socket.answer("subscribe", Object.fromEntries(names.map((name) => [name, subscribed("e:1")])));
  heard.splice(0);
  return { bench, heard };
}

/** The client loses its connection and is let in again. */
async function back(bench: Bench) {
  bench.socket.drop();
  await pass(500);
  bench.socket.accept();
  await settled();
}

test("what is wanted in one turn is asked for in one frame, before and behind the opening", async () => {
  const bench = new Bench();
  bench.client.room(TEAM).onAny(() => {});
  bench.client.room(ISSUE).onAny(() => {});
  const socket = await bench.open();
  expect(socket.sent).toEqual([{ id: "1", action: "subscribe", rooms: [TEAM, ISSUE], since: {} }]);
  for (const id of ["a", "b", "c"]) bench.client.room(rooms.project(id)).onAny(() => {});
  await settled();
  expect(socket.asked("subscribe")[1].rooms).toEqual(["project:a", "project:b", "project:c"]);
});

test("listeners share a room: it is joined for the first and left for the last", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  const offs = [1, 2, 3].map(() => bench.client.room(TEAM).on("issue.updated", () => {}));
  await settled();
  expect(socket.asked("subscribe").length).toBe(1);
  socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  offs[0]!();
  offs[0]!();
  offs[1]!();
  await settled();
  expect(socket.asked("unsubscribe")).toEqual([]);
  offs[2]!();
  await settled();
  expect(socket.asked("unsubscribe")).toEqual([{ id: "2", action: "unsubscribe", rooms: [TEAM] }]);
  socket.answer("unsubscribe", { [TEAM]: { status: "unsubscribed" } });
  await settled();
  expect(bench.client.room(TEAM).position).toBe(undefined);
});

test("who leaves and comes back in one turn is not noticed, and one who comes back too late joins anew", async () => {
  const { bench } = await joined();
  const off = bench.client.room(TEAM).onAny(() => {});
  await settled();
  bench.socket.answer("subscribe", { [TEAM]: subscribed("e:5") });
  off();
  const again = bench.client.room(TEAM).onAny(() => {});
  await settled();
  expect(bench.socket.sent.length).toBe(1);
  again();
  await settled();
  const notices: any[] = [];
  bench.client.room(TEAM).on("subscribed", (notice) => notices.push(notice));
  await settled();
  expect(bench.socket.sent.length).toBe(2);
  // Still of before.
  bench.socket.event("issue.updated", { [TEAM]: "e:6" });
  bench.socket.answer("unsubscribe", { [TEAM]: { status: "unsubscribed" } });
  await settled();
  expect(bench.socket.asked("subscribe")[1]).toMatchObject({ rooms: [TEAM], since: {} });
  bench.socket.answer("subscribe", { [TEAM]: subscribed("e:9") });
  expect(notices).toMatchObject([{ type: "subscribed", room: TEAM, position: "e:9" }]);
});

test("events reach the listeners of their type, and those of any", async () => {
  const { bench, heard } = await joined(TEAM);
  const updated: any[] = [];
  bench.client.room(TEAM).on("issue.updated", (event) => updated.push(event.payload.id));
  bench.socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  bench.socket.event("issue.deleted", { [TEAM]: "e:3" }, { eventId: "2" });
  bench.socket.event("build.finished", { [TEAM]: "e:4" }, { eventId: "3", payload: null });
  expect(updated).toEqual(["i"]);
  expect(heard).toEqual([`${TEAM} 1`, `${TEAM} 2`, `${TEAM} 3`]);
  expect(bench.client.room(TEAM).position).toBe("e:4");
});

test("all rooms are resumed in one frame, each from where it is; recovered is told, and what was missed comes in order", async () => {
  const { bench, heard } = await joined(TEAM, ISSUE);
  bench.socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  heard.splice(0);
  await back(bench);
  expect(bench.socket.sent).toEqual([{ id: "1", action: "subscribe", rooms: [TEAM, ISSUE], since: { [TEAM]: "e:2", [ISSUE]: "e:1" } }]);
  bench.socket.answer("subscribe", { [TEAM]: recovered("e:2", 2), [ISSUE]: recovered("e:1", 1) });
  bench.socket.event("issue.updated", { [TEAM]: "e:3", [ISSUE]: "e:2" }, { eventId: "2" });
  bench.socket.event("issue.updated", { [TEAM]: "e:4" }, { eventId: "3" });
  expect(heard).toMatchObject([
    { type: "recovered", room: TEAM, recovered: 2, position: "e:2" },
    { type: "recovered", room: ISSUE, recovered: 1, position: "e:1" },
    `${TEAM} 2`,
    `${ISSUE} 2`,
    `${TEAM} 3`,
  ]);
});

test("a gap is told and moves the position, from an answer and unasked", async () => {
  const { bench, heard } = await joined(TEAM);
  await back(bench);
  bench.socket.answer("subscribe", { [TEAM]: { status: "gap", position: "f:3", reason: "epoch_changed" } });
  bench.socket.event("issue.updated", { [TEAM]: "f:4" }, { eventId: "1" });
  bench.socket.say({ type: "subscription.ack", payload: { rooms: { [TEAM]: { status: "gap", position: "f:9", reason: "too_many_missed" } } } });
  bench.socket.event("issue.updated", { [TEAM]: "f:9" }, { eventId: "2" });
  bench.socket.event("issue.updated", { [TEAM]: "f:10" }, { eventId: "3" });
  expect(heard).toMatchObject([
    { type: "gap", room: TEAM, reason: "epoch_changed", position: "f:3" },
    `${TEAM} 1`,
    { type: "gap", reason: "too_many_missed", position: "f:9" },
    `${TEAM} 3`,
  ]);
});

test("what was had already is dropped, by its position and by its id", async () => {
  const { bench, heard } = await joined(TEAM);
  const once: string[] = [];
  const listener = ({ eventId }: { eventId?: string }) => void once.push(eventId!);
  bench.client.room(TEAM).onAny(listener);
  bench.client.room(ISSUE).onAny(listener);
  bench.client.room(ISSUE).on("issue.updated", listener);
  await settled();
  bench.socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  bench.socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  bench.socket.event("issue.updated", { [TEAM]: "e:1" }, { eventId: "0" });
  // The other room is joined, and brings again what came through the first.
  bench.socket.answer("subscribe", { [ISSUE]: subscribed("e:1") });
  bench.socket.event("issue.updated", { [TEAM]: "e:2", [ISSUE]: "e:2" }, { eventId: "1" });
  bench.socket.event("issue.updated", { [TEAM]: "e:3", [ISSUE]: "e:3" }, { eventId: "2" });
  expect(once).toEqual(["1", "2"]);
  expect(heard).toEqual([`${TEAM} 1`, `${TEAM} 2`]);
  expect(bench.client.room(ISSUE).position).toBe("e:3");
});

test("positions are compared as numbers within one epoch, and not across", async () => {
  const { bench, heard } = await joined(TEAM);
  for (const position of ["e:9", "e:10", "e:9", "e:100", "e:11"]) {
    bench.socket.event("issue.updated", { [TEAM]: position }, { eventId: position + Math.random() });
  }
  expect(heard.length).toBe(3);
});

test("events of a room that is being asked for wait for the answer, which has them or comes behind them", async () => {
  const { bench, heard } = await joined(TEAM);
  await back(bench);
  bench.socket.event("issue.updated", { [TEAM]: "e:7" }, { eventId: "7" });
  expect(heard).toEqual([]);
  bench.socket.answer("subscribe", { [TEAM]: recovered("e:1", 6) });
  for (let offset = 2; offset <= 7; offset++) bench.socket.event("issue.updated", { [TEAM]: `e:${offset}` }, { eventId: String(offset) });
  expect(heard.slice(1)).toEqual([2, 3, 4, 5, 6, 7].map((offset) => `${TEAM} ${offset}`));
});

test("a room is followed from a position that the application had, and a bad one is none", async () => {
  const bench = new Bench();
  const heard: any[] = [];
  bench.client.room(TEAM, { since: "e:4" }).on("recovered", (notice) => heard.push(notice));
  for (const since of ["null", "undefined", "e:", "{}", ""]) bench.client.room(`issue:${since}x`, { since }).onAny(() => {});
  const socket = await bench.open();
  expect(socket.asked("subscribe")[0].since).toEqual({ [TEAM]: "e:4" });
  socket.answer("subscribe", { [TEAM]: recovered("e:4", 0) });
  expect(heard).toMatchObject([{ type: "recovered", position: "e:4", recovered: 0 }]);
});

test("a position that the application had counts once: who leaves and comes again begins anew", async () => {
  const bench = new Bench();
  const room = bench.client.room(TEAM, { since: "e:4" });
  const off = room.onAny(() => {});
  const socket = await bench.open();
  socket.answer("subscribe", { [TEAM]: recovered("e:4", 0) });
  off();
  await settled();
  socket.answer("unsubscribe", { [TEAM]: { status: "unsubscribed" } });
  await settled();
  room.onAny(() => {});
  await settled();
  expect(socket.asked("subscribe").map(({ since }) => since)).toEqual([{ [TEAM]: "e:4" }, {}]);
});

test("who comes with a position to a room that is just being left has all that is behind it", async () => {
  for (const isLate of [false, true]) {
    const { bench } = await joined();
    const off = bench.client.room(TEAM).onAny(() => {});
    await settled();
    bench.socket.answer("subscribe", { [TEAM]: subscribed("e:7") });
    off();
    if (isLate) await settled();
    const heard: any[] = [];
    const room = bench.client.room(TEAM, { since: "e:5" });
    room.on("recovered", ({ recovered }) => heard.push(recovered));
    room.onAny(({ eventId }) => heard.push(eventId));
    await settled();
    if (isLate) bench.socket.answer("unsubscribe", { [TEAM]: { status: "unsubscribed" } });
    await settled();
    expect(bench.socket.asked("subscribe").map(({ since }) => since), `late: ${isLate}`).toEqual([{}, { [TEAM]: "e:5" }]);
    bench.socket.answer("subscribe", { [TEAM]: recovered("e:5", 2) });
    for (const offset of [6, 7]) bench.socket.event("issue.updated", { [TEAM]: `e:${offset}` }, { eventId: `event-${offset}` });
    expect(heard).toEqual([2, "event-6", "event-7"]);
    expect(room.position).toBe("e:7");
  }
});

test("more rooms than a message holds are asked for by several", async () => {
  const bench = new Bench();
  for (let index = 0; index < 300; index++) bench.client.room(`team:${index}`).onAny(() => {});
  bench.client.connect();
  await settled();
  bench.socket.accept({ maxRooms: 1000 });
  expect(bench.socket.asked("subscribe").map((frame) => frame.rooms.length)).toEqual([128, 128, 44]);
  bench.socket.drop();
  await pass(500);
  bench.socket.accept({ maxRooms: 1000, maxMessageBytes: 16_384 });
  expect(bench.socket.asked("subscribe").map((frame) => JSON.stringify(frame).length).every((length) => length < 16_384)).toBe(true);
  expect(bench.socket.asked("subscribe").flatMap((frame) => frame.rooms).length).toBe(300);
});

test("a refused room is told, and asked for again on the next connection and with the next token", async () => {
  const { bench, heard } = await joined(TEAM);
  const denied = { status: "denied", code: "FORBIDDEN" };
  await back(bench);
  bench.socket.answer("subscribe", { [TEAM]: denied });
  await pass(120_000 - 95_000);
  expect(bench.socket.asked("subscribe").length).toBe(1);
  expect(heard).toMatchObject([{ type: "denied", room: TEAM, code: "FORBIDDEN" }]);
  bench.socket.say({ type: "auth.expiring", payload: { expiresAt: "" } });
  await pass(1);
  bench.socket.say({ type: "auth.ack", replyTo: bench.socket.asked("authenticate")[0].id, payload: { lostRooms: [] } });
  await settled();
  expect(bench.socket.asked("subscribe")[1]).toMatchObject({ rooms: [TEAM], since: { [TEAM]: "e:1" } });
});

test("rooms that the next token does not grant are told as denied, the rest goes on", async () => {
  const { bench, heard } = await joined(TEAM, ISSUE);
  bench.socket.say({ type: "auth.expiring", payload: { expiresAt: "" } });
  await pass(1);
  bench.socket.say({ type: "auth.ack", replyTo: bench.socket.asked("authenticate")[0].id, payload: { lostRooms: [ISSUE] } });
  await settled();
  bench.socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  expect(heard).toMatchObject([{ type: "denied", room: ISSUE, code: "FORBIDDEN" }, `${TEAM} 1`]);
  expect(bench.socket.asked("subscribe").length).toBe(1);
});

test("while the broker is away a room keeps its position, is asked for again, and nobody is told", async () => {
  const { bench, heard } = await joined(TEAM);
  await back(bench);
  for (let turn = 1; turn < 4; turn++) {
    bench.socket.answer("subscribe", { [TEAM]: { status: "denied", code: "UNAVAILABLE" } });
    await pass(5_000);
    expect(bench.socket.asked("subscribe").length).toBe(1 + turn);
    expect(bench.socket.asked("subscribe").at(-1).since).toEqual({ [TEAM]: "e:1" });
  }
  expect(heard).toEqual([]);
});

test("over the limit of messages nothing is asked about rooms until it is over", async () => {
  const { bench } = await joined(TEAM);
  bench.client.room(ISSUE).onAny(() => {});
  await settled();
  const [, second] = bench.socket.asked("subscribe");
  bench.socket.say({ type: "error", replyTo: second.id, payload: { code: "RATE_LIMIT_EXCEEDED", message: "slow", retryAfterMs: 20_000 } });
  bench.client.room(rooms.project("p")).onAny(() => {});
  await pass(19_999);
  expect(bench.socket.asked("subscribe").length).toBe(2);
  await pass(5_001);
  expect(bench.socket.asked("subscribe")[2].rooms).toEqual([ISSUE, "project:p"]);
});

test("a room that could not be left for the limit of messages is left later", async () => {
  const { bench } = await joined();
  const off = bench.client.room(TEAM).onAny(() => {});
  await settled();
  bench.socket.answer("subscribe", { [TEAM]: subscribed("e:1") });
  off();
  await settled();
  bench.socket.say({ type: "error", replyTo: bench.socket.asked("unsubscribe")[0].id, payload: { code: "RATE_LIMIT_EXCEEDED", message: "slow", retryAfterMs: 1_000 } });
  await pass(6_001);
  expect(bench.socket.asked("unsubscribe").length).toBe(2);
});

test("a request without an answer is asked again, and its late answer says nothing", async () => {
  const { bench, heard } = await joined();
  bench.client.room(TEAM).on("subscribed", ({ position }) => heard.push(position));
  await settled();
  const [first] = bench.socket.asked("subscribe");
  for (let turn = 0; turn < 8; turn++) {
    await pass(2_500);
    bench.socket.event("issue.updated", {});
  }
  expect(bench.socket.asked("subscribe").length).toBe(2);
  bench.socket.say({ type: "subscription.ack", replyTo: first.id, payload: { rooms: { [TEAM]: subscribed("e:1") } } });
  expect(heard).toEqual([]);
  bench.socket.answer("subscribe", { [TEAM]: subscribed("e:2") });
  expect(heard).toEqual(["e:2"]);
});

test("an event that is not kept goes to the room of its type, and one of an unknown kind to whoever may want it", async () => {
  const { bench, heard } = await joined(TEAM, ISSUE);
  const typing = { issueId: "i", userId: "bob", userEmail: "", isTyping: true };
  bench.socket.event("user.typing", undefined, { payload: typing });
  bench.socket.event("user.typing", undefined, { payload: { ...typing, issueId: "other" } });
  bench.socket.event("cursor.moved", undefined);
  expect(heard).toEqual([`${ISSUE} user.typing`, `${TEAM} cursor.moved`, `${ISSUE} cursor.moved`]);
});

test("a listener that is gone hears nothing more, also of the event under way, and one that comes meanwhile hears the next", async () => {
  const { bench } = await joined(TEAM);
  const room = bench.client.room(TEAM);
  const heard: string[] = [];
  room.onAny(() => {
    heard.push("first");
    off();
    if (heard.length === 1) room.onAny(() => heard.push("late"));
  });
  const off = room.onAny(() => heard.push("removed"));
  bench.socket.event("issue.updated", { [TEAM]: "e:2" }, { eventId: "1" });
  bench.socket.event("issue.updated", { [TEAM]: "e:3" }, { eventId: "2" });
  expect(heard).toEqual(["first", "first", "late"]);
});

test("the own user room is a room like any other", async () => {
  const bench = new Bench();
  const room = bench.client.room(rooms.user("ann"));
  const heard: unknown[] = [];
  room.on("notification.new", (event) => heard.push(event.payload));
  await bench.open();
  bench.socket.answer("subscribe", { "user:ann": subscribed("u:1") });
  bench.socket.event("notification.new", { "user:ann": "u:2" }, { payload: { text: "hello" } });
  await back(bench);
  expect(bench.socket.asked("subscribe")[0].since).toEqual({ "user:ann": "u:2" });
  expect(heard).toEqual([{ text: "hello" }]);
});

test("closed and connected again, rooms go on where they were", async () => {
  const { bench, heard } = await joined(TEAM);
  bench.client.close();
  bench.client.connect();
  await settled();
  bench.socket.accept();
  expect(bench.socket.asked("subscribe")[0].since).toEqual({ [TEAM]: "e:1" });
  bench.socket.answer("subscribe", { [TEAM]: recovered("e:1", 0) });
  expect(heard).toMatchObject([{ type: "recovered" }]);
});

test("a room that one connection was refused is asked for by the next", async () => {
  const { bench, heard } = await joined(TEAM);
  await back(bench);
  bench.socket.answer("subscribe", { [TEAM]: { status: "denied", code: "FORBIDDEN" } });
  await back(bench);
  expect(bench.socket.asked("subscribe")[0].since).toEqual({ [TEAM]: "e:1" });
  bench.socket.answer("subscribe", { [TEAM]: recovered("e:1", 0) });
  expect(heard).toMatchObject([{ type: "denied" }, { type: "recovered" }]);
});

test("an answer that was overdue moves nobody back who has been answered since", async () => {
  const { bench, heard } = await joined();
  bench.client.room(TEAM).onAny(({ eventId }) => heard.push(eventId));
  await settled();
  const [first] = bench.socket.asked("subscribe");
  for (let turn = 0; turn < 8; turn++) {
    await pass(2_500);
    bench.socket.event("issue.updated", {});
  }
  bench.socket.answer("subscribe", { [TEAM]: subscribed("e:5") });
  bench.socket.say({ type: "subscription.ack", replyTo: first.id, payload: { rooms: { [TEAM]: subscribed("e:1") } } });
  bench.socket.event("issue.updated", { [TEAM]: "e:5" }, { eventId: "old" });
  bench.socket.event("issue.updated", { [TEAM]: "e:6" }, { eventId: "new" });
  expect([heard, bench.client.room(TEAM).position]).toEqual([["new"], "e:6"]);
});

test("who has heard of an event is remembered for the latest thousand", async () => {
  const { bench } = await joined(TEAM, ISSUE);
  const heard: string[] = [];
  const listener = ({ eventId }: { eventId?: string }) => void heard.push(eventId!);
  for (const name of [TEAM, ISSUE]) bench.client.room(name).onAny(listener);
  for (let offset = 2; offset <= 1_003; offset++) bench.socket.event("issue.updated", { [TEAM]: `e:${offset}` }, { eventId: String(offset) });
  // The latest is known, the oldest is not any more.
  bench.socket.event("issue.updated", { [ISSUE]: "e:2" }, { eventId: "1003" });
  bench.socket.event("issue.updated", { [ISSUE]: "e:3" }, { eventId: "2" });
  expect([heard.length, heard.at(-1)]).toEqual([1_003, "2"]);
});
