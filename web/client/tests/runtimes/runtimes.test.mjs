// The same conversation in Node, Bun, Deno and a browser's dedicated worker, against the real gateway.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch, onPage, Site } from '../../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { Relay } from '../../../../tests/clients/support/relay.mjs';
import { token } from '../../../../tests/clients/support/tokens.mjs';
import { until, within } from '../../../../tests/clients/support/waiting.mjs';
import { script } from '../browser/harness.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PROGRAM = here('program.mjs');

/** What runs the program, and by which options: it may reach the network and read what it is told, and nothing else. */
const RUNTIMES = {
  Node: [process.execPath, PROGRAM],
  Bun: [here('node_modules/.bin/bun'), PROGRAM],
  Deno: [here('node_modules/.bin/deno'), 'run', '--no-prompt', '--no-remote', '--allow-net=127.0.0.1', '--allow-env', PROGRAM],
};

let gateway;
let site;
let browser;

before(async () => {
  [site, browser] = await Promise.all([Site.open(), launch()]);
  site.script = await script('../runtimes/worker.mjs');
  gateway = await Gateway.serve({ FRONTEND_URL: site.origin });
});

after(async () => {
  await browser?.close();
  site?.close();
  await gateway?.stop();
});

/** Words as they were said, without the tries of a while that was. */
const told = (words) => words.map((word) => JSON.parse(word).filter((part) => part !== null).join(' ')).filter((word, index, all) => word !== all[index - 1]);

/** Plays what happens around the conversation; `begin` starts it, and gives what it says as it says it. */
async function play(room, begin) {
  const relay = await Relay.to(gateway.address);
  const grants = { [room]: ['subscribe', 'publish:custom.event'] };
  const publish = (text) => gateway.publish({ type: 'custom.event', payload: { text }, rooms: [room], userId: 'backend' });
  try {
    const words = await begin({ url: `ws://${relay.address}/ws`, token: token('ann', { grants }), room });
    const says = (word) => until(`it says ${word}: ${words.join('\n')}`, () => told(words).includes(word));
    await says('subscribed');
    await publish('first');
    await says('heard custom.event first backend');
    await publish('speak');
    await says(`published spoken ${room}`);
    relay.cut();
    // Twice in vain, at least: so it has lost the network, and not only a connection.
    await says('refused');
    await publish('missed');
    relay.mend();
    await says('heard custom.event missed backend');
    await publish('last');
    await says('closed');
    assert.deepEqual(told(words), [
      'connecting',
      'open',
      'subscribed',
      'heard custom.event first backend',
      'heard custom.event speak backend',
      `published spoken ${room}`,
      'reconnecting',
      'refused',
      'open',
      'recovered 1',
      'heard custom.event missed backend',
      'heard custom.event last backend',
      'closed',
    ]);
  } finally {
    relay.drop();
    relay.close();
  }
}

describe('the SDK', () => {
  for (const [name, [command, ...parameters]] of Object.entries(RUNTIMES)) {
    it(`talks with the gateway in ${name}, and leaves nothing that would keep the program`, async () => {
      let child;
      const errors = [];
      try {
        await play(`team:${name.toLowerCase()}`, (conversation) => {
          const env = { PATH: process.env.PATH, HOME: tmpdir(), DENO_DIR: tmpdir(), DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1', CONVERSATION: JSON.stringify(conversation) };
          child = spawn(command, parameters, { env, stdio: ['ignore', 'pipe', 'pipe'] });
          child.exit = new Promise((resolve, reject) => child.once('error', reject).once('exit', (...how) => resolve(how)));
          const words = [];
          createInterface({ input: child.stdout }).on('line', (line) => words.push(line));
          createInterface({ input: child.stderr }).on('line', (line) => errors.push(line));
          return words;
        });
        assert.deepEqual(await within('its end', child.exit), [0, null]);
        assert.deepEqual(errors, []);
      } catch (error) {
        error.message += `\n${errors.join('\n')}`;
        throw error;
      } finally {
        child?.kill('SIGKILL');
      }
    });
  }

  it("talks with the gateway in a browser's dedicated worker", () => {
    const words = [];
    const prepare = (page) => page.exposeFunction('say', (word) => void words.push(word));
    const test = (page) =>
      play('team:worker', async (conversation) => {
        await page.evaluate((conversation) => {
          window.worker = new Worker('/application.js');
          window.worker.onmessage = ({ data }) => window.say(data);
          window.worker.postMessage(conversation);
        }, conversation);
        return words;
      });
    return onPage(browser, site, [], test, prepare);
  });
});
