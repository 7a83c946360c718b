// What an application writes, and what it must not get past the compiler. Never run: `tsc --strict` is the test.

import {
  createClient,
  events,
  follow,
  isBefore,
  presence,
  publish,
  RoomcastError,
  rooms,
  typing,
  type Client,
  type ClientOptions,
  type ConnectionState,
} from "@roomcast/client";
import { customType, isKnownEvent, type EventPayloads } from "@roomcast/client/schema";

// An application's own events, for the whole program.
declare module "@roomcast/client" {
  interface CustomEvents {
    "build.finished": { id: string; ok: boolean };
  }
}

// What must compile.

const options: ClientOptions = { url: "wss://example.com/ws", token: async ({ fresh }) => (fresh ? "new" : "kept") };
const client = createClient(options);
createClient({ url: new URL("wss://example.com/ws"), token: () => "jwt", timeoutMs: 5_000, pingIntervalMs: 10_000, longestRetryMs: 1 });
const team = client.room(rooms.team("team_456"), { since: undefined });
const issue = client.room(rooms.issue("issue_1"));
client.room("board:of_a_kind_that_an_operator_has_added");
client.connect();
client.close();

const off: () => void = team.on("issue.updated", (event) => {
  const id: string = event.payload.id;
  const when: string = event.timestamp;
  const where: string | undefined = event.positions?.[team.name];
  return [id, when, where];
});
off();
team.on("build.finished", ({ payload }) => payload.ok satisfies boolean);
team.on("gap", ({ reason, position }) => [reason satisfies "epoch_changed" | "history_truncated" | "too_many_missed", position satisfies string]);
team.on("recovered", ({ recovered }) => recovered satisfies number);
team.on("denied", ({ code }) => code === "FORBIDDEN");
team.on("subscribed", ({ room }) => room satisfies string);
team.onAny((event) => {
  if (isKnownEvent(event) && event.type === "comment.created") event.payload.body satisfies string;
  event.payload satisfies unknown;
});
const name: "team:team_456" = team.name;

const published = await publish(team, "issue.deleted", { id: "i", teamId: "t" }, { eventId: "mine", timeoutMs: 1_000 });
published.eventId satisfies string;
await publish(team, "build.finished", { id: "b", ok: true });
// Who types, the gateway stamps.
await publish(issue, "user.typing", { issueId: "i", isTyping: true });
try {
  await publish(team, "issue.deleted", { id: "i", teamId: "t" });
} catch (error) {
  if (error instanceof RoomcastError && error.retryable) error.retryAfterMs satisfies number | undefined;
}

for await (const delivery of events(team, { buffer: 10 })) {
  if (delivery.type === "issue.updated") delivery.payload.changes satisfies object;
  if (delivery.type === "build.finished") delivery.payload.ok satisfies boolean;
  if (delivery.type === "gap") delivery.reason satisfies string;
}
const part = presence(issue, { data: { cursor: 4 } });
part.value.members.map(({ userId }) => userId satisfies string);
part.subscribe(({ isDenied }) => isDenied satisfies boolean)();
part.update(null);
part.leave();
typing(issue).start();
follow(team, {
  load: async ({ position, signal }) => ({ position, aborted: signal.aborted, issues: [1] }),
  onSnapshot: (state) => state.issues satisfies number[],
  onEvent: (event) => event.type satisfies string,
})();
isBefore("e:1", "e:2") satisfies boolean | undefined;

function label(state: ConnectionState): string {
  switch (state.status) {
    case "open":
      return state.userId;
    case "reconnecting":
    case "offline":
      return `${state.attempt} ${state.nextTry} ${state.refused}`;
    case "closed":
      return `${state.code} ${state.reason}`;
    case "idle":
    case "connecting":
      return state.status;
  }
}
client.onState((state) => label(state));

