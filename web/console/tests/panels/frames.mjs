// Frames: what passes the socket, and a frame of one's own.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { gateway, lines, onConsole } from '../harness.mjs';
import { panel } from '../scene.mjs';

export default function () {
  it('shows the frames of both directions, sends one as it stands, and hides a token in it', () =>
    onConsole(async (page) => {
      await panel(page, 'Frames');
      await lines(page).filter({ hasText: 'connection.ack' }).first().waitFor();
      const send = async (text) => {
        await page.getByLabel('A frame of your own').fill(text);
        await page.getByRole('button', { name: 'Send' }).click();
      };
      await send('{"action":"subscribe","id":"mine","rooms":["team:frames"]}');
      await lines(page).filter({ hasText: '"replyTo":"mine"' }).waitFor();
      await gateway.members('team:frames', 1);
      await send('{"action":"authenticate","token":"a.secret.token"}');
      await lines(page).filter({ hasText: 'UNAUTHORIZED' }).waitFor();
      await page.getByLabel('A frame of your own').fill('');
      const sent = lines(page).filter({ hasText: '"authenticate"' });
      assert.match(await sent.innerText(), /↑[^]*\$TOKEN/);
      assert.doesNotMatch(await page.locator('main').innerText(), /secret/);
      await page.getByLabel('Filter frames').fill('received pong');
      await page.getByText('Nothing fits the filter.').waitFor();
    }));

  it('opens, holds and clears the log of frames', () =>
    onConsole(async (page) => {
      await panel(page, 'Frames');
      const ping = async (id) => {
        await page.getByLabel('A frame of your own').fill(`{"type":"ping","id":"${id}"}`);
        await page.getByRole('button', { name: 'Send' }).click();
      };
      const answered = (id) => lines(page).filter({ hasText: `"replyTo":"${id}"` });
      await ping('first');
      await answered('first').getByRole('button').click();
      assert.equal(JSON.parse(await answered('first').locator('pre').textContent()).replyTo, 'first');
      await page.getByRole('button', { name: 'Pause' }).click();
      await ping('second');
      await page.getByText('paused, 2 new').waitFor();
      assert.equal(await answered('second').count(), 0);
      await page.getByRole('button', { name: 'Resume' }).click();
      await answered('second').waitFor();
      await page.getByRole('button', { name: 'Clear' }).click();
      await page.getByText('No frame has passed yet.').waitFor();
    }));
}
