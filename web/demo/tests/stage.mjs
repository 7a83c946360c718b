// A demo of its own for each test: a gateway, the network between, and the back end with the page.
//
// Owns the processes, and the words for what the tests look at and press.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { onPage } from '../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../tests/clients/support/gateway.mjs';
import { Relay } from '../../../tests/clients/support/relay.mjs';
import { SECRET } from '../../../tests/clients/support/tokens.mjs';
import { until, within } from '../../../tests/clients/support/waiting.mjs';

/** As the task starts the gateway: a busy day is more than it keeps. */
const SETTINGS = { HISTORY_SIZE: '50' };

/** Chromium itself tells of a socket that could not be made, and of an answer that is an error. */
export const LOST = /WebSocket connection to .* failed/;
export const REFUSED = /Failed to load resource: the server responded with a status of 4/;

// Each process of each test is ended with this one.
process.setMaxListeners(100);

export class Demo {
  #backEnd;
  #exit;

  static async start() {
    const demo = new Demo();
    demo.gateway = await Gateway.dev(SETTINGS);
    demo.relay = await Relay.to(demo.gateway.address);
    const options = ['--port', '0', '--gateway', `http://${demo.relay.address}`, '--page', process.env.DEMO_PAGE];
    const env = { PATH: process.env.PATH, LLVM_PROFILE_FILE: process.env.LLVM_PROFILE_FILE, JWT_SECRET: SECRET };
    const child = spawn(process.env.DEMO_BIN, options, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    process.once('exit', () => child.kill('SIGKILL'));
    demo.#backEnd = child;
    demo.#exit = once(child, 'exit');
    const [line] = await within('the first line', once(createInterface({ input: child.stdout }), 'line'));
    demo.origin = /^demo listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1];
    assert.ok(demo.origin, line);
    return demo;
  }

  /** Ends the gateway as a crash does, and begins another one in its place. */
  async killGateway() {
    await this.gateway.kill();
    this.gateway = undefined;
    return async () => {
      this.gateway = await Gateway.dev(SETTINGS);
      this.relay.target = this.gateway.address;
    };
  }

  async stop() {
    this.#backEnd.kill('SIGTERM');
    const [code] = await within('the end of the back end', this.#exit);
    this.relay.drop();
    this.relay.close();
    await this.gateway?.stop();
    assert.equal(code, 0, 'the back end ends well');
  }
}

/** Runs a test on a page of a demo of its own, in which everybody who is shown is connected and has the board. */
export async function onDemo(browser, test, { errors = [], path = '/', prepare = () => {} } = {}) {
  const demo = await Demo.start();
  try {
    await onPage(
      browser,
      { origin: demo.origin + path },
      errors,
      async (page) => {
        await ready(page);
        const [ann, ben] = [pane(page, 'Ann'), pane(page, 'Ben')];
        await test({ demo, page, ann, ben });
        assert.equal(await page.locator('[style]').count(), 0, 'nothing is styled inline');
        const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]);
        assert.deepEqual(kept, [0, 0, ''], 'nothing is kept in the browser');
      },
      prepare,
    );
  } finally {
    await demo.stop();
  }
}

export const pane = (page, name) => page.getByRole('region', { name, exact: true });

/** Waits until each pane is connected, has the board and sees its own person. */
export async function ready(page) {
  await page.getByRole('region', { name: 'To do' }).first().waitFor();
  for (const one of await page.locator('#panes > section').all()) {
    await status(one, 'open');
    await one.getByRole('region', { name: 'To do' }).waitFor();
    const name = await one.getAttribute('aria-label');
    await one.getByRole('group', { name: 'Here' }).getByRole('img', { name: `${name} is here` }).waitFor();
  }
}

export const badge = (pane) => pane.getByRole('group', { name: 'Connection', exact: true });
export const status = (pane, text) => badge(pane).and(pane.page().getByText(text, { exact: typeof text === 'string' })).waitFor();
export const card = (pane, identifier) => pane.locator('.card').filter({ hasText: new RegExp(`${identifier}\\b`) });
export const column = (pane, name) => pane.getByRole('region', { name, exact: true });
export const inColumn = (pane, name, identifier) => card(column(pane, name), identifier).waitFor();
export const told = (pane, text) => pane.getByRole('log').getByText(text).first().waitFor();
export const press = (pane, name) => pane.getByRole('button', { name, exact: true }).click();
export const here = (pane, name) => pane.getByRole('group', { name: 'Here' }).getByRole('img', { name: `${name} is here` });

export async function create(pane, title, priority) {
  const form = pane.getByRole('form', { name: 'New issue' });
  await form.getByLabel('Title of the new issue').fill(title);
  if (priority) await form.getByLabel('Priority of the new issue').selectOption(priority);
  await form.getByRole('button', { name: 'Create' }).click();
}

/** Opens an issue from its card, and waits for its comments where they can be had. */
export async function open(pane, identifier) {
  await card(pane, identifier).locator('.title').click();
  const issue = pane.getByRole('article', { name: identifier });
  await issue.waitFor();
  await issue.getByText('Loading the comments…').waitFor({ state: 'detached' });
  return issue;
}

/** The board as a pane shows it: columns, cards in their order, and what they say. */
export const shown = (pane) => pane.locator('.column').evaluateAll((columns) => columns.map((column) => column.innerText));

/** Waits until both show the same. */
export const alike = (one, other) =>
  until('both show the same', async () => JSON.stringify(await shown(one)) === JSON.stringify(await shown(other)));
