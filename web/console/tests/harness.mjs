// The console as the tests have it: a browser, a gateway in `dev`, and other people on it.
//
// Owns what every page is held to: nothing styled or stored by a script, no cookie, no query.

import assert from 'node:assert/strict';
import { once } from 'node:events';

import WebSocket from 'ws';

import { launch, onPage } from '../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../tests/clients/support/gateway.mjs';
import { token } from '../../../tests/clients/support/tokens.mjs';
import { until } from '../../../tests/clients/support/waiting.mjs';
import { Controls } from './controls.mjs';
import { panel } from './scene.mjs';

export const PANELS = ['Events', 'Frames', 'Publish', 'Figures', 'Connections', 'Access', 'Identities'];

let browser;
/** The gateway that most tests share. */
export let gateway;
/** What of the page's controls the tests have pressed. */
export let controls;

export async function start() {
  [browser, gateway, controls] = await Promise.all([
    launch(),
    Gateway.dev({ MESSAGES_PER_MINUTE: '10000', PRESENCE_GRACE: '1s' }),
    Controls.of('src/main.tsx'),
  ]);
}

export async function stop() {
  await browser?.close();
  await gateway?.stop();
}

/** Runs a test on a fresh console, which is connected already. Its controls are watched unless it `isServed` as it is. */
export const onConsole = (test, { of = gateway, errors = [], isConnected = true, isServed = false } = {}) => {
  const held = async (page) => {
    if (isConnected) await page.getByRole('banner').getByText('open', { exact: true }).waitFor();
    await test(page);
    const left = await page.evaluate(() => ({
      styled: document.querySelectorAll('[style]').length,
      stored: localStorage.length + sessionStorage.length,
      cookies: document.cookie,
      query: location.search,
    }));
    assert.deepEqual(left, { styled: 0, stored: 0, cookies: '', query: '' });
  };
  return onPage(browser, { origin: `${of.url}/console/` }, errors, held, (page) => isServed || controls.watch(page));
};

export const lines = (page) => page.locator('.lines > li');
/** What is pressed is drawn a moment later. */
export const counts = (locator, wanted) => until(`there are ${wanted}`, async () => (await locator.count()) === wanted);
export const publish = (room, payload = {}) => gateway.publish({ type: 'build.finished', payload, rooms: [room] });

/** A connection of somebody else, which says what became of it. */
export async function stranger(user, rooms = [], of = gateway) {
  const socket = new WebSocket(of.webSocketUrl, ['roomcast.v1', `roomcast.bearer.${token(user)}`]);
  const heard = [];
  const closed = once(socket, 'close').then(([code]) => code);
  socket.on('message', (data) => heard.push({ at: Date.now(), ...JSON.parse(data) }));
  socket.on('error', () => {});
  await until('it is let in', () => heard.some(({ type }) => type === 'connection.ack'));
  if (rooms.length) socket.send(JSON.stringify({ action: 'subscribe', rooms }));
  await until('it is in its rooms', () => !rooms.length || heard.some(({ type }) => type === 'subscription.ack'));
  return { socket, heard, closed, id: heard[0].payload.connectionId };
}

/** The row of a connection in the table. */
export async function row(page, id) {
  await panel(page, 'Connections');
  const found = page.getByRole('row').filter({ hasText: id });
  await found.waitFor();
  return found;
}
