// The connection: when it connects, waits, comes back and stays away. The clock and the socket are the test's.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Bench, settled } from "./socket.js";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Passes time, and lets what it brings happen. */
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Passes time until so many sockets were made. */
async function tried(bench: Bench, count: number) {
  while (bench.sockets.length < count) await pass(100);
}

test("nothing happens before connect, and connecting again is nothing", async () => {
  const bench = new Bench();
  await pass(60_000);
  expect([bench.client.state, bench.sockets.length]).toEqual([{ status: "idle" }, 0]);
  for (let time = 0; time < 3; time++) bench.client.connect();
  await settled();
  expect([bench.sockets.length, bench.tokenRequests.length]).toEqual([1, 1]);
  bench.socket.accept();
  bench.client.connect();
  await settled();
  expect(bench.sockets.length).toBe(1);
  expect(bench.client.state).toEqual({ status: "open", connectionId: "c1", userId: "ann" });
  expect(bench.states).toEqual(["connecting", "open"]);
});

test("the token goes by the subprotocol and nowhere else", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  expect(socket.protocols).toEqual(["roomcast.v1", "roomcast.bearer.token-1"]);
  expect([socket.url, JSON.stringify(socket.sent)].join()).not.toContain("token-1");
});

test("waits fill a window that doubles up to its limit, and a long connection starts it anew", async () => {
  const bench = new Bench({ longestRetryMs: 4_000 });
  const waits: number[] = [];
  await bench.open();
  for (let failure = 0; failure < 6; failure++) {
    bench.socket.drop();
    const { state } = bench.client;
    if (state.status !== "reconnecting") throw new Error(state.status);
    waits.push(state.nextTry - Date.now());
    expect(state.attempt).toBe(failure + 1);
    await pass(waits.at(-1)!);
    // Let in and dropped at once is no success.
    bench.socket.accept();
  }
  expect(waits).toEqual([250, 500, 1000, 2000, 2000, 2000]);
  await pass(10_000);
  bench.socket.drop();
  expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: 1 });
});

test("jitter is full: between nothing and the whole window", async () => {
  for (const [random, wait] of [[0, 0], [0.999, 499.5]] as const) {
    vi.mocked(Math.random).mockReturnValue(random);
    const bench = new Bench();
    (await bench.open()).drop();
    expect(bench.client.state).toMatchObject({ nextTry: Date.now() + wait });
    bench.client.close();
  }
});

test("the gateway's hint is the least wait, which waking does not cut", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  socket.say({ type: "connection.closing", payload: { code: 1012, reason: "service restart", retryAfterMs: 5_000, resumable: true } });
  socket.drop(1012, "service restart");
  expect(bench.client.state).toMatchObject({ status: "reconnecting", nextTry: Date.now() + 5_250, reason: "service restart" });
  await pass(1_000);
  bench.wake!();
  await pass(3_900);
  expect(bench.sockets.length).toBe(1);
  await pass(100);
  expect(bench.sockets.length).toBe(2);
});

test("an absurd hint is cut to ten minutes", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  socket.say({ type: "connection.closing", payload: { code: 4003, reason: "rate limited", retryAfterMs: 1e12, resumable: true } });
  socket.drop(4003);
  expect(bench.client.state).toMatchObject({ nextTry: Date.now() + 600_250 });
});

test("waking tries at once, but not more often than once in a second", async () => {
  vi.mocked(Math.random).mockReturnValue(0.999);
  const bench = new Bench();
  (await bench.open()).drop();
  await pass(500);
  for (let failure = 0; failure < 3; failure++) {
    bench.socket.drop();
    await pass(400);
  }
  const before = bench.sockets.length;
  bench.socket.drop();
  for (let wake = 0; wake < 50; wake++) bench.wake!();
  await pass(999);
  expect(bench.sockets.length).toBe(before);
  await pass(1);
  expect(bench.sockets.length).toBe(before + 1);
});

test("a platform that gives no code for what could not be connected tells refusals too", async () => {
  const bench = new Bench();
  bench.client.connect();
  await settled();
  // As Deno does.
  bench.socket.drop(0);
  await tried(bench, 2);
  bench.socket.drop(0);
  expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: 2, refused: true });
});

test("refusals before a socket opens are told from the second on, and never end the client", async () => {
  const bench = new Bench();
  bench.client.connect();
  await settled();
  bench.socket.drop();
  expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: 1, refused: false });
  for (let failure = 2; failure < 50; failure++) {
    await tried(bench, failure);
    bench.socket.drop();
    expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: failure, refused: true });
  }
  await tried(bench, 50);
  bench.socket.accept();
  expect(bench.client.state.status).toBe("open");
  bench.socket.drop();
  expect(bench.client.state).toMatchObject({ refused: false });
});