interface Own {
  "deploy.started": { sha: string };
}
const own: Client<Own> = createClient<Own>(options);
own.room("team:t").on("deploy.started", ({ payload }) => payload.sha satisfies string);
own.room("team:t").on("build.finished", ({ payload }) => payload.ok satisfies boolean);
await publish(own.room("team:t"), "deploy.started", { sha: "abc" });
type Updated = EventPayloads["issue.updated"];
const updated: Updated = { id: "i", teamId: "t", changes: { status: "done" } };
customType("build.finished");

// What must not.

// @ts-expect-error there is no address
createClient({ token: () => "jwt" });
// @ts-expect-error there is no token
createClient({ url: "wss://example.com/ws" });
// @ts-expect-error a token comes from a provider
createClient({ url: "wss://example.com/ws", token: "jwt" });
// @ts-expect-error a provider gives a text
createClient({ url: "wss://example.com/ws", token: () => 7 });
// @ts-expect-error an option that does not exist
createClient({ url: "wss://example.com/ws", token: () => "jwt", timeout: 5 });
// @ts-expect-error a room has a kind
client.room("team_456");
// @ts-expect-error a kind that the protocol does not name
rooms.board("b");
// @ts-expect-error an id is a text
rooms.team(7);
// @ts-expect-error a position is a text
client.room("team:t", { since: 42 });
// @ts-expect-error an event that nobody has declared
team.on("issue.moved", () => {});
// @ts-expect-error a misspelt event
team.on("issue.update", () => {});
// @ts-expect-error a notice that does not exist
team.on("lost", () => {});
// @ts-expect-error a field that the payload does not have
team.on("issue.updated", (event) => event.payload.title);
// @ts-expect-error a field of another type
team.on("issue.created", (event) => event.payload.title satisfies number);
// @ts-expect-error the payload of another event
team.on("comment.created", (event: { payload: EventPayloads["issue.created"] }) => event);
// @ts-expect-error an own event's field
team.on("build.finished", ({ payload }) => payload.okay);
// @ts-expect-error of a notice, which is no event
team.on("gap", (notice) => notice.payload);
// @ts-expect-error a reason that does not exist
team.on("gap", ({ reason }) => reason === "lost");
// @ts-expect-error an event of another client's
team.on("deploy.started", () => {});
// @ts-expect-error what came is not to be changed by its type alone
team.onAny((event) => event.payload.id);
// @ts-expect-error nobody has declared it
publish(team, "issue.moved", { id: "i" });
// @ts-expect-error a field is missing
publish(team, "issue.deleted", { id: "i" });
// @ts-expect-error a field of another type
publish(team, "build.finished", { id: "b", ok: "yes" });
// @ts-expect-error whoever types is stamped by the gateway
publish(issue, "user.typing", { issueId: "i", isTyping: true, userId: "bob" });
// @ts-expect-error a room's name is no room
publish("team:t", "issue.deleted", { id: "i", teamId: "t" });
// @ts-expect-error an own event of another client's
publish(team, "deploy.started", { sha: "abc" });
// @ts-expect-error nobody types in a team
typing(team);
// @ts-expect-error the state is to be read
client.state = { status: "idle" };
// @ts-expect-error only an open connection has a user
client.state.userId;
// @ts-expect-error there is no such state
if (client.state.status === "connected") client.close();
// @ts-expect-error members are to be read
part.value.members.push({ userId: "x", connections: 1 });
// @ts-expect-error the snapshot has no such field
follow(team, { load: () => ({ issues: [] }), onSnapshot: (state) => state.comments, onEvent: () => {} });
// @ts-expect-error a snapshot comes from somewhere
follow(team, { onSnapshot: () => {}, onEvent: () => {} });
// @ts-expect-error how it works inside is nobody's to use
client.core;
// @ts-expect-error a kind of error that does not exist
new RoomcastError("denied", "x").kind === "forbidden";
// @ts-expect-error nothing that the package exports
import { createConnection } from "@roomcast/client";

export { createConnection, name, updated };
