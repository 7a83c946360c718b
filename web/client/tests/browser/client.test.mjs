// The SDK in a real Chromium, over a network that fails, against the real gateway.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { onPage, Site } from '../../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { sign, token } from '../../../../tests/clients/support/tokens.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';
import { Harness, heard, hears, listen, LOST, script, state, status } from './harness.mjs';

let harness;
let gateway;
let site;

before(async () => {
  harness = await Harness.start();
  ({ gateway, site } = harness);
  site.script = await script('page.mjs');
});

after(() => harness?.stop());

const settings = () => harness.settings;
const withClient = (wanted, test) => harness.withClient(wanted, test);
const publish = (room, id) => gateway.publish({ type: 'issue.deleted', payload: { id, teamId: 't' }, rooms: [room] });

describe('the client in a browser', { concurrency: 4 }, () => {
  it('connects by the subprotocol and nothing else, and gets what happens', () =>
    withClient({}, async ({ page }) => {
      await status(page, 'open');
      await listen(page, 'team:connects');
      await hears(page, ['subscribed']);
      await publish('team:connects', '1');
      await hears(page, ['subscribed', '1']);
      const { connectionId, ...rest } = await state(page);
      assert.deepEqual(rest, { status: 'open', userId: 'ann' });
      assert.match(connectionId, /./);
    }));

  it('goes on where it was when the page is loaded again', () =>
    withClient({}, async ({ page, start }) => {
      await listen(page, 'team:reload');
      await hears(page, ['subscribed']);
      await publish('team:reload', '1');
      await hears(page, ['subscribed', '1']);
      await page.reload();
      await publish('team:reload', '2');
      await publish('team:reload', '3');
      await start();
      await listen(page, 'team:reload');
      await hears(page, ['recovered 2', '2', '3']);
    }));

  it('gets everything once and in order that happened while it was off the network for ten seconds', () =>
    withClient({ errors: [LOST] }, async ({ page, relay }) => {
      const rooms = ['team:offline', 'issue:offline'];
      for (const room of rooms) await listen(page, room);
      await hears(page, ['subscribed', 'subscribed']);
      await page.context().setOffline(true);
      relay.cut();
      const began = Date.now();
      await status(page, 'offline');
      const ids = [];
      for (let id = 0; Date.now() - began < 10_000; id++) {
        ids.push(String(id));
        await gateway.publish({ type: 'issue.deleted', payload: { id: String(id), teamId: 't' }, rooms: [rooms[id % 2]] });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.deepEqual(await heard(page), ['subscribed', 'subscribed']);
      relay.mend();
      await page.context().setOffline(false);
      await status(page, 'open');
      const [halfUp, halfDown] = [Math.ceil(ids.length / 2), Math.floor(ids.length / 2)];
      await until('all came', async () => (await heard(page)).length === 4 + ids.length);
      const told = (await heard(page)).slice(2);
      assert.deepEqual(told.slice(0, 2).sort(), [`recovered ${halfDown}`, `recovered ${halfUp}`].sort());
      const even = ids.filter((_, index) => index % 2 === 0);
      assert.deepEqual(told.slice(2).filter((id) => Number(id) % 2 === 0), even);
      assert.deepEqual(told.slice(2).toSorted((a, b) => a - b), ids);
    }));

  it('notices a network that has fallen silent, and comes back by itself', () =>
    withClient({ options: { pingIntervalMs: 300, timeoutMs: 2_000 } }, async ({ page, relay }) => {
      await listen(page, 'team:silent');
      await hears(page, ['subscribed']);
      const before = await state(page);
      relay.silence();
      await publish('team:silent', '1');
      await until('it is another connection', async () => {
        const now = await state(page);
        return now.status === 'open' && now.connectionId !== before.connectionId;
      });
      await hears(page, ['subscribed', 'recovered 1', '1']);
    }));

  it('comes back to a gateway that was killed and started again, and tells the gap', async () => {
    const first = await Gateway.serve(settings());
    let second;
    try {
      await withClient({ errors: [LOST], options: { longestRetryMs: 200 } }, async ({ page, relay, start }) => {
        relay.target = first.address;
        await page.evaluate(() => window.client.close());
        await start();
        await listen(page, 'team:killed');
        await hears(page, ['subscribed']);
        await first.kill();
        await status(page, 'reconnecting');
        await page.waitForFunction(() => window.client.state.refused === true);
        second = await Gateway.serve(settings());
        relay.target = second.address;
        await hears(page, ['subscribed', 'gap epoch_changed']);
        await second.publish({ type: 'issue.deleted', payload: { id: '1', teamId: 't' }, rooms: ['team:killed'] });
        await hears(page, ['subscribed', 'gap epoch_changed', '1']);
        await page.evaluate(() => window.client.close());
      });
    } finally {
      await second?.stop();
    }
  });

  it('comes back from a gateway that drains, after the time that it asks for, and loses nothing', async () => {
    const draining = await Gateway.serve({ ...settings(), DRAIN_SECONDS: '1' });
    await withClient({ options: { longestRetryMs: 200 } }, async ({ page, relay, start }) => {
      relay.target = draining.address;
      await page.evaluate(() => window.client.close());
      await start();
      await status(page, 'open');
      relay.target = gateway.address;
      await draining.stop();
      await page.waitForFunction(() => window.states.filter(({ status }) => status === 'open').length === 2);
      const lost = await page.evaluate(() => window.states.find(({ status }) => status === 'reconnecting'));
      assert.deepEqual([lost.attempt, lost.reason], [1, 'service restart']);
    });
  });

  it('renews its token over the connection, which outlives the first one', () => {
    let soon;
    const tokens = (count) => {
      soon ??= Math.floor(Date.now() / 1000) + 5;
      return count === 1 ? token('ann', { exp: soon }) : token('ann');
    };
    return withClient({ tokens }, async ({ page, requests }) => {
      await listen(page, 'team:renewal');
      await hears(page, ['subscribed']);
      const { connectionId } = await state(page);
      await until('the first token has long run out', () => Date.now() / 1000 > soon + 11);
      await publish('team:renewal', '1');
      await hears(page, ['subscribed', '1']);
      assert.deepEqual(await state(page), { status: 'open', connectionId, userId: 'ann' });
      assert.deepEqual(requests, [{ fresh: false }, { fresh: true }]);
    });
  });

  it('wakes with a token that has run out while the machine slept, and comes back with another', () => {
    const user = 'sleeper';
    // The renewal that the gateway asks for is still under way when the lid is shut.
    const tokens = (count) => {
      if (count === 2) return new Promise(() => {});
      return token(user, count === 1 ? { exp: Math.floor(Date.now() / 1000) + 4 } : {});
    };
    const prepare = (page) => page.clock.install();
    return withClient({ tokens, prepare, user }, async ({ page, relay, requests }) => {
      await listen(page, 'team:sleep');
      await hears(page, ['subscribed']);
      await until('the renewal is under way', () => requests.length === 2);
      // The lid is shut: nothing is heard, and nothing runs.
      relay.silence();
      await page.clock.pauseAt(Date.now() + 1_000);
      await publish('team:sleep', '1');
      await gateway.members('team:sleep', 0);
      assert.equal((await state(page)).status, 'open');
      await page.clock.fastForward(10 * 60_000);
      await page.clock.resume();
      await hears(page, ['subscribed', 'recovered 1', '1']);
    });
  });

  it('stays away when the server has sent it away', () =>
    withClient({ user: 'kicked', prepare: (page) => page.clock.install() }, async ({ page, requests }) => {
      await status(page, 'open');
      await gateway.call('POST', '/api/v1/users/kicked/disconnect');
      await status(page, 'closed');
      assert.deepEqual(await state(page), { status: 'closed', code: 4501, reason: 'disconnected by the server' });
      await page.clock.runFor(3_600_000);
      await page.evaluate(() => ['online', 'focus', 'pageshow'].forEach((name) => dispatchEvent(new Event(name))));
      await page.clock.runFor(3_600_000);
      // A token is asked for before each connect.
      assert.deepEqual([(await state(page)).status, requests.length], ['closed', 1]);
    }));

  it('asks for a fresh token when the first is refused, and ends with the reason when that is too', () => {
    const stale = () => sign({ sub: 'ann', exp: 1 });
    return withClient({ tokens: stale }, async ({ page, requests }) => {
      await status(page, 'closed');
      const { code, reason } = await state(page);
      assert.equal(code, 4500);
      assert.match(reason, /expired|run out/);
      assert.deepEqual(requests, [{ fresh: false }, { fresh: true }]);
    });
  });

  it('tells after two refusals before the socket opens that it is refused, and goes on trying', async () => {
    const foreign = await Site.open();
    foreign.script = site.script;
    try {
      await onPage(harness.browser, foreign, [LOST], async (page) => {
        await page.evaluate((url) => window.start({ url, longestRetryMs: 100 }), gateway.webSocketUrl);
        await page.waitForFunction(() => window.client.state.refused === true && window.client.state.attempt > 3);
        assert.equal((await state(page)).status, 'reconnecting');
      }, (page) => page.exposeFunction('nextToken', () => token('ann')));
    } finally {
      foreign.close();
    }
  });

  it('works in a worker', () =>
    withClient({}, async ({ page, relay }) => {
      const told = page.evaluate(
        (message) =>
          new Promise((resolve) => {
            const worker = new Worker('/application.js');
            worker.onmessage = ({ data }) => resolve(data);
            worker.postMessage(message);
          }),
        { url: `ws://${relay.address}/ws`, bearer: token('worker'), room: 'team:worker' },
      );
      await gateway.members('team:worker', 1);
      await publish('team:worker', '1');
      assert.equal(await told, '1');
    }));

  it('is one user in two tabs', () =>
    withClient({ user: 'watcher' }, (watcher) =>
      withClient({ user: 'twice' }, (first) =>
        withClient({ user: 'twice' }, async (second) => {
          const room = 'issue:tabs';
          for (const { page } of [watcher, first, second]) {
            await status(page, 'open');
            await page.evaluate((room) => window.attend(room, { data: { at: 1 } }), room);
          }
          const members = async ({ page }) => (await page.evaluate(() => window.members())).map(({ userId }) => userId).sort();
          const connections = ({ page }) => page.evaluate(() => window.members().find(({ userId }) => userId === 'twice')?.connections);
          await until('the second tab knows of the first', async () => (await connections(second)) === 2);
          await until('both users are there', async () => (await members(watcher)).length === 2);
          assert.deepEqual(await members(watcher), ['twice', 'watcher']);
          assert.deepEqual(await members(second), ['twice', 'watcher']);
          await second.page.evaluate(() => window.client.close());
          await gateway.members(room, 2);
          assert.deepEqual(await members(watcher), ['twice', 'watcher']);
          await first.page.evaluate(() => window.client.close());
          await until('the user has left', async () => (await members(watcher)).join() === 'watcher');
        }),
      ),
    ));

  it('keeps no timer and no listener of a hundred connections', () => {
    // Counts what is set and not cleared, and what listens, from before the page's first script on.
    const prepare = (page) =>
      page.addInitScript(() => {
        const timers = new Set();
        const { setTimeout, clearTimeout, addEventListener } = window;
        window.setTimeout = (run, ms, ...parameters) => {
          const id = setTimeout(() => (timers.delete(id), run(...parameters)), ms);
          timers.add(id);
          return id;
        };
        window.clearTimeout = (id) => (timers.delete(id), clearTimeout(id));
        const listening = { count: 0 };
        window.addEventListener = (name, listener, options) => {
          // What drives the browser listens here too, without a signal.
          if (options?.signal) {
            listening.count++;
            options.signal.addEventListener('abort', () => listening.count--);
          }
          addEventListener(name, listener, options);
        };
        const sockets = [];
        window.WebSocket = class extends WebSocket {
          constructor(...parameters) {
            super(...parameters);
            sockets.push(this);
          }
        };
        window.left = () => ({
          timers: timers.size,
          listeners: listening.count,
          sockets: sockets.filter(({ onmessage, onclose, onopen }) => onmessage || onclose || onopen).length,
          made: sockets.length,
        });
      });
    return withClient({ prepare, options: { longestRetryMs: 10 } }, async ({ page, relay }) => {
      await listen(page, 'team:hundred');
      const opened = (count) => page.waitForFunction((count) => window.states.filter(({ status }) => status === 'open').length >= count, count);
      await opened(1);
      const { made, ...before } = await page.evaluate(() => window.left());
      for (let count = 2; count <= 101; count++) {
        relay.drop();
        await opened(count);
      }
      await publish('team:hundred', 'last');
      await until('it came', async () => (await heard(page)).includes('last'));
      const { made: made2, ...after } = await page.evaluate(() => window.left());
      assert.deepEqual(after, before);
      assert.deepEqual([after.listeners, after.sockets, made2 - made >= 100], [6, 1, true]);
      await page.evaluate(() => window.client.close());
      const { made: _, ...closed } = await page.evaluate(() => window.left());
      assert.deepEqual(closed, { timers: 0, listeners: 0, sockets: 0 });
    });
  });
});