test("a gateway that does not acknowledge in time is left", async () => {
  const bench = new Bench();
  bench.client.connect();
  await settled();
  bench.socket.onopen!({});
  await pass(9_999);
  expect(bench.client.state.status).toBe("connecting");
  await pass(1);
  expect(bench.client.state).toMatchObject({ status: "reconnecting", reason: "no acknowledgement", refused: false });
  expect(bench.sockets[0]!.closed).toBe(1000);
});

test("a silent gateway is asked, and left when it does not answer", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  await pass(25_000);
  expect(socket.sent).toEqual([{ type: "ping" }]);
  socket.say({ type: "connection.ack", payload: { message: "pong" } });
  await pass(25_000);
  expect(socket.sent.length).toBe(2);
  await pass(4_999);
  expect(bench.client.state.status).toBe("open");
  await pass(1);
  expect(bench.client.state).toMatchObject({ status: "reconnecting", reason: "no answer" });
  expect(socket.closed).toBe(1000);
});

test("a gateway that speaks is not asked", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  for (let turn = 0; turn < 20; turn++) {
    await pass(20_000);
    socket.event("issue.updated", {});
  }
  expect(socket.sent).toEqual([]);
});

test("after a sleep the connection is asked at once, and a dead one left soon", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  await pass(1_000);
  // The machine sleeps: the clock goes on, timers do not.
  vi.setSystemTime(Date.now() + 15_000);
  await pass(5_000);
  expect(socket.sent).toEqual([{ type: "ping" }]);
  await pass(5_000);
  expect(bench.client.state.status).toBe("reconnecting");
});

test("waking asks an open connection, but not one that has just spoken", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  bench.wake!();
  expect(socket.sent).toEqual([]);
  await pass(2_000);
  bench.wake!();
  expect(socket.sent).toEqual([{ type: "ping" }]);
  await pass(5_000);
  expect(bench.client.state.status).toBe("reconnecting");
});

test("whoever is put away leaves the gateway at once, and comes back when it is looked at", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  bench.leave!();
  expect([socket.closed, socket.onclose]).toEqual([1000, null]);
  expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: 1, refused: false, reason: "put away" });
  // Nothing runs meanwhile, so the timer is late when somebody looks.
  vi.setSystemTime(Date.now() + 600_000);
  bench.wake!();
  await pass(0);
  expect(bench.sockets.length).toBe(2);
  bench.socket.accept();
  expect(bench.client.state.status).toBe("open");
});

test("whoever is put away without a connection has none to leave", async () => {
  const bench = new Bench();
  bench.client.connect();
  bench.leave!();
  await settled();
  bench.socket.drop();
  bench.leave!();
  expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: 1, reason: "connection lost" });
  expect(bench.sockets.length).toBe(1);
});

test("without a network the state says so, tries all the same, and the way back is short", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  bench.isOnline = false;
  socket.drop();
  expect(bench.client.state).toMatchObject({ status: "offline", attempt: 1 });
  for (let failure = 2; failure < 8; failure++) {
    await tried(bench, failure);
    bench.socket.drop();
    expect(bench.client.state).toMatchObject({ status: "offline", attempt: failure });
  }
  await pass(1_000);
  const { length } = bench.sockets;
  bench.wake!();
  await pass(0);
  expect(bench.sockets.length).toBe(length);
  bench.isOnline = true;
  bench.wake!();
  expect(bench.client.state.status).toBe("reconnecting");
  await pass(0);
  expect(bench.sockets.length).toBe(length + 1);
});

test("close codes are obeyed by their range", async () => {
  for (const code of [1000, 1001, 1006, 1011, 1012, 4000, 4001, 4002, 4003, 4004, 4499, 5000]) {
    const bench = new Bench();
    (await bench.open()).drop(code);
    expect(bench.client.state.status, String(code)).toBe("reconnecting");
    bench.client.close();
  }
  for (const code of [4500, 4501, 4502, 4999]) {
    const bench = new Bench();
    (await bench.open()).drop(code, "why");
    expect(bench.client.state).toEqual({ status: "closed", code, reason: "why" });
    await pass(3_600_000);
    expect([bench.sockets.length, vi.getTimerCount(), bench.wake]).toEqual([1, 0, undefined]);
  }
});

test("a refused token is worth one more question, for a fresh one; then it ends, and says why", async () => {
  const bench = new Bench();
  bench.client.connect();
  await settled();
  const refuse = () => {
    bench.socket.onopen!({});
    bench.socket.say({ type: "error", payload: { code: "UNAUTHORIZED", message: "the token has expired" } });
    bench.socket.drop(4500, "unauthorized");
  };
  refuse();
  await settled();
  expect(bench.tokenRequests).toEqual([{ fresh: false }, { fresh: true }]);
  expect(bench.sockets.length).toBe(2);
  refuse();
  await settled();
  expect(bench.client.state).toEqual({ status: "closed", code: 4500, reason: "the token has expired" });
  expect(bench.tokenRequests.length).toBe(2);
  // Something has changed: somebody has signed in.
  bench.client.connect();
  await settled();
  bench.socket.accept();
  expect(bench.client.state.status).toBe("open");
});

