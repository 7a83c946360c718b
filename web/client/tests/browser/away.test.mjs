// Pages that are put away and come back: into the back-forward cache, and frozen in a tab that nobody sees.
//
// In a browser as people have it, not as tests drive it: both are switched off there.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { launchOrdinary } from '../../../../tests/clients/browser/chromium.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';
import { Harness, heard, hears, listen, script, status } from './harness.mjs';

let harness;

before(async () => {
  harness = await Harness.start({ PING_INTERVAL_MS: '300', IDLE_TIMEOUT_MS: '1500' }, launchOrdinary());
  harness.site.script = await script('page.mjs');
});

after(() => harness?.stop());

/** Writes down what becomes of the page, which outlives its being put away. */
function keepDiary() {
  window.diary = [];
  for (const name of ['pagehide', 'pageshow']) addEventListener(name, ({ persisted }) => window.diary.push(`${name} ${persisted}`));
  for (const name of ['freeze', 'resume', 'visibilitychange']) {
    document.addEventListener(name, () => window.diary.push(`${name} ${document.visibilityState}`));
  }
}

const withClient = (wanted, test) => harness.withClient({ ...wanted, prepare: (page) => page.addInitScript(keepDiary) }, test);
const diary = (page) => page.evaluate(() => window.diary);
const publish = (room, id) => harness.gateway.publish({ type: 'issue.deleted', payload: { id, teamId: 't' }, rooms: [room] });

async function publishAll(room, ids) {
  for (const id of ids) await publish(room, id);
}

describe('a page that is put away', () => {
  it('lets go of its connection in the back-forward cache, and comes back with everything once and in order', () =>
    withClient({}, async ({ page, requests }) => {
      const room = 'team:cached';
      await listen(page, room);
      await hears(page, ['subscribed']);
      const expected = ['subscribed'];
      for (const [turn, ids] of [['1', '2', '3'], [], ['4']].entries()) {
        await page.goto(`${harness.site.origin}/elsewhere`);
        // The browser would keep it, and answer the gateway in its name.
        await harness.gateway.members(room, 0);
        await publishAll(room, ids);
        await page.evaluate(() => void setTimeout(() => history.back()));
        await page.waitForFunction((turn) => window.diary.filter((line) => line === 'pageshow true').length === turn + 1, turn);
        expected.push(`recovered ${ids.length}`, ...ids);
        await hears(page, expected);
        await publish(room, `live ${turn}`);
        expected.push(`live ${turn}`);
        await hears(page, expected);
      }
      const told = (await diary(page)).filter((line) => line.startsWith('page'));
      assert.deepEqual(told, ['pageshow false', ...Array(3).fill(['pagehide true', 'pageshow true']).flat()]);
      // A token is asked for before each connect.
      assert.equal(requests.length, 4);
    }));

  it('shows nobody a user who has gone to another page', () =>
    withClient({ user: 'watcher' }, (watcher) =>
      withClient({ user: 'gone' }, async ({ page }) => {
        const room = 'issue:cached';
        for (const one of [watcher.page, page]) {
          await status(one, 'open');
          await one.evaluate((room) => window.attend(room, { data: {} }), room);
        }
        const members = async () => (await watcher.page.evaluate(() => window.members())).map(({ userId }) => userId).sort().join();
        await until('both are there', async () => (await members()) === 'gone,watcher');
        await page.goto(`${harness.site.origin}/elsewhere`);
        await until('one has left', async () => (await members()) === 'watcher');
        await page.evaluate(() => void setTimeout(() => history.back()));
        await until('and is there again', async () => (await members()) === 'gone,watcher');
        assert.ok((await diary(page)).includes('pageshow true'));
      }),
    ));

  /** Has another tab seen, and the page frozen meanwhile. */
  const frozen = async (page, meanwhile) => {
    const browser = await page.context().newCDPSession(page);
    const other = await page.context().newPage();
    await other.bringToFront();
    await page.waitForFunction(() => document.visibilityState === 'hidden', undefined, { polling: 100 });
    await browser.send('Page.setWebLifecycleState', { state: 'frozen' });
    await until('it is frozen', async () => (await diary(page)).at(-1) === 'freeze hidden');
    await meanwhile();
    await browser.send('Page.setWebLifecycleState', { state: 'active' });
    await other.close();
    await page.bringToFront();
    await until('it is seen', async () => (await diary(page)).at(-1) === 'visibilitychange visible');
    assert.deepEqual((await diary(page)).slice(-3), ['freeze hidden', 'resume hidden', 'visibilitychange visible']);
  };
  const ids = Array.from({ length: 30 }, (_, index) => String(index));
  /**
   * What Chromium may have to say: it takes the socket from a page that it freezes, and the page learns of it when it runs again,
   * behind the client's first question perhaps.
   */
  const LOST_TO_FREEZING = [/WebSocket connection to .* failed: Page entered Back-Forward Cache/, /WebSocket is already in CLOSING or CLOSED state/];
  const withFreezing = (test) => {
    const errors = [];
    return withClient({ errors }, (client) => {
      client.page.on('console', (message) => errors.push(...LOST_TO_FREEZING.filter((pattern) => pattern.test(message.text()))));
      return test(client);
    });
  };
  /** What the page has heard must be this, over one connection or two. */
  const hearsAll = async (page, expected) => {
    await until('all came', async () => (await heard(page)).at(-1) === expected.at(-1));
    assert.deepEqual((await heard(page)).filter((word) => !/^recovered \d+$/.test(word)), expected);
  };

  it('comes back with everything when it was frozen for several seconds in a hidden tab', () =>
    withFreezing(async ({ page }) => {
      const room = 'team:frozen';
      await listen(page, room);
      await hears(page, ['subscribed']);
      await frozen(page, async () => {
        const end = Date.now() + 5_000;
        for (const id of ids) {
          await publish(room, id);
          await new Promise((resolve) => setTimeout(resolve, (end - Date.now()) / (ids.length - Number(id))));
        }
        assert.deepEqual(await heard(page), ['subscribed'], 'nothing of it runs');
      });
      await hearsAll(page, ['subscribed', ...ids]);
      await publish(room, 'live');
      await hearsAll(page, ['subscribed', ...ids, 'live']);
    }));

  it('comes back with everything when its connection was lost while it was frozen', () =>
    withFreezing(async ({ page, relay }) => {
      const room = 'team:frozen-lost';
      await listen(page, room);
      await hears(page, ['subscribed']);
      await frozen(page, async () => {
        await publishAll(room, ids.slice(0, 10));
        relay.drop();
        await harness.gateway.members(room, 0);
        await publishAll(room, ids.slice(10));
        assert.deepEqual(await heard(page), ['subscribed'], 'nothing of it runs');
      });
      await hearsAll(page, ['subscribed', ...ids]);
    }));
});
