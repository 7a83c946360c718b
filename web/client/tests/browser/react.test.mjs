// The hooks in a real Chromium, in StrictMode, with React 18 and 19, against the real gateway.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { token } from '../../../../tests/clients/support/tokens.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';
import { Harness, LOST, script } from './harness.mjs';

let harness;
const scripts = {};

/** Where each version of React stands. */
const VERSIONS = { 18: 'web/react-18/node_modules/', 19: 'node_modules/' };

before(async () => {
  // So short a history that an absence makes a gap.
  harness = await Harness.start({ HISTORY_SIZE: '2' });
  for (const [version, folder] of Object.entries(VERSIONS)) {
    const at = (name) => fileURLToPath(new URL(`../../../../${folder}${name}`, import.meta.url));
    // The development build, which mounts everything twice in StrictMode, and complains.
    const define = { 'process.env.NODE_ENV': '"development"' };
    scripts[version] = await script('react-page.mjs', { define, alias: { react: at('react'), 'react-dom': at('react-dom') } });
  }
});

after(() => harness?.stop());

const publish = (room, id) => harness.gateway.publish({ type: 'issue.deleted', payload: { id, teamId: 't' }, rooms: [room] });
const show = (page, shown) => page.evaluate((shown) => window.show(shown), shown);
const showInTurn = (page, all) => page.evaluate((all) => window.showInTurn(all), all);

async function shows(page, name, text) {
  await page.waitForFunction(({ name, text }) => document.getElementById(name)?.textContent === text, { name, text });
}

