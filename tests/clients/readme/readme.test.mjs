// The README, word for word: its commands are run in their order against the gateway that its first command starts, its
// programs are run or compiled, and a block that no test here knows is a failure.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { until, within } from '../support/waiting.mjs';
import { alike } from './alike.mjs';
import { diagnose, load } from './hook.mjs';
import { Page, read } from './page.mjs';
import { Shell } from './shell.mjs';
import './browser.mjs';

const page = new Page('README.md');
const shell = new Shell();
let watching;

before(() => shell.startGateway(page.take('sh', 'cargo run\n')));

after(() => shell.close());

const url = (path) => `http://${shell.address}${path}`;

async function publish(event) {
  const headers = { authorization: `Bearer ${shell.variables.TOKEN}` };
  const answer = await fetch(url('/api/v1/events'), { method: 'POST', headers, body: JSON.stringify(event) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const stats = async () => (await (await fetch(url('/api/v1/ws/stats'))).json()).data.stats;

/** Another global for as long as the test runs. */
function replace(t, name, value) {
  const real = globalThis[name];
  globalThis[name] = value;
  t.after(() => (globalThis[name] = real));
}

const issue = (identifier) => ({
  type: 'issue.created',
  payload: { id: 'issue_2', identifier, title: 'Again', teamId: 'demo', status: 'todo', priority: 'low' },
});

test('the gateway starts by the first command and says what is shown', () => {
  const shown = shell.adapt(page.take('text', 'roomcast listening')).trimEnd().split('\n');
  assert.deepEqual(shell.gateway.lines.slice(0, shown.length), shown);
});

test('the second terminal watches a room', async () => {
  watching = shell.start(page.take('sh', 'cargo run -q -- subscribe'));
  await watching.said('subscribed to team:demo');
});

test('an event that curl published in the third terminal arrives in the second, as shown', async () => {
  const answer = JSON.parse(await shell.run(page.take('sh', 'TOKEN=$(cargo run')));
  assert.ok(answer.positions['team:demo'], JSON.stringify(answer));
  await watching.said('issue.created');
  const arrived = JSON.parse(watching.lines[0]);
  alike(arrived, JSON.parse(page.take('json', '{\n  "type": "issue.created"')));
  assert.equal(arrived.eventId, answer.eventId);
  watching.kill('SIGINT');
  await watching.end();
});

test('an event under an id of its own is answered as shown, and published once', async () => {
  const command = page.take('sh', 'curl -sS http://127.0.0.1:3001/api/v1/events');
  const first = JSON.parse(await shell.run(command));
  alike(first, JSON.parse(page.take('json', '{ "eventId": "build-4711"')));
  assert.deepEqual(JSON.parse(await shell.run(command)), { ...first, duplicate: true });
});

test('an event to one user is published into the room of that user', async () => {
  const answer = JSON.parse(await shell.run(page.take('sh', 'curl -sS http://127.0.0.1:3001/api/v1/users/ann')));
  assert.deepEqual(Object.keys(answer.positions), ['user:ann']);
});

test('the statistics are as shown', async () => {
  await until('nobody is connected', async () => (await stats()).totalClients === 0);
  const answer = JSON.parse(await shell.run(page.take('sh', 'curl -sS http://127.0.0.1:3001/api/v1/ws/stats')));
  alike(answer, JSON.parse(page.take('json', '{ "data": { "stats"')));
});

test('a token for development is one that the gateway accepts', async () => {
  const { token } = JSON.parse(await shell.run(page.take('sh', 'curl -sS http://127.0.0.1:3001/dev/token')));
  const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
  assert.equal(claims.sub, 'ann');
  assert.deepEqual(claims.grants, { 'team:*': ['subscribe'] });
  const told = await shell.run(`echo ${token} | roomcast token inspect -`);
  assert.match(told, /dev secret/);
});

test('the hook compiles under the strictest rules', () => {
  assert.deepEqual(diagnose(page.take('tsx')), []);
});

test('the hook names stale rooms once, resumes behind a lost connection, and closes when its component goes', async (t) => {
  const { useRooms, unmount } = await load(page.take('tsx'));
  t.after(unmount);
  const sockets = [];
  replace(t, 'WebSocket', class extends globalThis.WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  });
  replace(t, 'stateChanges', []);
  const [messages, stale] = [[], []];
  const has = (eventId) => messages.filter((message) => message.eventId === eventId).length;
  const arrives = ({ eventId }) => until('the event arrives', () => has(eventId) > 0);
  let whileAway;
  const tokens = [
    () => Promise.reject(new Error('the first one does not come')),
    async () => shell.variables.TOKEN,
    async () => {
      whileAway = await publish(issue('HOOK-2'));
      return shell.variables.TOKEN;
    },
  ];
  const options = { url: `ws://${shell.address}/ws`, rooms: ['team:demo', 'issue:issue_2'], getToken: () => tokens.shift()() };
  useRooms({ ...options, onStale: (rooms) => stale.push(rooms), onMessage: (message) => messages.push(message) });
  await until('the hook is ready', () => stale.length > 0);
  assert.deepEqual((await stats()).clientsPerRoom, { 'team:demo': 1, 'issue:issue_2': 1 });
  const before = await publish(issue('HOOK-1'));
  await arrives(before);

  sockets[0].terminate();
  await until('the hook is connected again', () => whileAway);
  await arrives(whileAway);
  assert.equal(has(before.eventId), 1, 'what was seen does not come again');
  assert.deepEqual(stale, [['issue:issue_2', 'team:demo']], 'nothing had to be loaded anew');
  assert.deepEqual(globalThis.stateChanges, [true, false, true]);
  unmount();
  await until('the socket is closed', async () => (await stats()).totalClients === 0);
});

test('the hook stays away when its token is refused, and waits a while when it is told to come back', async (t) => {
  const { useRooms, unmount } = await load(page.take('tsx'));
  t.after(unmount);
  replace(t, 'stateChanges', []);
  const messages = [];
  let closed;
  const ended = new Promise((resolve) => (closed = resolve));
  replace(t, 'WebSocket', class extends globalThis.WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener('close', ({ code }) => closed({ socket: this, code }));
    }
  });
  const options = { url: `ws://${shell.address}/ws`, rooms: ['team:demo'], getToken: async () => 'not.a.token' };
  useRooms({ ...options, onStale: assert.fail, onMessage: (message) => messages.push(message.payload.code) });
  const { socket, code } = await within('the end of the socket', ended);
  assert.equal(code, 4500);
  assert.deepEqual(messages, ['UNAUTHORIZED']);
  // What the hook does about a code is seen by the timer that it sets.
  const timers = [];
  replace(t, 'setTimeout', (callback, delay) => timers.push(delay));
  socket.onclose({ code: 4500 });
  assert.deepEqual(timers, []);
  socket.onclose({ code: 4000 });
  assert.equal(timers.length, 1);
  assert.ok(timers[0] <= 500, `at most half a second at first: ${timers[0]}`);
});

