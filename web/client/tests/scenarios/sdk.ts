// Scenarios of the SDK: what an application sees of a gateway and of a network that fails.

import { createClient, events, follow, presence, publish, rooms, typing, type Client, type ClientOptions, type RoomcastError } from "../../src/index.js";
import { HISTORY_SIZE, type Stage } from "./stage.js";
import { until } from "./raw.js";
import type { Scenario } from "./protocol.js";

const deleted = (id: string, names: string[]) => ({ type: "issue.deleted", payload: { id, teamId: "t" }, rooms: names });

function clientOf(stage: Stage, user: string, options: Partial<ClientOptions> = {}): Client & { states: string[] } {
  const client = createClient({ url: stage.url, WebSocket: stage.WebSocket, token: () => stage.token(user), longestRetryMs: 100, ...options });
  const states: string[] = [];
  client.onState(({ status }) => states.at(-1) !== status && states.push(status));
  client.connect();
  return Object.assign(client, { states });
}

/** What a room tells, in short. */
function heardOf(client: Client, name: `${string}:${string}`, options = {}) {
  const room = client.room(name, options);
  const heard: string[] = [];
  for (const type of ["subscribed", "recovered", "gap", "denied"] as const) {
    room.on(type, (notice) => heard.push([type, "recovered" in notice ? notice.recovered : "reason" in notice ? notice.reason : "code" in notice ? notice.code : ""].join(" ").trim()));
  }
  room.onAny((event) => heard.push((event.payload as { id: string }).id));
  return heard;
}

const has = (heard: unknown[], count: number) => until(`there are ${count} of ${JSON.stringify(heard)}`, () => heard.length >= count);