for (const version of Object.keys(VERSIONS)) {
  describe(`React ${version}`, () => {
    const withPage = (wanted, test) => {
      harness.site.script = scripts[version];
      return harness.withClient(wanted, test);
    };
    const room = (name) => `${name}${version}`;
    const requests = (sent, action) => sent.filter((frame) => frame.action === action);

    it('opens one socket in StrictMode, and closes it when the provider is gone for a while', () =>
      withPage({}, async ({ page, requests: tokens }) => {
        assert.ok((await page.evaluate(() => window.reactVersion)).startsWith(`${version}.`));
        await show(page, { Connection: {} });
        await shows(page, 'Connection', 'open');
        await showInTurn(page, [null, { Connection: {} }]);
        await shows(page, 'Connection', 'open');
        assert.deepEqual([await page.evaluate(() => window.states), tokens.length], [['connecting', 'open'], 1]);
        await show(page, null);
        await page.waitForFunction(() => window.client.state.status === 'closed');
        await show(page, { Connection: {} });
        await shows(page, 'Connection', 'open');
        assert.equal(tokens.length, 2);
      }));

    it('calls the listener of the latest rendering, over one subscription', () =>
      withPage({}, async ({ page, sent }) => {
        const name = room('team:events');
        await show(page, { Events: { room: name, label: 'first' } });
        await harness.gateway.members(name, 1);
        await publish(name, '1');
        await page.waitForFunction(() => window.calls.length === 1);
        await show(page, { Events: { room: name, label: 'second' } });
        await publish(name, '2');
        await page.waitForFunction(() => window.calls.length === 2);
        assert.deepEqual(await page.evaluate(() => window.calls), ['first 1', 'second 2']);
        await until('it was joined', () => requests(sent, 'subscribe').length > 0);
        assert.equal(requests(sent, 'subscribe').length, 1);
      }));

    it('stays in a room for a second, for whoever comes back, and leaves it then', () =>
      withPage({}, async ({ page, sent }) => {
        const name = room('team:linger');
        await show(page, { Events: { room: name, label: 'a' } });
        await harness.gateway.members(name, 1);
        await showInTurn(page, [{ Connection: {} }, { Events: { room: name, label: 'b' }, Connection: {} }]);
        await publish(name, '1');
        await page.waitForFunction(() => window.calls.length === 1);
        await until('it was joined', () => requests(sent, 'subscribe').length > 0);
        assert.deepEqual([requests(sent, 'subscribe').length, requests(sent, 'unsubscribe').length], [1, 0]);
        const left = Date.now();
        await show(page, { Connection: {} });
        await harness.gateway.members(name, 0);
        assert.ok(Date.now() - left >= 900);
        await until('it was left by one request', () => requests(sent, 'unsubscribe').length === 1);
        // And goes into no room at all where there is none.
        await show(page, { Events: { room: null, label: 'c' }, Connection: {} });
        await shows(page, 'Connection', 'open');
        assert.equal(requests(sent, 'subscribe').length, 1);
      }));

    it('tells who is there, and renders only for what was selected', () =>
      withPage({ user: 'ann' }, (ann) =>
        withPage({ user: 'bob' }, async (bob) => {
          const name = room('issue:people');
          await show(ann.page, { People: { room: name, cursor: 1 }, Everybody: { room: name } });
          await shows(ann.page, 'People', 'ann');
          await show(bob.page, { People: { room: name, cursor: 1 }, Everybody: { room: name } });
          await shows(ann.page, 'People', 'ann,bob');
          await shows(bob.page, 'People', 'ann,bob');
          const before = await ann.page.evaluate(() => window.renderings);
          await show(bob.page, { People: { room: name, cursor: 2 }, Everybody: { room: name } });
          const knows = async ({ page }, expected) => {
            const sorted = async () => JSON.stringify(JSON.parse(await page.textContent('#Everybody')).sort());
            await until(`it knows ${expected}`, async () => (await sorted()) === expected);
          };
          await knows(ann, '[["ann",1],["bob",2]]');
          assert.equal(await ann.page.evaluate(() => window.renderings), before);
          await show(ann.page, { People: { room: name, cursor: 3 }, Everybody: { room: name } });
          await knows(bob, '[["ann",3],["bob",2]]');
          await show(bob.page, {});
          await shows(ann.page, 'People', 'ann');
        }),
      ));

    it('tells who types, until they stop', () =>
      withPage({ user: 'ann' }, (ann) =>
        withPage({ user: 'bob' }, async (bob) => {
          const name = room('issue:typing');
          for (const { page } of [ann, bob]) await show(page, { Typists: { room: name } });
          await harness.gateway.members(name, 2);
          await bob.page.evaluate(() => window.startTyping());
          await shows(ann.page, 'Typists', 'bob');
          await bob.page.evaluate(() => window.stopTyping());
          await shows(ann.page, 'Typists', '');
        }),
      ));

    it('keeps a state up to date: loaded once, with every event behind it, and loaded anew after a gap', () => {
      const name = room('team:state');
      let snapshot = 'a,b';
      const prepare = (page) => page.exposeFunction('snapshot', () => snapshot);
      return withPage({ prepare, errors: [LOST], options: { longestRetryMs: 100 } }, async ({ page, relay }) => {
        await show(page, { Issues: { room: name } });
        await shows(page, 'Issues', 'a,b');
        await publish(name, 'c');
        await shows(page, 'Issues', 'a,b,c');
        assert.equal(await page.evaluate(() => window.loads), 1);
        relay.cut();
        await page.waitForFunction(() => window.client.state.attempt > 1);
        for (const id of ['d', 'e', 'f']) await publish(name, id);
        snapshot = 'all';
        relay.mend();
        await shows(page, 'Issues', 'all');
        await publish(name, 'g');
        await shows(page, 'Issues', 'all,g');
        assert.equal(await page.evaluate(() => window.loads), 2);
      });
    });

    it('tells why there is no state where the gateway refuses the room, and goes on when it grants it again', () => {
      const name = room('team:refused');
      const grants = [undefined, { 'issue:*': ['subscribe'] }, undefined];
      const tokens = (turn) => token('ann', { grants: grants[turn - 1] });
      const prepare = (page) => page.exposeFunction('snapshot', () => 'a');
      return withPage({ prepare, tokens, options: { longestRetryMs: 100 } }, async ({ page, relay }) => {
        await show(page, { Issues: { room: name } });
        await shows(page, 'Issues', 'a');
        relay.drop();
        await shows(page, 'Issues', `RoomcastError: ${name}: FORBIDDEN`);
        relay.drop();
        await shows(page, 'Issues', 'a');
        assert.equal(await page.evaluate(() => window.loads), 1);
        await show(page, { Issues: { room: 'user:bob' } });
        await shows(page, 'Issues', 'RoomcastError: user:bob: FORBIDDEN');
      });
    });
  });
}
