// Figures: what the node counts.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';
import { onConsole, stranger } from '../harness.mjs';
import { panel } from '../scene.mjs';

export default function () {
  it('shows the figures of the node as they change', async () => {
    // One of its own, where nobody else comes and goes.
    const own = await Gateway.dev();
    try {
      await onConsole(
        async (page) => {
          await panel(page, 'Figures');
          const tile = (name) => page.locator('.tile', { has: page.getByText(name, { exact: true }) }).locator('dd').first();
          const figure = async (name) => Number((await tile(name).innerText()).replace(/[^0-9.]/g, ''));
          await until('the page counts itself', async () => (await figure('Connections')) === 1);
          const visitors = await Promise.all(Array.from({ length: 5 }, (_, index) => stranger(`figure-${index}`, ['team:figures'], own)));
          await until('they are counted', async () => (await figure('Connections')) === 6);
          assert.equal(await figure('Rooms'), 1);
          const event = { type: 'build.finished', payload: {}, rooms: ['team:figures'] };
          const publishing = setInterval(() => own.publish(event).catch(() => {}), 50);
          await until('there is a rate', async () => (await figure('Delivered')) > 0);
          clearInterval(publishing);
          for (const name of ['Published', 'Queued', 'Latency, median', 'Dropped', 'Recovered', 'Gaps', 'Rate limited', 'Errors', 'Uptime']) {
            assert.equal(await page.getByText(name, { exact: true }).count(), 1, name);
          }
          const closed = page.getByRole('region', { name: 'Closed connections' });
          await closed.getByText('None was closed yet.').waitFor();
          visitors.forEach(({ socket }) => socket.close(1000));
          await closed.getByRole('listitem').filter({ hasText: /1000 normal\s*5/ }).waitFor();
        },
        { of: own },
      );
    } finally {
      await own.stop();
    }
  });
}
