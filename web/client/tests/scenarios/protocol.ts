// Scenarios of the protocol: frames in, frames out.

import { HISTORY_SIZE, MAX_ROOMS, MAX_ROOMS_PER_MESSAGE, MESSAGES_PER_MINUTE, type Stage } from "./stage.js";
import { Raw, until } from "./raw.js";

/** What is played, and how it must come out on both. */
export interface Scenario {
  readonly name: string;
  /** Stops its gateway, and so needs one of its own. */
  readonly isOwn?: boolean;
  play(stage: Stage): Promise<unknown>;
  readonly outcome: unknown;
}

const ALL = { grants: { "*": ["*"] } };
const deleted = (id: string, rooms: string[], more: object = {}) => ({ type: "issue.deleted", payload: { id, teamId: "t" }, rooms, ...more });
const subscribe = (rooms: string[], more: object = {}) => ({ action: "subscribe", rooms, ...more });
const publish = (event: object, rooms?: string[]) => ({ action: "publish", event, ...(rooms && { rooms }) });
const event = (id: string, positions: object) => ({ type: "issue.deleted", payload: { id, teamId: "t" }, eventId: "made", positions });
const ack = (rooms: object, more: object = {}) => ({ type: "subscription.ack", ...more, payload: { rooms } });
const error = (code: string, more: object = {}, replyTo?: string) => ({ type: "error", ...(replyTo && { replyTo }), payload: { code, ...more } });
const subscribed = (position = "e:0") => ({ status: "subscribed", position });
const PONG = { type: "connection.ack", payload: {} };
const LIMITS = { messagesPerMinute: MESSAGES_PER_MINUTE, maxMessageBytes: 65_536, maxRooms: MAX_ROOMS, maxRoomsPerMessage: MAX_ROOMS_PER_MESSAGE };
const welcome = (userId: string, rooms: object = {}) => ({
  type: "connection.ack",
  payload: { userId, protocol: "roomcast.v1", rooms, heartbeat: { pingIntervalMs: 30_000, timeoutMs: 60_000 }, limits: LIMITS },
});

