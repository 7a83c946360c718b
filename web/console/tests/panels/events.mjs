// Events: rooms that are joined and left, and what is heard there.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { counts, gateway, lines, onConsole, publish, stranger } from '../harness.mjs';
import { become, join, panel, show } from '../scene.mjs';

export default function () {
  it('shows a room with its position and who is there, and leaves it', () =>
    onConsole(async (page) => {
      await become(page, 'rooms-ann');
      await join(page, 'team:rooms');
      await show(page, 'console');
      await join(page, 'team:rooms');
      const rooms = page.getByRole('region', { name: 'Rooms', exact: true });
      await rooms.getByText('rooms-ann').waitFor();
      await rooms.getByText(/^[0-9a-z]+:0$/).waitFor();
      await publish('team:rooms');
      await rooms.getByText(/^[0-9a-z]+:1$/).waitFor();
      await gateway.members('team:rooms', 2);
      await rooms.getByRole('button', { name: 'Leave team:rooms' }).click();
      await gateway.members('team:rooms', 1);
      await rooms.getByText('In no room yet.').waitFor();
    }));

  it('joins a room that somebody else is in, from the list of this node', () =>
    onConsole(async (page) => {
      const { socket } = await stranger('lister', ['project:listed']);
      const others = page.getByRole('region', { name: 'Rooms on this node' });
      await others.getByRole('button', { name: 'Refresh' }).click();
      await others.getByRole('button', { name: 'Join project:listed' }).click();
      await gateway.members('project:listed', 2);
      socket.close();
    }));

  it('lists a room that this page has just joined', () =>
    onConsole(async (page) => {
      const others = page.getByRole('region', { name: 'Rooms on this node' });
      // The list is not to be asked for before the gateway knows.
      await page.evaluate(() => {
        const { send } = WebSocket.prototype;
        WebSocket.prototype.send = function (text) {
          setTimeout(() => send.call(this, text), 1_000);
        };
      });
      await join(page, 'team:mine');
      await others.getByRole('listitem').filter({ hasText: 'team:mine' }).getByText('joined').waitFor();
    }));

  it('joins a room unseen by those who are there, when that is wanted', () =>
    onConsole(async (page) => {
      await become(page, 'unseen-ann');
      await join(page, 'team:unseen');
      await show(page, 'console');
      const rooms = page.getByRole('region', { name: 'Rooms', exact: true });
      await rooms.getByLabel('be seen there').uncheck();
      await join(page, 'team:unseen');
      await gateway.members('team:unseen', 2);
      assert.equal(await rooms.getByRole('list', { name: 'Present' }).count(), 0);
      await show(page, 'unseen-ann');
      assert.deepEqual(await rooms.getByRole('list', { name: 'Present' }).getByRole('listitem').allInnerTexts(), ['unseen-ann']);
    }));

  it('lists the rooms of this node a hundred at a time', async () => {
    // One of its own, whose rooms are known.
    const own = await Gateway.dev();
    try {
      const names = Array.from({ length: 120 }, (_, index) => `team:${String(index).padStart(3, '0')}`);
      await stranger('collector', names, own);
      await onConsole(
        async (page) => {
          const others = page.getByRole('region', { name: 'Rooms on this node' });
          await counts(others.getByRole('listitem'), 100);
          await others.getByRole('button', { name: 'More' }).click();
          await counts(others.getByRole('listitem'), 120);
          assert.deepEqual(await others.locator('li .mono').allInnerTexts(), names);
          assert.equal(await others.getByRole('button', { name: 'More' }).count(), 0);
        },
        { of: own },
      );
    } finally {
      await own.stop();
    }
  });

  it('says why a room is denied', () =>
    onConsole(async (page) => {
      await become(page, 'denied-ann', '{"team:*":["subscribe"]}');
      await panel(page, 'Events');
      const rooms = page.getByRole('region', { name: 'Rooms', exact: true });
      await rooms.getByLabel('Room').fill('issue:secret');
      await rooms.getByRole('button', { name: 'Join' }).click();
      await rooms.getByText('denied: FORBIDDEN').waitFor();
      await rooms.getByLabel('Room').fill('nothing:known');
      await rooms.getByRole('button', { name: 'Join' }).click();
      const told = lines(page).getByText('denied: INVALID_ROOM');
      await told.waitFor();
      assert.ok(await told.evaluate((element) => element.scrollWidth <= element.clientWidth), 'it can be read to its end');
    }));

  it('filters, holds, opens and clears the log of events, and shows how long they took', () =>
    onConsole(async (page) => {
      await join(page, 'team:log');
      for (const name of ['first', 'second']) await publish('team:log', { name });
      await page.getByText('"second"').waitFor();
      await counts(lines(page), 3);
      assert.match(await lines(page).first().innerText(), /build\.finished[^]*team:log[^]*second[^]*\d ms/);
      await page.getByLabel('Filter events').fill('FIRST');
      await page.getByText('1 of 3 fit').waitFor();
      await counts(lines(page), 1);
      await page.getByLabel('Filter events').fill('');
      const line = lines(page).first().getByRole('button');
      await line.click();
      assert.equal(await line.getAttribute('aria-expanded'), 'true');
      assert.equal(JSON.parse(await lines(page).first().locator('pre').textContent()).payload.name, 'second');
      await page.getByRole('button', { name: 'Pause' }).click();
      await publish('team:log', { name: 'third' });
      await page.getByText('paused, 1 new').waitFor();
      await counts(lines(page), 3);
      await page.getByRole('button', { name: 'Resume' }).click();
      await page.getByText('"third"').waitFor();
      await page.getByRole('button', { name: 'Clear' }).click();
      await page.getByText('Nothing has happened in these rooms yet').waitFor();
    }));

  it('keeps a thousand entries of what comes, and no more', () =>
    onConsole(async (page) => {
      await join(page, 'team:flood');
      const event = (index) => ({ type: 'build.finished', payload: { index }, rooms: ['team:flood'] });
      await gateway.call('POST', '/api/v1/events', { events: Array.from({ length: 1000 }, (_, index) => event(index)) });
      await publish('team:flood', { index: 'last' });
      await page.getByText('"last"').waitFor();
      await page.getByText('1,000 kept · the newest 250 shown · 1,002 since the start').waitFor();
      await counts(lines(page), 250);
    }));

  it('shows what an event holds as text, whatever it holds', () =>
    onConsole(async (page) => {
      await join(page, 'team:hostile');
      const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
      await publish('team:hostile', { [hostile]: hostile });
      await page.getByText('onerror').first().waitFor();
      await lines(page).first().getByRole('button').click();
      assert.ok((await lines(page).first().locator('pre').textContent()).includes('<script>'));
      const made = await page.evaluate(() => [document.querySelectorAll('#console img, #console script').length, document.title]);
      assert.deepEqual(made, [0, 'Roomcast console']);
    }));
}
