// Connections: finding one, and what can be done to it.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import WebSocket from 'ws';

import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';
import { counts, onConsole, publish, row, stranger } from '../harness.mjs';
import { join, panel } from '../scene.mjs';

export default function () {
  it('finds the connections of a user, and kicks one of them and no other', () =>
    onConsole(async (page) => {
      const [first, second] = await Promise.all([stranger('kicked'), stranger('kicked', ['team:kicked'])]);
      await row(page, first.id);
      await page.getByLabel('User').fill('kicked');
      await until('the others are gone', async () => (await page.getByRole('row').count()) === 3);
      assert.match(await page.getByRole('row').filter({ hasText: second.id }).innerText(), /kicked[^]*team:kicked[^]*127\.0\.0\.1/);
      await page.getByRole('button', { name: `Kick ${first.id}` }).click();
      assert.equal(await first.closed, 4501);
      await until('one is left', async () => (await page.getByRole('row').count()) === 2);
      assert.equal(second.socket.readyState, WebSocket.OPEN);
      second.socket.close();
    }));

  it('looks again when it is asked to, sooner than by itself', () =>
    onConsole(async (page) => {
      let looks = 0;
      page.on('response', (response) => (looks += response.url().includes('/api/v1/connections?') ? 1 : 0));
      await page.clock.install();
      await page.reload();
      await row(page, 'this page');
      await page.clock.pauseAt(Date.now() + 60_000);
      const before = looks;
      await until('it looks by itself', async () => {
        await page.clock.runFor(500);
        return looks > before;
      });
      // From now on it is two seconds of its clock to the next time.
      const { id, socket } = await stranger('refreshed');
      await page.clock.runFor(900);
      assert.equal(await page.getByRole('row').filter({ hasText: id }).count(), 0);
      await page.getByRole('button', { name: 'Refresh' }).click();
      await page.clock.runFor(900);
      await page.getByRole('row').filter({ hasText: id }).waitFor();
      socket.close();
    }));

  it('lists a hundred at a time, and the rooms of one when they are asked for', async () => {
    // One of its own, whose connections are known.
    const own = await Gateway.dev();
    try {
      const rooms = ['team:a', 'team:b', 'team:c', 'team:d', 'team:e'];
      const [first] = await Promise.all([stranger('first', rooms, own), ...Array.from({ length: 110 }, (_, index) => stranger(`crowd-${index}`, [], own))]);
      await onConsole(
        async (page) => {
          await panel(page, 'Connections');
          // One row is the table's head.
          await counts(page.getByRole('row'), 101);
          await page.getByRole('button', { name: 'More' }).click();
          await counts(page.getByRole('row'), 113);
          assert.equal(await page.getByRole('button', { name: 'More' }).count(), 0);
          const found = page.getByRole('row').filter({ hasText: first.id });
          assert.doesNotMatch(await found.innerText(), /team:d/);
          await found.getByText('team:a team:b team:c and 2 more').click();
          assert.match(await found.innerText(), /team:d team:e/);
        },
        { of: own },
      );
    } finally {
      await own.stop();
    }
  });

  it('drops a connection as a network does, after which an application comes back', () =>
    onConsole(
      async (page) => {
        const dropped = await stranger('dropped');
        await (await row(page, dropped.id)).getByRole('button', { name: 'Drop' }).click();
        assert.equal(await dropped.closed, 1006);
        // And its own, which the SDK mends.
        await join(page, 'team:dropped');
        await panel(page, 'Connections');
        await page.getByRole('row').filter({ hasText: 'this page' }).getByRole('button', { name: 'Drop' }).click();
        await panel(page, 'Events');
        await page.locator('.lines').getByText('recovered 0').waitFor();
      },
      { errors: [] },
    ));

  it('slows a connection down, and lets it run again', () =>
    onConsole(async (page) => {
      const slow = await stranger('slow', ['team:slow']);
      const finished = () => slow.heard.filter(({ type }) => type === 'build.finished');
      const actions = await row(page, slow.id);
      await page.getByLabel('Slow down by').fill('1500');
      await actions.getByRole('button', { name: 'Slow down' }).click();
      await page.getByText('waits 1500 ms before each write').waitFor();
      await actions.getByText('slow, 1500 ms').waitFor();
      assert.equal(await page.getByText(/^slow, /).count(), 1, 'and nobody else is');
      const began = Date.now();
      await publish('team:slow', { name: 'late' });
      await until('it came late', () => finished().length === 1);
      assert.ok(finished()[0].at - began >= 1_400, `${finished()[0].at - began} ms`);
      await actions.getByRole('button', { name: 'Full speed' }).click();
      await page.getByText('is at full speed').waitFor();
      await counts(actions.getByText(/^slow, /), 0);
      await publish('team:slow', { name: 'soon' });
      await until('it came', () => finished().length === 2);
      slow.socket.close();
    }));
}