export const PROTOCOL: Scenario[] = [
  {
    name: "whoever brings a token as a subprotocol is let in, and is in no room",
    async play(stage) {
      const raw = await Raw.open(stage, ["roomcast.v1", `roomcast.bearer.${stage.token("p1")}`]);
      return raw.take(1);
    },
    outcome: [welcome("p1")],
  },
  {
    name: "a client of the original brings its token in the query, and is in its user room",
    async play(stage) {
      const raw = await Raw.open(stage, [], `?token=${stage.token("p2")}`);
      const told = await raw.take(1);
      await stage.publish({ type: "notification.new", payload: { text: "hello" }, rooms: ["user:p2"] });
      return [...told, ...(await raw.take(1))];
    },
    outcome: [welcome("p2", { "user:p2": subscribed() }), { type: "notification.new", payload: { text: "hello" }, eventId: "made", positions: { "user:p2": "e:1" } }],
  },
  {
    name: "a token may come by the first frame, and what is sent behind it is answered in order",
    async play(stage) {
      const raw = await Raw.open(stage, ["roomcast.v1"]);
      raw.send({ action: "authenticate", token: stage.token("p3"), id: "a" }, { type: "ping", id: "b" });
      return raw.take(2);
    },
    outcome: [{ ...welcome("p3"), replyTo: "a" }, { ...PONG, replyTo: "b" }],
  },
  {
    name: "a bad token is refused with its reason, at connect and in the first frame",
    async play(stage) {
      const bad = await Raw.open(stage, ["roomcast.v1", "roomcast.bearer.nonsense"]);
      const expired = await Raw.open(stage, ["roomcast.v1", `roomcast.bearer.${stage.token("p4", { expiresInMs: -60_000 })}`]);
      const late = await Raw.open(stage, ["roomcast.v1"]);
      late.send({ action: "authenticate", token: "nonsense", id: "a" });
      const silent = await Raw.open(stage, ["roomcast.v1"]);
      silent.send({ type: "ping" });
      return Promise.all([bad, expired, late, silent].map((raw) => raw.end()));
    },
    outcome: [
      [error("UNAUTHORIZED"), { code: 4500, reason: "unauthorized" }],
      [error("UNAUTHORIZED"), { code: 4500, reason: "unauthorized" }],
      [error("UNAUTHORIZED", {}, "a"), { code: 4500, reason: "unauthorized" }],
      [error("UNAUTHORIZED"), { code: 4500, reason: "unauthorized" }],
    ],
  },
  {
    name: "a frame that is none is refused, under its id where that could be read",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p5"));
      raw.send("not json", "[]", "7", {}, { type: "ping", action: "subscribe" }, { type: "pong", id: "a" }, { action: "leave", id: "b" });
      raw.send({ type: "ping", id: "" }, { type: "ping", id: 7 }, { type: "ping", id: "x".repeat(65) });
      raw.send({ action: "subscribe", id: "c" }, subscribe([], { id: "d" }), { action: "subscribe", rooms: "team:a", id: "e" });
      raw.send(subscribe(["team:a"], { id: "f", since: { "team:a": "nonsense" } }), subscribe(["team:a"], { id: "g", presence: "yes" }));
      raw.send({ action: "publish", id: "h" }, { action: "publish", event: { type: "issue.deleted" }, id: "i" });
      raw.send(subscribe(["team:a"], { id: "j", presence: { data: "x".repeat(1_100) } }), { action: "authenticate", id: "k" });
      return raw.flushed();
    },
    outcome: [
      ...Array.from({ length: 5 }, () => error("INVALID_MESSAGE")),
      error("INVALID_MESSAGE", {}, "a"),
      error("INVALID_MESSAGE", {}, "b"),
      ...Array.from({ length: 3 }, () => error("INVALID_MESSAGE")),
      ...[..."cdefghijk"].map((id) => error("INVALID_MESSAGE", {}, id)),
    ],
  },
  {
    name: "an acknowledgement names what became of each room",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p6", { grants: { "team:p6": ["subscribe"], "issue:*": ["*"] } }));
      raw.send(subscribe(["team:p6", "team:p6", "team:other", "issue:p6", "user:p6", "user:bob", "no such room!", "board:p6", "team:"], { id: "a" }));
      return raw.take(1);
    },
    outcome: [
      ack(
        {
          "team:p6": subscribed(),
          "team:other": { status: "denied", code: "FORBIDDEN" },
          "issue:p6": subscribed(),
          "user:p6": subscribed(),
          "user:bob": { status: "denied", code: "FORBIDDEN" },
          "no such room!": { status: "denied", code: "INVALID_ROOM" },
          "board:p6": { status: "denied", code: "INVALID_ROOM" },
          "team:": { status: "denied", code: "INVALID_ROOM" },
        },
        { replyTo: "a" },
      ),
    ],
  },
  {
    name: "more rooms than a message or a connection may have are refused",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p7"));
      raw.send(subscribe(Array.from({ length: MAX_ROOMS_PER_MESSAGE + 1 }, (_, index) => `team:p7_${index}`), { id: "a" }));
      raw.send(subscribe(Array.from({ length: MAX_ROOMS - 1 }, (_, index) => `team:p7_${index}`), { id: "b" }));
      const [refused] = await raw.take(2);
      raw.send(subscribe(["team:p7_0", "team:p7_x", "team:p7_y"], { id: "c" }));
      return [refused, ...(await raw.take(1))];
    },
    outcome: [
      error("LIMIT_EXCEEDED", {}, "a"),
      ack({ "team:p7_0": subscribed(), "team:p7_x": subscribed(), "team:p7_y": { status: "denied", code: "LIMIT_EXCEEDED" } }, { replyTo: "c" }),
    ],
  },
  {
    name: "an event of several rooms comes once, with its place in those that the client is in",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p8"));
      raw.send(subscribe(["team:p8", "issue:p8"]));
      await raw.take(1);
      await stage.publish(deleted("1", ["team:p8"], { userId: "bob" }));
      await stage.publish(deleted("2", ["team:p8", "issue:p8", "project:p8"]));
      await stage.publish(deleted("3", ["project:p8"]));
      await stage.publish(deleted("4", ["team:p8"]));
      return raw.take(3);
    },
    outcome: [{ ...event("1", { "team:p8": "e:1" }), userId: "bob" }, event("2", { "team:p8": "e:2", "issue:p8": "e:1" }), event("4", { "team:p8": "e:3" })],
  },
  {
    name: "an event goes to the rooms of its type when its publisher names none",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p9"));
      raw.send(subscribe(["team:p9", "issue:p9", "workspace:p9", "project:p9", "cycle:p9"]));
      await raw.take(1);
      const [id, teamId, workspaceId] = ["p9", "p9", "p9"];
      const places = [];
      for (const [type, payload] of [
        ["issue.created", { id, teamId, workspaceId, identifier: "P-9", title: "", status: "", priority: "" }],
        ["issue.updated", { id, teamId, changes: {} }],
        ["issue.archived", { id, teamId }],
        ["comment.created", { id: "c", issueId: id, teamId, userId: "ann", body: "" }],
        ["project.updated", { id, teamId, changes: {} }],
        ["cycle.updated", { id, teamId, changes: {} }],
      ] as const) {
        places.push(Object.keys((await stage.publish({ type, payload })).positions).sort());
      }
      return [places, (await raw.take(6)).map((frame: any) => Object.keys(frame.positions).length)];
    },
    outcome: [
      [
        ["team:p9", "workspace:p9"],
        ["issue:p9", "team:p9"],
        ["issue:p9", "team:p9"],
        ["issue:p9", "team:p9"],
        ["project:p9", "team:p9"],
        ["cycle:p9", "team:p9"],
      ],
      [2, 2, 2, 2, 2, 2],
    ],
  },
  {
    name: "whoever comes back gets all that was missed, in order, an event of several rooms once",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p10"));
      raw.send(subscribe(["team:p10", "issue:p10"]));
      const [before] = await raw.next(1);
      raw.close();
      await stage.publish(deleted("1", ["team:p10"]));
      await stage.publish(deleted("2", ["issue:p10"]));
      await stage.publish(deleted("3", ["team:p10", "issue:p10"]));
      await stage.publish(deleted("4", ["issue:p10"]));
      const again = await Raw.enter(stage, stage.token("p10"));
      const since = Object.fromEntries(Object.entries(before.payload.rooms).map(([room, { position }]: any) => [room, position]));
      again.send(subscribe(["team:p10", "issue:p10"], { since: { ...since, "team:unasked": "nonsense" } }));
      const replay = await again.flushed();
      again.send(subscribe(["team:p10"], { since }));
      const more = await again.take(3);
      await stage.publish(deleted("5", ["team:p10"]));
      more.push(...(await again.take(1)));
      return [replay[0], (replay.slice(1) as any[]).map(({ payload, positions }) => [payload.id, positions]).sort(), more[0], (more.slice(1) as any[]).map(({ payload }) => payload.id)];
    },
    outcome: [
      ack({ "team:p10": { status: "recovered", position: "e:0", recovered: 2 }, "issue:p10": { status: "recovered", position: "e:0", recovered: 3 } }),
      [
        ["1", { "team:p10": "e:1" }],
        ["2", { "issue:p10": "e:1" }],
        ["3", { "team:p10": "e:2", "issue:p10": "e:2" }],
        ["4", { "issue:p10": "e:3" }],
      ],
      ack({ "team:p10": { status: "recovered", position: "e:0", recovered: 2 } }),
      ["1", "3", "5"],
    ],
  },
  {
    name: "what cannot be replayed is a gap with its reason, and the room goes on behind it",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p11"));
      raw.send(subscribe(["team:p11", "issue:p11"]));
      const [{ payload }] = await raw.next(1);
      const start: string = payload.rooms["team:p11"].position;
      raw.send({ action: "unsubscribe", rooms: ["team:p11", "issue:p11"] });
      await raw.next(1);
      for (let id = 0; id <= HISTORY_SIZE; id++) await stage.publish(deleted(String(id), ["team:p11"]));
      const told = [];
      for (const since of [{ "team:p11": start }, { "team:p11": "zzz:0" }, { "team:p11": start.replace(/\d+$/, "99") }, { "issue:p11": "zzz:5" }]) {
        raw.send(subscribe(Object.keys(since), { since }));
        told.push(...(await raw.flushed()));
      }
      await stage.publish(deleted("last", ["team:p11"]));
      return [...told, ...(await raw.take(1))];
    },
    outcome: [
      ack({ "team:p11": { status: "gap", position: "e:6", reason: "history_truncated" } }),
      ack({ "team:p11": { status: "gap", position: "e:6", reason: "epoch_changed" } }),
      ack({ "team:p11": { status: "gap", position: "e:6", reason: "epoch_changed" } }),
      ack({ "issue:p11": { status: "gap", position: "e:0", reason: "epoch_changed" } }),
      event("last", { "team:p11": "e:7" }),
    ],
  },
  {
    name: "behind its unsubscribed a room says nothing, and joined again it is where it is",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p12"));
      raw.send(subscribe(["team:p12"]), { action: "unsubscribe", rooms: ["team:p12", "team:never", "no room"], id: "a" });
      const told = await raw.take(2);
      await stage.publish(deleted("1", ["team:p12"]));
      raw.send(subscribe(["team:p12"]));
      return [...told, ...(await raw.flushed())];
    },
    outcome: [
      ack({ "team:p12": subscribed() }),
      ack({ "team:p12": { status: "unsubscribed" }, "team:never": { status: "unsubscribed" }, "no room": { status: "denied", code: "INVALID_ROOM" } }, { replyTo: "a" }),
      ack({ "team:p12": subscribed("e:1") }),
    ],
  },
  {
    name: "a granted publish is acknowledged before its own copy, and the same id again publishes nothing",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p13", ALL));
      raw.send(subscribe(["team:p13"]));
      await raw.take(1);
      const own = { type: "issue.deleted", payload: { id: "1", teamId: "t" }, eventId: "given-p13" };
      raw.send({ ...publish(own, ["team:p13"]), id: "a" });
      const first = await raw.take(2);
      raw.send({ ...publish({ ...own, payload: { id: "2", teamId: "t" } }, ["team:p13"]), id: "b" });
      await raw.take(1).then((again) => first.push(...again));
      await stage.publish(deleted("3", ["team:p13"]));
      return [...first, ...(await raw.take(1))];
    },
    outcome: [
      { type: "publish.ack", replyTo: "a", payload: { eventId: "given-p13", positions: { "team:p13": "e:1" } } },
      { ...event("1", { "team:p13": "e:1" }), eventId: "given-p13", userId: "p13" },
      { type: "publish.ack", replyTo: "b", payload: { eventId: "given-p13", positions: { "team:p13": "e:1" }, duplicate: true } },
      event("3", { "team:p13": "e:2" }),
    ],
  },
  {
    name: "an event that is not as its type wants it is refused with the place",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p14", ALL));
      const good = { type: "issue.deleted", payload: { id: "1", teamId: "t" } };
      for (const [event, rooms] of [
        [{ ...good, payload: { id: "1" } }, ["team:p14"]],
        [{ ...good, payload: { id: 7, teamId: "t" } }, ["team:p14"]],
        [{ ...good, payload: "text" }, ["team:p14"]],
        [{ ...good, type: "connection.moved" }, ["team:p14"]],
        [{ ...good, type: "Issue" }, ["team:p14"]],
        [{ ...good, eventId: "no id!" }, ["team:p14"]],
        [{ type: "build.finished", payload: 7 }],
        [good, []],
        [good, ["team:p14", "no room"]],
        [{ type: "user.typing", payload: { issueId: "p14", isTyping: true } }, ["issue:other"]],
      ] as [object, string[]?][]) {
        raw.send(publish(event, rooms));
      }
      return (await raw.flushed()).map(({ payload }: any) => [payload.code, payload.pointer]);
    },
    outcome: [
      ["INVALID_PAYLOAD", "/payload/teamId"],
      ["INVALID_PAYLOAD", "/payload/id"],
      ["INVALID_PAYLOAD", "/payload"],
      ["INVALID_PAYLOAD", "/type"],
      ["INVALID_PAYLOAD", "/type"],
      ["INVALID_PAYLOAD", "/eventId"],
      ["INVALID_PAYLOAD", "/rooms"],
      ["INVALID_PAYLOAD", "/rooms"],
      ["INVALID_ROOM", "/rooms/1"],
      ["INVALID_PAYLOAD", "/rooms"],
    ],
  },
  {
    name: "a publish needs its grant, for the type or for all",
    async play(stage) {
      const none = await Raw.enter(stage, stage.token("p15"));
      const some = await Raw.enter(stage, stage.token("p15", { grants: { "team:p15": ["publish:issue.deleted"] } }));
      const all = await Raw.enter(stage, stage.token("p15", { grants: { "team:*": ["publish"] } }));
      const told = [];
      for (const raw of [none, some, all]) {
        raw.send(publish({ type: "issue.deleted", payload: { id: "1", teamId: "t" } }, ["team:p15"]));
        raw.send(publish({ type: "build.finished", payload: null }, ["team:p15"]));
        raw.send(publish({ type: "build.finished", payload: null }, ["issue:p15"]));
        told.push((await raw.flushed()).map(({ type, payload }: any) => payload.code ?? type));
      }
      return told;
    },
    outcome: [
      ["FORBIDDEN", "FORBIDDEN", "FORBIDDEN"],
      ["publish.ack", "FORBIDDEN", "FORBIDDEN"],
      ["publish.ack", "publish.ack", "FORBIDDEN"],
    ],
  },
  {
    name: "typing is stamped, reaches the others and the user's other connections, and needs to be in the issue",
    async play(stage) {
      const [ann, tab, bob] = [
        await Raw.enter(stage, stage.token("p16", { email: "ann@example.com" })),
        await Raw.enter(stage, stage.token("p16")),
        await Raw.enter(stage, stage.token("p16_bob")),
      ];
      const typing = publish({ type: "user.typing", payload: { issueId: "p16", isTyping: true, userId: "mallory" } });
      ann.send({ ...typing, id: "early" });
      for (const raw of [ann, tab, bob]) raw.send(subscribe(["issue:p16"]));
      await Promise.all([ann.next(2), tab.next(1), bob.next(1)]);
      ann.send({ ...typing, id: "a" });
      const acked = await ann.flushed();
      return [ann.frames[1].payload.code, acked, await tab.take(1), await bob.take(1)];
    },
    outcome: (() => {
      const typing = { type: "user.typing", payload: { issueId: "p16", isTyping: true, userId: "p16", userEmail: "ann@example.com" }, eventId: "made", userId: "p16" };
      return ["FORBIDDEN", [{ type: "publish.ack", replyTo: "a", payload: { eventId: "made", positions: {} } }], [typing], [typing]];
    })(),
  },
  {
    name: "typing ends when its connection leaves the issue, or is gone",
    async play(stage) {
      const bob = await Raw.enter(stage, stage.token("p17_bob"));
      bob.send(subscribe(["issue:p17"]));
      await bob.next(1);
      const typing = publish({ type: "user.typing", payload: { issueId: "p17", isTyping: true } });
      const ann = await Raw.enter(stage, stage.token("p17"));
      ann.send(subscribe(["issue:p17"]), typing, { action: "unsubscribe", rooms: ["issue:p17"] }, subscribe(["issue:p17"]), typing);
      await ann.next(5);
      ann.close();
      return (await bob.take(4)).map(({ payload }: any) => [payload.userId, payload.isTyping]);
    },
    outcome: [["p17", true], ["p17", false], ["p17", true], ["p17", false]],
  },
  {
    name: "presence: the list first, then who comes, says something else, and leaves",
    async play(stage) {
      const ann = await Raw.enter(stage, stage.token("p18_ann"));
      ann.send(subscribe(["issue:p18"], { presence: { data: { cursor: 1 } } }));
      const first = await ann.take(2);
      const bob = await Raw.enter(stage, stage.token("p18_bob"));
      bob.send(subscribe(["issue:p18"], { presence: true }));
      const second = await bob.take(2);
      const came = await ann.take(1);
      bob.send(subscribe(["issue:p18"], { presence: { data: 7 } }));
      const changed = await ann.take(1);
      await bob.take(2);
      bob.send({ action: "unsubscribe", rooms: ["issue:p18"] });
      return [first, second, came, changed, await ann.take(1), await bob.flushed()];
    },
    outcome: (() => {
      const room = "issue:p18";
      const ann = { userId: "p18_ann", data: { cursor: 1 }, connections: 1 };
      const bob = { userId: "p18_bob", connections: 1 };
      return [
        [ack({ [room]: subscribed() }), { type: "presence.state", payload: { room, members: [ann] } }],
        [ack({ [room]: subscribed() }), { type: "presence.state", payload: { room, members: [ann, bob] } }],
        [{ type: "presence.joined", payload: { room, member: bob } }],
        [{ type: "presence.joined", payload: { room, member: { ...bob, data: 7 } } }],
        [{ type: "presence.left", payload: { room, member: { ...bob, data: 7, connections: 0 } } }],
        [ack({ [room]: { status: "unsubscribed" } })],
      ];
    })(),
  },
  {
    name: "presence is per user: a second connection is not told, and only the last one's end is",
    async play(stage) {
      const ann = await Raw.enter(stage, stage.token("p19_ann"));
      ann.send(subscribe(["issue:p19"], { presence: true }));
      await ann.next(2);
      const tabs = [await Raw.enter(stage, stage.token("p19_bob")), await Raw.enter(stage, stage.token("p19_bob"))];
      const lists = [];
      const told: any[] = [];
      for (const tab of tabs) {
        tab.send(subscribe(["issue:p19"], { presence: true }));
        if (!told.length) told.push(...(await ann.next(1)));
        lists.push(((await tab.next(2))[1].payload.members as any[]).map(({ userId, connections }) => [userId, connections]));
      }
      tabs[0]!.send({ action: "unsubscribe", rooms: ["issue:p19"] });
      await tabs[0]!.next(1);
      tabs[1]!.send({ action: "unsubscribe", rooms: ["issue:p19"] });
      told.push(...(await ann.next(1)));
      return [lists, told.map(({ type }) => type)];
    },
    outcome: [
      [
        [["p19_ann", 1], ["p19_bob", 1]],
        [["p19_ann", 1], ["p19_bob", 2]],
      ],
      ["presence.joined", "presence.left"],
    ],
  },
  {
    name: "whoever is lost may come back unnoticed, and is gone after a while",
    async play(stage) {
      const ann = await Raw.enter(stage, stage.token("p20_ann"));
      ann.send(subscribe(["issue:p20"], { presence: true }));
      await ann.next(2);
      for (let turn = 0; turn < 2; turn++) {
        const bob = await Raw.enter(stage, stage.token("p20_bob"));
        bob.send(subscribe(["issue:p20"], { presence: { data: 1 } }));
        await bob.next(2);
        bob.close();
        await until("it is gone", async () => (await stage.count("issue:p20")) === 1);
      }
      return (await ann.take(2)).map(({ type, payload }: any) => [type, payload.member.userId]);
    },
    outcome: [["presence.joined", "p20_bob"], ["presence.left", "p20_bob"]],
  },
  {
    name: "presence that is not granted is denied, and the room joined all the same",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p21", { grants: { "issue:*": ["subscribe"], "team:*": ["subscribe", "presence"] } }));
      raw.send(subscribe(["issue:p21", "team:p21"], { presence: true }));
      return raw.flushed();
    },
    outcome: [
      ack({ "issue:p21": { ...subscribed(), presence: "denied" }, "team:p21": subscribed() }),
      { type: "presence.state", payload: { room: "team:p21", members: [{ userId: "p21", connections: 1 }] } },
    ],
  },
  {
    name: "the next token is taken over, rooms that it does not grant are left, and another user's is refused",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p22"));
      raw.send(subscribe(["team:p22", "issue:p22"]));
      await raw.next(1);
      raw.send({ action: "authenticate", token: stage.token("somebody"), id: "a" }, { action: "authenticate", token: "nonsense", id: "b" });
      raw.send({ action: "authenticate", token: stage.token("p22", { grants: { "issue:*": ["subscribe"] } }), id: "c" });
      const told = await raw.take(3);
      await stage.publish(deleted("1", ["team:p22"]));
      await stage.publish(deleted("2", ["issue:p22"]));
      return [...told, ...(await raw.take(1))];
    },
    outcome: [
      error("UNAUTHORIZED", {}, "a"),
      error("UNAUTHORIZED", {}, "b"),
      { type: "auth.ack", replyTo: "c", payload: { userId: "p22", lostRooms: ["team:p22"] } },
      event("2", { "issue:p22": "e:1" }),
    ],
  },
  {
    name: "a token with little time left is told of at once, and ends the connection ten seconds after it has run out",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p23", { expiresInMs: 5_000 }));
      return [...(await raw.take(1)), ...(await raw.end())];
    },
    outcome: [
      { type: "auth.expiring", payload: {} },
      { type: "connection.closing", payload: { code: 4002, reason: "token expired", retryAfterMs: "soon", resumable: true } },
      { code: 4002, reason: "token expired" },
    ],
  },
  {
    name: "over the limit of messages each is refused with the time to wait, and a hundred of those end the connection",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p24"));
      for (let id = 0; id < MESSAGES_PER_MINUTE + 100; id++) raw.send({ type: "ping", id: String(id) });
      const told = await raw.end();
      const refused = told.filter((frame: any) => frame.type === "error");
      return [told.length, refused.length, refused[0], told.slice(-2)];
    },
    outcome: [
      MESSAGES_PER_MINUTE + 102,
      100,
      error("RATE_LIMIT_EXCEEDED", { retryAfterMs: "soon" }, String(MESSAGES_PER_MINUTE)),
      [{ type: "connection.closing", payload: { code: 4003, reason: "rate limited", retryAfterMs: "soon", resumable: true } }, { code: 4003, reason: "rate limited" }],
    ],
  },
  {
    name: "fifty invalid messages end the connection for good",
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p25"));
      for (let count = 0; count < 50; count++) raw.send("nonsense");
      const told = await raw.end();
      return [told.length, told.slice(-2)];
    },
    outcome: [52, [{ type: "connection.closing", payload: { code: 4502, reason: "too many invalid messages", resumable: false } }, { code: 4502, reason: "too many invalid messages" }]],
  },
  {
    name: "a user who is sent away is told so, and the same token is refused from then on",
    async play(stage) {
      const token = stage.token("p26");
      const raw = await Raw.enter(stage, token);
      await stage.disconnect("p26");
      const again = await Raw.open(stage, ["roomcast.v1", `roomcast.bearer.${token}`]);
      return [await raw.end(), await again.end()];
    },
    outcome: [
      [{ type: "connection.closing", payload: { code: 4501, reason: "disconnected by the server", resumable: false } }, { code: 4501, reason: "disconnected by the server" }],
      [error("UNAUTHORIZED"), { code: 4500, reason: "unauthorized" }],
    ],
  },
  {
    name: "a gateway that stops says when to come back",
    isOwn: true,
    async play(stage) {
      const raw = await Raw.enter(stage, stage.token("p27"));
      await stage.drain();
      return raw.end();
    },
    outcome: [
      { type: "connection.closing", payload: { code: 1012, reason: "service restart", retryAfterMs: "soon", resumable: true } },
      { code: 1012, reason: "service restart" },
    ],
  },
];
