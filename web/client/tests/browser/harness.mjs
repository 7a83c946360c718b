// A page with a client, over a network that the test has in its hand.
//
// Owns what the tests of the client and of its hooks share: the browser, the gateway, the relay between the two, and the
// page's questions for tokens.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { launch, onPage, Site } from '../../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { Relay } from '../../../../tests/clients/support/relay.mjs';
import { token } from '../../../../tests/clients/support/tokens.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';

/** The page's script, as one file. */
export async function script(name, options = {}) {
  const entryPoints = [fileURLToPath(new URL(name, import.meta.url))];
  const { outputFiles } = await build({ entryPoints, bundle: true, write: false, format: 'iife', ...options });
  return outputFiles[0].text;
}

/** A browser, a site, and a gateway that allows it. */
export class Harness {
  static async start(settings = {}, browser = launch()) {
    const harness = new Harness();
    [harness.browser, harness.site] = await Promise.all([browser, Site.open()]);
    harness.settings = {
      FRONTEND_URL: harness.site.origin,
      ROOM_ACCESS: 'open',
      AUTH_ATTEMPTS_PER_MINUTE: '1000',
      MESSAGES_PER_MINUTE: '10000',
      PRESENCE_GRACE: '1s',
      ...settings,
    };
    harness.gateway = await Gateway.serve(harness.settings);
    return harness;
  }

  async stop() {
    await this.browser?.close();
    this.site?.close();
    await this.gateway?.stop();
  }

  /** A page with a client of the user, over a relay of its own. */
  async withClient({ user = 'ann', errors = [], options = {}, tokens = () => token(user), prepare }, test) {
    const relay = await Relay.to(this.gateway.address);
    const requests = [];
    const sent = [];
    const prepared = async (page) => {
      await page.exposeFunction('nextToken', (request) => {
        requests.push(request);
        return tokens(requests.length);
      });
      page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(JSON.parse(payload))));
      await prepare?.(page);
    };
    try {
      await onPage(this.browser, this.site, errors, async (page) => {
        const start = (more = {}) => page.evaluate((options) => window.start(options), { url: `ws://${relay.address}/ws`, ...options, ...more });
        await start();
        await test({ page, relay, requests, sent, start });
      }, prepared);
    } finally {
      relay.drop();
      relay.close();
    }
  }
}

/** A refused or lost connection is told on the console by Chromium itself. */
export const LOST = /WebSocket connection to .* failed/;

export const status = (page, wanted) => page.waitForFunction((wanted) => window.client.state.status === wanted, wanted);
export const state = (page) => page.evaluate(() => window.client.state);
export const listen = (page, room) => page.evaluate((room) => window.listen(room), room);

/** What the page has heard, in short. */
export const heard = (page) =>
  page.evaluate(() => window.heard.map(({ type, payload, recovered, reason }) => payload?.id ?? [type, recovered ?? reason].filter((part) => part !== undefined).join(' ')));

export async function hears(page, expected) {
  await until(`the page hears ${expected}`, async () => (await heard(page)).length >= expected.length);
  assert.deepEqual(await heard(page), expected);
}