test("the provider is asked before each connect, and for a fresh token when the last has run out", async () => {
  const bench = new Bench();
  (await bench.open()).drop(1006);
  await pass(500);
  bench.socket.accept();
  bench.socket.drop(4002, "token expired");
  await pass(2_000);
  bench.socket.accept();
  expect(bench.tokenRequests).toEqual([{ fresh: false }, { fresh: false }, { fresh: true }]);
  expect(bench.sockets.map(({ token }) => token)).toEqual(["token-1", "token-2", "token-3"]);
});

test("a provider that fails or gives nothing that is a token is asked again at the next attempt, and shows nothing", async () => {
  const bench = new Bench();
  const provided = ["reject", "throw", "good"];
  bench.token = () => {
    const now = provided.shift();
    if (now === "throw") throw new Error("secret");
    return now === "reject" ? Promise.reject(new Error("secret")) : "good";
  };
  bench.client.connect();
  for (let turn = 1; turn <= 2; turn++) {
    await settled();
    expect(bench.client.state).toMatchObject({ status: "reconnecting", attempt: turn });
    expect(JSON.stringify(bench.client.state)).not.toContain("secret");
    await pass(2_000);
  }
  bench.socket.accept();
  expect([bench.client.state.status, bench.socket.token]).toEqual(["open", "good"]);
});

test("a socket that cannot be made is an attempt that failed, and does not show the token", async () => {
  const made = { count: 0 };
  const bench = new Bench({
    WebSocket: class {
      constructor(_: unknown, protocols: string[] = []) {
        made.count++;
        throw new SyntaxError(`The subprotocol '${protocols[1]}' is invalid`);
      }
    } as never,
  });
  expect(() => bench.client.connect()).not.toThrow();
  await settled();
  expect(bench.client.state.status).toBe("reconnecting");
  expect(JSON.stringify(bench.client.state)).not.toContain("token-1");
  await pass(60_000);
  expect(made.count).toBeGreaterThan(2);
});

test("a provider that never answers fails the attempt, and the next one asks anew", async () => {
  const bench = new Bench();
  bench.token = () => (bench.tokenRequests.length === 1 ? new Promise(() => {}) : "late");
  bench.client.connect();
  await pass(30_000);
  expect(bench.client.state.status).toBe("reconnecting");
  await pass(1_000);
  expect(bench.socket.token).toBe("late");
});

test("closed and connected again, the provider is asked anew: what it was asked for before may be somebody else's", async () => {
  const bench = new Bench();
  const given: ((token: string) => void)[] = [];
  bench.token = () => new Promise((resolve) => given.push(resolve));
  bench.client.connect();
  await settled();
  bench.client.close();
  bench.client.connect();
  await settled();
  expect(given.length).toBe(2);
  given[0]!("of-ann");
  await settled();
  expect(bench.sockets).toEqual([]);
  given[1]!("of-ben");
  await settled();
  expect(bench.sockets.map(({ token }) => token)).toEqual(["of-ben"]);
});

test("a token about to run out is renewed over the connection, by one flight", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  const expiring = { type: "auth.expiring", payload: { expiresAt: "2026-01-01T00:01:00.000Z" } };
  socket.say(expiring);
  socket.say(expiring);
  await pass(1);
  expect(bench.tokenRequests).toEqual([{ fresh: false }, { fresh: true }]);
  expect(socket.asked("authenticate")).toEqual([{ id: "1", action: "authenticate", token: "token-2" }]);
  socket.say({ type: "auth.ack", replyTo: "1", payload: { userId: "ann", expiresAt: "2026-01-01T00:01:00.000Z", lostRooms: [] } });
  // A provider that gives the same token again is not asked without end.
  socket.say(expiring);
  await pass(9_000);
  expect(bench.tokenRequests.length).toBe(2);
  await pass(1_000);
  expect(bench.tokenRequests.length).toBe(3);
  expect(bench.sockets.length).toBe(1);
});

test("a renewal that is refused or fails is tried again while the connection lasts", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  socket.say({ type: "auth.expiring", payload: { expiresAt: "" } });
  await pass(1);
  socket.say({ type: "error", replyTo: "1", payload: { code: "UNAUTHORIZED", message: "no" } });
  bench.token = () => Promise.reject(new Error("away"));
  await pass(10_000);
  bench.token = () => "third";
  await pass(10_000);
  expect(socket.asked("authenticate").map(({ token }) => token)).toEqual(["token-2", "third"]);
  socket.drop(4002);
  await pass(500);
  bench.socket.accept();
  await pass(60_000);
  expect(bench.sockets[1]!.asked("authenticate")).toEqual([]);
});

