// The code among the generated types, run as it is.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";

const root = new URL("../../", import.meta.url);
const types = new URL("protocol-schema/typescript/", root);
const examples = new URL("protocol-schema/examples/", root);
let folder;
let code;

before(async () => {
  mkdirSync(new URL("target/", root), { recursive: true });
  folder = mkdtempSync(fileURLToPath(new URL("target/typescript-", root)));
  for (const file of readdirSync(types)) {
    const source = readFileSync(new URL(file, types), "utf8");
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
    writeFileSync(`${folder}/${file.replace(".ts", ".js")}`, ts.transpileModule(source, { compilerOptions }).outputText);
  }
  writeFileSync(`${folder}/package.json`, '{"type":"module"}');
  code = await import(pathToFileURL(`${folder}/index.js`));
});

after(() => rmSync(folder, { recursive: true, force: true }));

const goldens = (group) =>
  readdirSync(new URL(`${group}/`, examples)).map((file) => JSON.parse(readFileSync(new URL(`${group}/${file}`, examples), "utf8")));

test("rooms are named as in the original system", () => {
  assert.equal(code.RoomNames.workspace("workspace_123"), "workspace:workspace_123");
  assert.equal(code.RoomNames.team("team_456"), "team:team_456");
  assert.equal(code.RoomNames.issue("issue_789"), "issue:issue_789");
  assert.equal(code.RoomNames.project("project_abc"), "project:project_abc");
  assert.equal(code.RoomNames.cycle("cycle_def"), "cycle:cycle_def");
  assert.equal(code.RoomNames.user("user_123"), "user:user_123");
  assert.deepEqual(Object.keys(code.RoomNames), [...code.ROOM_KINDS]);
});

test("every reply is known as a reply, and every event as an event", () => {
  for (const reply of goldens("replies")) {
    assert.ok(code.isKnown(reply) && code.isReply(reply) && !code.isEvent(reply), reply.type);
  }
  for (const event of goldens("events")) {
    const known = !event.type.startsWith("custom.");
    assert.equal(code.isKnown(event), known, event.type);
    assert.equal(code.isEvent(event), known, event.type);
    assert.equal(code.isKnownEvent(event), known, event.type);
    assert.ok(!code.isReply(event), event.type);
  }
});

test("a frame of a later version is not known, even under the name of something in every object", () => {
  for (const type of ["connection.moved", "toString", "__proto__", "constructor"]) assert.ok(!code.isKnown({ type }), type);
});

test("a type of one's own is named within the grammar and beside the protocol's names", () => {
  assert.equal(code.customType("build.finished"), "build.finished");
  for (const name of ["issue.created", "connection.x", "presence.x", "build", "Build.finished", "build.", `a.${"b".repeat(63)}`]) {
    assert.throws(() => code.customType(name), RangeError, name);
  }
});

test("the range of a close code is its advice", () => {
  for (const close of [1000, 1006, 1012, 4000, 4499]) assert.ok(code.mayReconnect(close), close);
  for (const close of [4500, 4501, 4502, 4999]) assert.ok(!code.mayReconnect(close), close);
  assert.equal(code.CLOSE_CODES.SlowConsumer, 4000);
});
