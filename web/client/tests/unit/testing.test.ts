// The fake gateway's script: what a test can make happen, under a fake clock. What it says on the wire is the scenarios'.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { createClient, presence, publish, rooms, typing } from "../../src/index.js";
import { createFakeGateway, type FakeGateway } from "../../src/testing/index.js";
import { settled } from "./socket.js";

let gateway: FakeGateway<{ "build.finished": { id: string } }>;

beforeEach(() => {
  vi.useFakeTimers();
  gateway = createFakeGateway();
});
afterEach(() => {
  gateway.close();
  vi.useRealTimers();
});

const TEAM = rooms.team("t");
const deleted = (id: string) => gateway.publish("issue.deleted", { id, teamId: "t" });

function clientOf(user: string) {
  const client = createClient({ url: gateway.url, token: gateway.tokens(user), WebSocket: gateway.WebSocket });
  const told: string[] = [];
  const room = client.room(TEAM);
  for (const type of ["subscribed", "recovered", "gap", "denied"] as const) room.on(type, () => told.push(type));
  room.on("issue.deleted", ({ payload }) => told.push(payload.id));
  client.onState(({ status }) => told.push(status));
  client.connect();
  return { client, told };
}

/** Lets a client come back. */
const pass = (ms = 1_000) => vi.advanceTimersByTimeAsync(ms);

test("events that are published come, by the rooms of their type or those that are named", async () => {
  const { client, told } = clientOf("ann");
  const finished: string[] = [];
  client.room<typeof TEAM>(TEAM).onAny(({ type }) => finished.push(type));
  await settled();
  const { positions } = deleted("1");
  gateway.publish("build.finished", { id: "b" }, { rooms: [TEAM], userId: "bob", eventId: "given" });
  await settled();
  expect(Object.keys(positions)).toEqual([TEAM, "issue:1"]);
  expect(told).toEqual(["connecting", "open", "subscribed", "1"]);
  expect(finished).toEqual(["issue.deleted", "build.finished"]);
  expect([gateway.connections, gateway.count(TEAM)]).toEqual([["ann"], 1]);
  expect(() => gateway.publish("build.finished", { id: "b" })).toThrow(/needs rooms/);
  expect(() => gateway.publish("issue.deleted", { id: "1" } as never)).toThrow(/teamId/);
});

test("a dropped connection comes back, with what was missed; of one user alone, where one is named", async () => {
  const [ann, bob] = [clientOf("ann"), clientOf("bob")];
  await settled();
  gateway.drop("ann");
  deleted("1");
  await pass();
  expect(ann.told.slice(3)).toEqual(["reconnecting", "open", "recovered", "1"]);
  expect(bob.told.slice(3)).toEqual(["1"]);
});

test("refused connections are tried again until they are let in", async () => {
  gateway.refuse();
  const { client } = clientOf("ann");
  await pass(10_000);
  expect(client.state).toMatchObject({ status: "reconnecting", refused: true });
  gateway.refuse(false);
  await pass(30_000);
  expect(client.state.status).toBe("open");
});

test("a gap is told to whoever is in the room, and to whoever comes back to it", async () => {
  const [ann, bob] = [clientOf("ann"), clientOf("bob")];
  await settled();
  gateway.drop("bob");
  gateway.gap(TEAM);
  await pass();
  deleted("1");
  await settled();
  expect(ann.told.slice(3)).toEqual(["gap", "1"]);
  expect(bob.told.slice(3)).toEqual(["reconnecting", "open", "gap", "1"]);
});

test("a token about to run out is renewed, and one that has run out is asked for anew", async () => {
  const requests: boolean[] = [];
  const client = createClient({
    url: gateway.url,
    WebSocket: gateway.WebSocket,
    token: ({ fresh }) => (requests.push(fresh), gateway.token("ann")),
  });
  client.connect();
  await settled();
  gateway.expiring();
  await pass(1);
  gateway.expire("ann");
  await pass();
  expect([client.state.status, requests]).toEqual(["open", [false, true, true]]);
});

test("a token's time passes as that of timers does", async () => {
  const client = createClient({
    url: gateway.url,
    WebSocket: gateway.WebSocket,
    token: ({ fresh }) => (fresh ? Promise.reject(new Error("away")) : gateway.token("ann", { expiresInMs: 300_000 })),
  });
  client.connect();
  await pass(309_000);
  expect(client.state.status).toBe("open");
  await pass(1_000);
  expect(client.state).toMatchObject({ status: "reconnecting", reason: "token expired" });
});

test("a drained gateway takes its clients back after the time that it says", async () => {
  const { client, told } = clientOf("ann");
  await settled();
  gateway.drain(5_000);
  await settled();
  expect(client.state).toMatchObject({ status: "reconnecting", reason: "service restart" });
  await pass(4_999);
  expect(client.state.status).toBe("reconnecting");
  await pass(501);
  expect(told.slice(3)).toEqual(["reconnecting", "open", "recovered"]);
});

test("a user who is sent away stays away, and is let in by no token", async () => {
  const { client } = clientOf("ann");
  await settled();
  gateway.disconnect("ann");
  await settled();
  expect(client.state).toMatchObject({ status: "closed", code: 4501 });
  client.connect();
  await settled();
  expect(client.state).toMatchObject({ status: "closed", code: 4500 });
});

test("while the broker is away nothing is joined or published, and the client asks again", async () => {
  gateway.unavailable();
  const { client, told } = clientOf("ann");
  await settled();
  const room = client.room(rooms.issue("i"));
  await expect(publish(client.room(TEAM), "user.typing" as never, { issueId: "i", isTyping: true } as never)).rejects.toMatchObject({ kind: "denied" });
  expect([told, room.position]).toEqual([["connecting", "open"], undefined]);
  gateway.unavailable(false);
  await pass(20_000);
  expect(told.at(-1)).toBe("subscribed");
});

test("presence and typing are those of the users", async () => {
  const [ann, bob] = [clientOf("ann").client, clientOf("bob").client];
  const issue = rooms.issue("i");
  const people = presence(ann.room(issue), { data: 1 });
  presence(bob.room(issue));
  const seen = typing(ann.room(issue));
  await settled();
  await settled();
  expect(gateway.members(issue)).toEqual([
    { userId: "ann", data: 1, connections: 1 },
    { userId: "bob", connections: 1 },
  ]);
  expect(people.value.members.length).toBe(2);
  typing(bob.room(issue)).start();
  await settled();
  expect(seen.value.map(({ userId }) => userId)).toEqual(["bob"]);
  await pass(6_000);
  expect(seen.value).toEqual([]);
  gateway.drop("bob");
  bob.close();
  await pass(15_000);
  expect(people.value.members.map(({ userId }) => userId)).toEqual(["ann"]);
});

test("closed, it leaves no timer behind", async () => {
  const { client } = clientOf("ann");
  presence(client.room(TEAM));
  typing(client.room(rooms.issue("i"))).start();
  await settled();
  client.close();
  gateway.close();
  expect(vi.getTimerCount()).toBe(0);
});
