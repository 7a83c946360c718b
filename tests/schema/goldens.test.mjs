// The goldens against the schema, by a validator that is not ours; and what the schema must refuse.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const folder = new URL("../../protocol-schema/", import.meta.url);
const read = (path) => JSON.parse(readFileSync(new URL(path, folder), "utf8"));

const bundle = read("schema.json");
const roots = readdirSync(new URL("schema/", folder)).map((file) => file.replace(".json", ""));

function validator() {
  const ajv = new Ajv2020({ strict: true, allErrors: false, discriminator: true });
  addFormats(ajv);
  return ajv;
}

const validators = Object.fromEntries(roots.map((name) => [name, validator().compile(read(`schema/${name}.json`))]));

function accepts(root, value, name = JSON.stringify(value)) {
  const validate = validators[root];
  assert.ok(validate(value), `${root} refuses ${name}: ${JSON.stringify(validate.errors)}`);
}

function refuses(root, value) {
  assert.ok(!validators[root](value), `${root} accepts ${JSON.stringify(value)}`);
}

function goldens(group) {
  const files = readdirSync(new URL(`examples/${group}/`, folder));
  assert.ok(files.length > 0);
  return files.map((file) => [file.replace(".json", ""), read(`examples/${group}/${file}`)]);
}

const golden = (path) => read(`examples/${path}.json`);

test("every definition of the bundle compiles", () => {
  const ajv = validator();
  ajv.addSchema(bundle);
  for (const name of Object.keys(bundle.$defs)) {
    assert.ok(ajv.getSchema(`${bundle.$id}#/$defs/${name}`), name);
  }
});

test("a document of a root says the same as the bundle", () => {
  for (const name of roots) {
    for (const [key, definition] of Object.entries(read(`schema/${name}.json`).$defs)) {
      assert.deepEqual(definition, bundle.$defs[key], `${name} ${key}`);
    }
  }
});

test("every golden is valid", () => {
  for (const [name, value] of [...goldens("replies"), ...goldens("events")]) accepts("ServerMessage", value, name);
  for (const [name, value] of goldens("events")) accepts("AnyEvent", value, name);
  for (const [name, value] of goldens("client")) accepts("ClientMessage", value, name);
  const bodies = { event: "PublishBody", batch: "PublishBody", published: "PublishAnswer", "batch-answer": "PublishAnswer", problem: "Problem" };
  for (const [name, value] of goldens("http")) accepts(bodies[name.split("--")[0]], value, name);
});

test("a custom event is no event that the protocol names, and the other way round", () => {
  for (const [name, value] of goldens("events")) {
    const [yes, no] = name.startsWith("custom.") ? ["CustomEvent", "Event"] : ["Event", "CustomEvent"];
    accepts(yes, value, name);
    refuses(no, value);
  }
});

test("a required field that is missing is found, in the frame and in the payload", () => {
  for (const [name, value] of [...goldens("events"), ...goldens("replies")]) {
    for (const field of ["type", "payload", "timestamp"]) {
      const { [field]: _, ...rest } = value;
      refuses("ServerMessage", rest);
    }
    const kept = name.startsWith("notification.") || name.startsWith("custom.") || name.includes("unknown-fields");
    if (kept || name.startsWith("connection.ack")) continue;
    refuses("ServerMessage", { ...value, payload: {} });
  }
});

test("a known type with the payload of another is not taken for a custom event", () => {
  refuses("ServerMessage", { ...golden("events/issue.created"), type: "comment.created" });
  refuses("AnyEvent", { ...golden("events/issue.updated"), payload: { id: 7, changes: {}, teamId: "t" } });
  refuses("PublishBody", { ...golden("http/event"), payload: { id: "i" } });
  refuses("ClientMessage", { action: "publish", event: { type: "issue.deleted", payload: { id: "i" } } });
});

test("fields that a later version may add are accepted everywhere", () => {
  const later = { later: { than: ["this"] } };
  for (const [name, value] of [...goldens("events"), ...goldens("replies")]) accepts("ServerMessage", { ...value, ...later }, name);
  for (const [name, value] of goldens("client")) accepts("ClientMessage", { ...value, ...later }, name);
  const created = golden("events/issue.created");
  accepts("Event", { ...created, payload: { ...created.payload, ...later } });
});

test("names that the protocol keeps, and names outside the grammar, are no custom events", () => {
  const event = golden("events/custom.event");
  for (const type of ["connection.x", "presence.query", "auth.x", "publish.x", "subscription.x", "error", "Custom.event", "custom", `a.${"b".repeat(63)}`]) {
    refuses("ServerMessage", { ...event, type });
  }
  accepts("ServerMessage", { ...event, type: `a.${"b".repeat(62)}` });
});

test("texts outside their grammar are found", () => {
  const event = golden("events/issue.updated");
  refuses("Event", { ...event, timestamp: "yesterday" });
  refuses("Event", { ...event, userId: "a b" });
  refuses("Event", { ...event, eventId: "" });
  refuses("Event", { ...event, positions: { "no such room!": "k3x9:1" } });
  for (const position of ["k3x9", "k3x9:01", "K3X9:1", "k3x9:", ":1"]) refuses("Event", { ...event, positions: { "team:t": position } });
});

test("a frame of a client has a type or an action, and not both", () => {
  refuses("ClientMessage", {});
  refuses("ClientMessage", { type: "ping", action: "subscribe", rooms: ["team:t"] });
  refuses("ClientMessage", { action: "subscribe", rooms: ["team:t"], type: "ping" });
  refuses("ClientMessage", { type: "pong" });
  refuses("ClientMessage", { action: "leave", rooms: ["team:t"] });
});

test("an id has 1 to 64 characters, however many bytes", () => {
  for (const id of ["a", "é".repeat(64), "🎉".repeat(64)]) accepts("ClientMessage", { type: "ping", id });
  for (const id of ["", "a".repeat(65), 7, null]) refuses("ClientMessage", { type: "ping", id });
});

test("rooms are asked for by a list that is not empty, of whatever names", () => {
  accepts("ClientMessage", { action: "subscribe", rooms: ["no such room!"] });
  for (const rooms of [[], "team:t", [7], null, undefined]) {
    refuses("ClientMessage", { action: "subscribe", rooms });
    refuses("ClientMessage", { action: "unsubscribe", rooms });
  }
  for (const presence of [null, "yes", 7, []]) refuses("ClientMessage", { action: "subscribe", rooms: ["team:t"], presence });
});

test("every union of frames names the field by which they are told apart", () => {
  for (const [name, property] of Object.entries({ Event: "type", Reply: "type", Action: "action", RoomOutcome: "status" })) {
    assert.equal(bundle.$defs[name].discriminator.propertyName, property, name);
  }
});