export const SDK: Scenario[] = [
  {
    name: "the client is in several rooms over one connection",
    async play(stage) {
      const client = clientOf(stage, "s1");
      const [team, issue] = [heardOf(client, "team:s1"), heardOf(client, "issue:s1")];
      await Promise.all([has(team, 1), has(issue, 1)]);
      await stage.publish(deleted("1", ["team:s1"]));
      await stage.publish(deleted("2", ["team:s1", "issue:s1"]));
      await Promise.all([has(team, 3), has(issue, 2)]);
      client.close();
      return [team, issue, client.states];
    },
    outcome: [["subscribed", "1", "2"], ["subscribed", "2"], ["connecting", "open", "closed"]],
  },
  {
    name: "behind a lost connection everything comes once and in order",
    async play(stage) {
      const client = clientOf(stage, "s2");
      const heard = heardOf(client, "team:s2");
      await has(heard, 1);
      await stage.publish(deleted("1", ["team:s2"]));
      await has(heard, 2);
      stage.cut();
      await until("it is told", () => client.state.status === "reconnecting");
      for (const id of ["2", "3", "4"]) await stage.publish(deleted(id, ["team:s2"]));
      stage.mend();
      await has(heard, 6);
      await stage.publish(deleted("5", ["team:s2"]));
      await has(heard, 7);
      client.close();
      return [heard, client.states];
    },
    outcome: [["subscribed", "1", "recovered 3", "2", "3", "4", "5"], ["connecting", "open", "reconnecting", "open", "closed"]],
  },
  {
    name: "behind a long absence the gap is told, and the room goes on",
    async play(stage) {
      const client = clientOf(stage, "s3");
      const heard = heardOf(client, "team:s3");
      await has(heard, 1);
      stage.cut();
      for (let id = 0; id <= HISTORY_SIZE; id++) await stage.publish(deleted(String(id), ["team:s3"]));
      stage.mend();
      await has(heard, 2);
      await stage.publish(deleted("later", ["team:s3"]));
      await has(heard, 3);
      client.close();
      return heard;
    },
    outcome: ["subscribed", "gap history_truncated", "later"],
  },
  {
    name: "a page that is loaded again goes on from the position that it has kept",
    async play(stage) {
      const first = clientOf(stage, "s4");
      const before = heardOf(first, "user:s4");
      await has(before, 1);
      await stage.publish(deleted("1", ["user:s4"]));
      await has(before, 2);
      const since = first.room("user:s4").position;
      first.close();
      await stage.publish(deleted("2", ["user:s4"]));
      const second = clientOf(stage, "s4");
      const after = heardOf(second, "user:s4", { since });
      await has(after, 2);
      second.close();
      return [before, after];
    },
    outcome: [["subscribed", "1"], ["recovered 1", "2"]],
  },
  {
    name: "whoever is sent away stays away",
    async play(stage) {
      const token = stage.token("s5");
      let asked = 0;
      const client = clientOf(stage, "s5", { token: () => (asked++, token) });
      await until("it is open", () => client.state.status === "open");
      await stage.disconnect("s5");
      await until("it is closed", () => client.state.status === "closed");
      return [client.state, client.states, asked];
    },
    outcome: [{ status: "closed", code: 4501, reason: "disconnected by the server" }, ["connecting", "open", "closed"], 1],
  },
  {
    name: "a refused token is asked for once more, and then it ends",
    async play(stage) {
      const asked: boolean[] = [];
      const client = clientOf(stage, "s6", { token: ({ fresh }) => (asked.push(fresh), "nonsense") });
      await until("it is closed", () => client.state.status === "closed");
      return [asked, client.states, client.state.status === "closed" && client.state.code];
    },
    outcome: [[false, true], ["connecting", "closed"], 4500],
  },
  {
    name: "a fresh token opens what a stale one did not",
    async play(stage) {
      const client = clientOf(stage, "s7", { token: ({ fresh }) => stage.token("s7", { expiresInMs: fresh ? 600_000 : -60_000 }) });
      await until("it is open", () => client.state.status === "open");
      client.close();
      return client.states;
    },
    outcome: ["connecting", "open", "closed"],
  },
  {
    name: "a token is renewed over the connection, and rooms that the next one does not grant are told",
    async play(stage) {
      const tokens = [stage.token("s8", { expiresInMs: 8_000 }), stage.token("s8", { grants: { "team:*": ["subscribe"] } })];
      const client = clientOf(stage, "s8", { token: () => tokens.shift()! });
      const [team, issue] = [heardOf(client, "team:s8"), heardOf(client, "issue:s8")];
      await has(issue, 2);
      await has(team, 1);
      await stage.publish(deleted("1", ["team:s8", "issue:s8"]));
      await has(team, 2);
      client.close();
      return [team, issue.filter((told) => told !== "subscribed"), client.states];
    },
    outcome: [["subscribed", "1"], ["denied FORBIDDEN"], ["connecting", "open", "closed"]],
  },
  {
    name: "a room that is not granted is told as denied, the others are joined",
    async play(stage) {
      const client = clientOf(stage, "s9", { token: () => stage.token("s9", { grants: { "team:*": ["subscribe"] } }) });
      const heard = [heardOf(client, "team:s9"), heardOf(client, "issue:s9"), heardOf(client, "nonsense:s9")];
      await Promise.all(heard.map((told) => has(told, 1)));
      client.close();
      return heard;
    },
    outcome: [["subscribed"], ["denied FORBIDDEN"], ["denied INVALID_ROOM"]],
  },
  {
    name: "a publish is acknowledged, repeated under its id, and refused by an error with its kind",
    async play(stage) {
      const client = clientOf(stage, "s10", { token: () => stage.token("s10", { grants: { "team:s10": ["*"] } }) });
      const refused = (promise: Promise<unknown>) => promise.then(() => "published", ({ kind, code, retryable, pointer }: RoomcastError) => [kind, code, retryable, pointer]);
      const [own, other] = [client.room("team:s10"), client.room("team:other")];
      const heard = heardOf(client, "team:s10");
      await has(heard, 1);
      const first = await publish(own, "issue.deleted", { id: "1", teamId: "t" }, { eventId: "given-s10" });
      const again = await publish(own, "issue.deleted", { id: "1", teamId: "t" }, { eventId: "given-s10" });
      const errors = [
        await refused(publish(other, "issue.deleted", { id: "1", teamId: "t" })),
        await refused(publish(own, "issue.deleted", { id: "1" } as never)),
      ];
      await has(heard, 2);
      client.close();
      return [first.eventId, again.duplicate, errors, heard];
    },
    outcome: [
      "given-s10",
      true,
      [
        ["denied", "FORBIDDEN", false, undefined],
        ["denied", "INVALID_PAYLOAD", false, "/payload/teamId"],
      ],
      ["subscribed", "1"],
    ],
  },
  {
    name: "a publish over a lost connection is carried out once",
    async play(stage) {
      const client = clientOf(stage, "s11", { token: () => stage.token("s11", { grants: { "*": ["*"] } }) });
      const heard = heardOf(client, "team:s11");
      await has(heard, 1);
      stage.cut();
      await until("it is told", () => client.state.status === "reconnecting");
      const published = publish(client.room("team:s11"), "issue.deleted", { id: "1", teamId: "t" });
      stage.mend();
      await published;
      await has(heard, 3);
      client.close();
      return heard;
    },
    outcome: ["subscribed", "recovered 0", "1"],
  },
  {
    name: "who is there is told, over a lost connection too, until they leave",
    async play(stage) {
      const [ann, bob] = [clientOf(stage, "s12_ann"), clientOf(stage, "s12_bob")];
      const name = rooms.issue("s12");
      const part = presence(ann.room(name), { data: { cursor: 1 } });
      const lists: string[] = [];
      part.subscribe(({ members }) => {
        const text = members.map(({ userId, data }) => `${userId} ${JSON.stringify(data)}`).sort().join();
        if (lists.at(-1) !== text) lists.push(text);
      });
      await has(lists, 1);
      const other = presence(bob.room(name));
      await has(lists, 2);
      other.update(7);
      await has(lists, 3);
      stage.drop();
      await until("both are back", async () => ann.states.filter((state) => state === "open").length === 2 && (await stage.count(name)) === 2);
      other.leave();
      await has(lists, 4);
      [ann, bob].forEach((client) => client.close());
      return lists;
    },
    outcome: ['s12_ann {"cursor":1}', 's12_ann {"cursor":1},s12_bob undefined', 's12_ann {"cursor":1},s12_bob 7', 's12_ann {"cursor":1}'],
  },
  {
    name: "who types is told, until they stop",
    async play(stage) {
      const [ann, bob] = [clientOf(stage, "s13_ann"), clientOf(stage, "s13_bob")];
      const name = rooms.issue("s13");
      const [seen, own] = [typing(ann.room(name)), typing(bob.room(name))];
      const lists: string[] = [];
      seen.subscribe((users) => lists.push(users.map(({ userId }) => userId).join()));
      await until("both are in", async () => (await stage.count(name)) === 2);
      own.start();
      await has(lists, 1);
      own.stop();
      await has(lists, 2);
      [ann, bob].forEach((client) => client.close());
      return [lists, own.value];
    },
    outcome: [["s13_bob", ""], []],
  },
  {
    name: "a room is a stream that ends with the client",
    async play(stage) {
      const client = clientOf(stage, "s14");
      const stream = events(client.room(rooms.team("s14")));
      const types: string[] = [];
      const reading = (async () => {
        for await (const { type } of stream) types.push(type);
      })();
      await has(types, 1);
      await stage.publish(deleted("1", ["team:s14"]));
      await has(types, 2);
      client.close();
      await reading;
      return types;
    },
    outcome: ["subscribed", "issue.deleted"],
  },
  {
    name: "a state follows its room from a snapshot on, and is loaded anew after a gap",
    async play(stage) {
      const client = clientOf(stage, "s15");
      const told: string[] = [];
      let loads = 0;
      follow(client.room(rooms.team("s15")), {
        load: async ({ position }) => `snapshot ${++loads} behind ${position.replace(/^.*:/, "")}`,
        onSnapshot: (state) => told.push(state),
        onEvent: (event) => told.push((event.payload as { id: string }).id),
      });
      await has(told, 1);
      await stage.publish(deleted("1", ["team:s15"]));
      await has(told, 2);
      stage.cut();
      for (let id = 0; id <= HISTORY_SIZE; id++) await stage.publish(deleted(String(id), ["team:s15"]));
      stage.mend();
      await has(told, 3);
      client.close();
      return told;
    },
    outcome: ["snapshot 1 behind 0", "1", "snapshot 2 behind 7"],
  },
  {
    name: "a client comes back from a gateway that stops, and says why it was away",
    isOwn: true,
    async play(stage) {
      const reasons: string[] = [];
      const client = clientOf(stage, "s16");
      client.onState((state) => state.status === "reconnecting" && reasons.push(state.reason));
      await until("it is open", () => client.state.status === "open");
      await stage.drain();
      await until("it is back", () => client.states.filter((state) => state === "open").length === 2);
      client.close();
      return [reasons[0], client.states];
    },
    outcome: ["service restart", ["connecting", "open", "reconnecting", "open", "closed"]],
  },
  {
    name: "refusals before a connection is open are told, and end",
    async play(stage) {
      stage.cut();
      const client = clientOf(stage, "s17");
      await until("it is told", () => client.state.status === "reconnecting" && client.state.refused);
      stage.mend();
      await until("it is open", () => client.state.status === "open");
      client.close();
      return client.states;
    },
    outcome: ["connecting", "reconnecting", "open", "closed"],
  },
];
