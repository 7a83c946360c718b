// Connections: finding one, and what can be done to it.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import WebSocket from 'ws';

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
