// Connections that are lost, and what comes of it: nothing is lost in silence, and one can see that.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { launch } from '../../../tests/clients/browser/chromium.mjs';
import { until } from '../../../tests/clients/support/waiting.mjs';
import { alike, badge, card, create, here, inColumn, LOST, onDemo, open, press, shown, status, told } from './stage.mjs';

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

const on = (test, options) => onDemo(browser, test, options);

/** The titles in a column, from top to bottom. */
const titles = (pane, column) => pane.getByRole('region', { name: column, exact: true }).locator('.title').allInnerTexts();

const diary = (pane) => pane.getByRole('log').getByRole('list').getByRole('listitem').allInnerTexts();

describe('a connection', { concurrency: 3 }, () => {
  it('that is cut comes back by itself, and resumes', () =>
    on(async ({ ann, ben }) => {
      await press(ann, 'Cut the connection');
      await told(ann, 'connection lost');
      await told(ann, 'resumed: 0 events recovered');
      await status(ann, 'open');
      await create(ben, 'Behind the cut');
      await card(ann, 'DEMO-5').waitFor();
      assert.equal((await diary(ann)).filter((line) => line.includes('loaded the board')).length, 1);
      assert.ok(!(await diary(ben)).some((line) => line.includes('lost')), 'the other does not notice');
    }));

  it('that is away for ten seconds brings all that happened meanwhile, once and in order', () =>
    on(async ({ ann, ben }) => {
      await press(ann, 'Offline for 10 s');
      await status(ann, /^offline · back in \d+ s$/);
      const before = await shown(ann);
      for (const name of ['Cut the connection', 'Offline for 10 s', 'Offline while 100 changes happen']) {
        assert.ok(await ann.getByRole('button', { name }).isDisabled(), name);
      }
      for (const [title, identifier] of [['one', 'DEMO-5'], ['two', 'DEMO-6'], ['three', 'DEMO-7']]) {
        await create(ben, title);
        await card(ben, identifier).waitFor();
      }
      await press(card(ben, 'DEMO-2'), 'Move DEMO-2 to In progress');
      await inColumn(ben, 'In progress', 'DEMO-2');
      // Whoever has no network changes nothing, and is still seen by the other.
      await create(ann, 'into the void');
      await ann.getByRole('alert').getByText('Nothing was saved.').waitFor();
      assert.ok(await here(ben, 'Ann').isVisible());
      assert.deepEqual(await shown(ann), before);
      assert.match(await badge(ann).innerText(), /^offline/);

      await told(ann, 'resumed: 4 events recovered');
      await status(ann, 'open');
      await alike(ann, ben);
      assert.deepEqual((await titles(ann, 'To do')).slice(-3), ['DEMO-5 one', 'DEMO-6 two', 'DEMO-7 three']);
      assert.equal((await diary(ann)).filter((line) => line.includes('loaded the board')).length, 1);
      await press(ann, 'Create');
      await card(ben, 'DEMO-8').getByText('into the void').waitFor();
      await ann.getByRole('alert').waitFor({ state: 'detached' });
    }));

  it('that misses more than is kept says so, and loads the board anew', () =>
    on(async ({ ann, ben }) => {
      const before = await shown(ann);
      await press(ann, 'Offline while 100 changes happen');
      await status(ann, /^offline/);
      await until('the other has seen it', async () => JSON.stringify(await shown(ben)) !== JSON.stringify(before));
      await told(ann, 'gap (history_truncated): the board must be loaded anew');
      await told(ann, 'loaded the board: 4 issues, as of change 100');
      await status(ann, 'open');
      await alike(ann, ben);
      assert.notDeepEqual(await shown(ann), before);
      assert.ok(!(await diary(ben)).some((line) => line.includes('gap')), 'the other has seen each change');
    }));

  it('survives the gateway: what changed meanwhile is on the board when another one stands in its place', () =>
    on(
      async ({ demo, ann, ben }) => {
        const issue = await open(ben, 'DEMO-3');
        const restart = await demo.killGateway();
        await status(ann, /^reconnecting · attempt \d+/);
        await status(ann, /nobody answers$/);
        // The back end keeps working, and its changes wait for the gateway.
        await create(ann, 'While there was no gateway');
        await issue.getByLabel('Comment', { exact: true }).fill('Is anybody there?');
        await press(issue, 'Comment');
        await press(issue, 'Back to the board');
        await restart();
        for (const one of [ann, ben]) {
          await told(one, 'gap (epoch_changed): the board must be loaded anew');
          await told(one, 'loaded the board: 5 issues');
          await status(one, 'open');
          await card(one, 'DEMO-3').getByText('1 comment').waitFor();
        }
        await alike(ann, ben);
        await press(card(ben, 'DEMO-5'), 'Move DEMO-5 to In progress');
        await inColumn(ann, 'In progress', 'DEMO-5');
        await here(ann, 'Ben').waitFor();
      },
      { errors: [LOST] },
    ));

  it('that the gateway ends for good stays away until it is asked to come back', () =>
    on(async ({ demo, ann, ben }) => {
      const { connections } = await demo.gateway.call('GET', '/api/v1/connections');
      const id = connections.find(({ userId }) => userId === 'ann').connectionId;
      await demo.gateway.call('POST', `/api/v1/connections/${id}/disconnect`);
      await status(ann, /^closed · .* \(4501\)$/);
      await told(ann, /^.*closed for good: .*/);
      await create(ben, 'Meanwhile');
      await card(ben, 'DEMO-5').waitFor();
      assert.equal(await card(ann, 'DEMO-5').count(), 0);
      const issue = await open(ann, 'DEMO-1');
      await issue.getByText('The comments are loaded when there is a connection.').waitFor();
      await press(ann, 'Back to the board');
      await press(ann, 'Connect again');
      await told(ann, 'resumed: 1 event recovered');
      await card(ann, 'DEMO-5').waitFor();
    }));
});