test('the page script runs, receives, and is told to come back when the gateway stops', async () => {
  const script = shell.startPage(page.take('js'));
  await script.said("'user:ann': { status: 'subscribed'");
  await publish(issue('DEMO-2'));
  await script.said('created DEMO-2 Again');
  shell.gateway.kill('SIGTERM');
  await script.said('1012 come back');
  assert.deepEqual(await shell.gateway.end(), { code: 0, signal: null });
});

test('the Rust programs are compiled with the documentation of the client', () => {
  for (const { text } of page.takeAll('rust,no_run')) assert.match(text, /async fn main/);
  assert.match(read('crates/client/src/lib.rs'), /#\[cfg\(doctest\)\]\n#\[doc = include_str!\("\.\.\/\.\.\/\.\.\/README\.md"\)\]/);
});

test('the command that runs all tests is a task that has this part', async () => {
  const [command, ...rest] = page.take('sh', 'cargo xtask test').trim().split('\n');
  assert.deepEqual([command, rest], ['cargo xtask test', []]);
  assert.match(read('.cargo/config.toml'), /^xtask = /m);
  assert.match(read('xtask/src/test.rs'), /Self::Readme => scripts\("tests\/clients\/readme"/);
});

test('every block of the README is known to a test', () => page.assertAllTaken());
