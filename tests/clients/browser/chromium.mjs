// A real Chromium, without a window, and pages that tell on themselves.
//
// Owns what every page is held to: no error on its console but those that the test expects, and no request to any other
// host than this one.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

import { DEADLINE_MS, until, within } from '../support/waiting.mjs';

/** No window, no sandbox (the tests may run as root), no GPU, and nothing that talks to its maker. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

function executable() {
  assert.ok(process.env.CHROMIUM, 'CHROMIUM names the browser; `cargo xtask test` sets it');
  return process.env.CHROMIUM;
}

/** Starts the browser that `CHROMIUM` names, with an empty profile. */
export function launch() {
  return chromium.launch({ executablePath: executable(), args: FLAGS, timeout: 3 * DEADLINE_MS });
}

/**
 * Starts it as people have it. Playwright switches the back-forward cache off, and has every page seen and focused; here pages
 * are tabs of one window, of which one is seen.
 */
export async function launchOrdinary() {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const flags = [...FLAGS, '--headless', '--no-first-run', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
  const child = spawn(executable(), flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  process.once('exit', () => child.kill('SIGKILL'));
  const address = new Promise((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const [, found] = /^DevTools listening on (\S+)$/.exec(line) ?? [];
      if (found) resolve(found);
    });
  });
  const browser = await chromium.connectOverCDP(await within('the address of the browser', address), { noDefaults: true });
  const [tabs] = browser.contexts();
  return {
    /** What a test takes for a context: the tabs that it opens, and no others. */
    async newContext() {
      const opened = [];
      return {
        async newPage() {
          const page = await tabs.newPage();
          opened.push(page);
          return page;
        },
        close: () => Promise.all(opened.map((page) => page.close())),
      };
    },
    async close() {
      await browser.close();
      child.kill('SIGKILL');
      await ended;
      // Processes that it has started outlive it by a moment, and still write.
      await until('its profile is gone', () => {
        try {
          rmSync(profile, { recursive: true, force: true });
          return true;
        } catch (error) {
          if (error.code === 'ENOTEMPTY') return false;
          throw error;
        }
      });
    },
  };
}

/** A web server with one page; its origin is its own. */
export class Site {
  #server;
  /** What the page's script is. */
  script = '';

  static async open() {
    const site = new Site();
    site.#server = createServer((request, response) => site.#answer(request, response));
    await once(site.#server.listen(0, '127.0.0.1'), 'listening');
    site.origin = `http://localhost:${site.#server.address().port}`;
    return site;
  }

  #answer(request, response) {
    if (request.url === '/application.js') {
      response.writeHead(200, { 'content-type': 'text/javascript; charset=utf-8' }).end(this.script);
    } else {
      // The empty icon keeps the browser from asking for one.
      const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
        <div id="root"></div><script src="/application.js"></script>`;
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html);
    }
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/**
 * Runs a test on a fresh page of the site; afterwards the page must have been as quiet as expected. `prepare` gets the page
 * before there is anything on it.
 */
export async function onPage(browser, site, expectedErrors, test, prepare = () => {}) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await prepare(page);
    page.setDefaultTimeout(DEADLINE_MS);
    const [errors, hosts] = [[], new Set()];
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    for (const kind of ['request', 'websocket']) page.on(kind, (request) => hosts.add(new URL(request.url()).hostname));
    await page.goto(site.origin);
    await test(page);
    const unexpected = errors.filter((error) => !expectedErrors.some((pattern) => pattern.test(error)));
    assert.deepEqual(unexpected, [], 'no error on the console that was not expected');
    for (const pattern of expectedErrors) assert.ok(errors.some((error) => pattern.test(error)), `${pattern} is told`);
    for (const own of ['localhost', '127.0.0.1', new URL(site.origin).hostname]) hosts.delete(own);
    assert.deepEqual([...hosts], [], 'no request to any other host');
  } finally {
    await context.close();
  }
}