test("close ends it for good at any stage, and leaves nothing behind", async () => {
  for (const stage of ["token", "socket", "open", "waiting"]) {
    const bench = new Bench();
    bench.token = stage === "token" ? () => new Promise((resolve) => setTimeout(resolve, 100, "late")) : () => "token";
    bench.client.connect();
    await settled();
    if (stage === "open" || stage === "waiting") bench.socket.accept();
    if (stage === "waiting") bench.socket.drop();
    bench.client.close();
    bench.client.close();
    expect(bench.client.state, stage).toEqual({ status: "closed", code: 1000, reason: "closed by the application" });
    await pass(60_000);
    expect([vi.getTimerCount(), bench.wake, bench.states.at(-1)], stage).toEqual([0, undefined, "closed"]);
    expect(bench.sockets.every(({ onmessage, onclose }) => onmessage === null && onclose === null), stage).toBe(true);
    // In Node an error that nobody listens to ends the program, also one of a socket that was left.
    expect(bench.sockets.every(({ onerror }) => onerror !== null), stage).toBe(true);
    expect(bench.sockets.length, stage).toBe(stage === "token" ? 0 : 1);
  }
});

test("a hundred reconnections leave no more timers and listeners than one", async () => {
  const bench = new Bench();
  bench.client.room("team:t").on("issue.updated", () => {});
  const counts = new Set<number>();
  await bench.open();
  for (let turn = 0; turn < 100; turn++) {
    bench.socket.answer("subscribe", { "team:t": turn ? { status: "recovered", position: "e:1", recovered: 0 } : { status: "subscribed", position: "e:1" } });
    await pass(11_000);
    counts.add(vi.getTimerCount());
    bench.socket.drop();
    counts.add(vi.getTimerCount());
    await pass(500);
    bench.socket.accept();
  }
  expect([...counts]).toEqual([1]);
  const idle = bench.sockets.slice(0, -1);
  expect(idle.length).toBe(100);
  expect(idle.every(({ onopen, onmessage, onclose, closed }) => !onopen && !onmessage && !onclose && closed === 1000)).toBe(true);
});

test("a listener that throws keeps nobody from hearing, and its error is reported", async () => {
  const reported: unknown[] = [];
  const report = (error: unknown) => void reported.push(error);
  process.prependListener("uncaughtException", report);
  const others = process.listeners("uncaughtException").filter((listener) => listener !== report);
  others.forEach((listener) => process.removeListener("uncaughtException", listener));
  try {
    const bench = new Bench();
    const heard: string[] = [];
    bench.client.onState(() => {
      throw new Error("of the application");
    });
    bench.client.onState(({ status }) => heard.push(status));
    await bench.open();
    vi.useRealTimers();
    await vi.waitFor(() => expect(reported.length).toBe(2));
    expect(heard).toEqual(["connecting", "open"]);
  } finally {
    process.removeListener("uncaughtException", report);
    others.forEach((listener) => process.on("uncaughtException", listener));
  }
});

test("what is no JSON, or nothing that the protocol has, is passed over", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  for (const data of ["not json", new ArrayBuffer(3), "null", "7", '"x"', "{}", '{"type":7}']) socket.onmessage!({ data });
  for (const type of ["connection.moved", "auth.other", "error"]) socket.say({ type, payload: {} });
  expect(bench.client.state.status).toBe("open");
});

test("once let in, the next token need not be fresh, and another refusal is worth another question", async () => {
  const bench = new Bench();
  const refuse = async () => {
    bench.socket.onopen!({});
    bench.socket.drop(4500, "unauthorized");
    await settled();
  };
  bench.client.connect();
  await settled();
  await refuse();
  bench.socket.accept();
  bench.socket.drop();
  await pass(500);
  await refuse();
  bench.socket.accept();
  expect(bench.tokenRequests.map(({ fresh }) => fresh)).toEqual([false, true, false, true]);
  expect(bench.client.state.status).toBe("open");
});

test("what ends behind an open socket is no refusal", async () => {
  const bench = new Bench();
  bench.client.connect();
  for (let failure = 1; failure < 5; failure++) {
    await tried(bench, failure);
    bench.socket.onopen!({});
    bench.socket.drop(1011);
    expect(bench.client.state).toMatchObject({ attempt: failure, refused: false });
  }
});

test("a connection that is lost wants no renewal any more", async () => {
  const bench = new Bench();
  const socket = await bench.open();
  socket.say({ type: "auth.expiring", payload: { expiresAt: "" } });
  bench.client.close();
  await pass(60_000);
  expect([bench.tokenRequests.length, vi.getTimerCount()]).toEqual([1, 0]);
});
