// The task as a user runs it: it starts everything, says where, and leaves nothing behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch, onPage } from '../../../tests/clients/browser/chromium.mjs';
import { until } from '../../../tests/clients/support/waiting.mjs';
import { create, card, pane, ready } from './stage.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The task looks whether everything is built, which on a busy machine takes longer than other things. */
const PATIENCE_MS = 120_000;

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

/** `cargo xtask demo`, in a process group of its own as a terminal makes one. */
class Command {
  said = [];
  complaints = [];

  constructor(options) {
    // What describes the package of the task that runs the tests is not for another cargo.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^CARGO_(PKG|MANIFEST)_/.test(name)));
    this.child = spawn(process.env.CARGO ?? 'cargo', ['xtask', 'demo', ...options], { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    process.once('exit', () => this.#signal('SIGTERM'));
    createInterface({ input: this.child.stdout }).on('line', (line) => this.said.push(line));
    createInterface({ input: this.child.stderr }).on('line', (line) => this.complaints.push(line));
    this.ended = once(this.child, 'close').then(([code]) => (this.code = code));
  }

  #signal(name) {
    try {
      process.kill(-this.child.pid, name);
    } catch {
      // It has ended.
    }
  }

  /** What a terminal does at Ctrl-C: every process of the group hears of it. */
  interrupt() {
    this.#signal('SIGINT');
  }

  /** The address that it prints. */
  async address() {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = this.said.map((line) => /^the demo is at (http:\/\/\S+) until Ctrl-C$/.exec(line)?.[1]).find(Boolean);
      if (found) return found;
      assert.equal(this.code, undefined, this.complaints.join('\n'));
      assert.ok(Date.now() < deadline, this.said.join('\n'));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The processes that it has started and that run now, by their name. */
  children() {
    const found = {};
    for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const stat = status(id);
      if (stat && stat.parent === this.child.pid) found[stat.name] = Number(id);
    }
    return found;
  }
}

/** Name and parent of a process that runs. */
function status(id) {
  try {
    const [, name, state, parent] = /^\d+ \((.*)\) (\S) (\d+)/s.exec(readFileSync(`/proc/${id}/stat`, 'utf8'));
    return state === 'Z' ? undefined : { name, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

const gone = (ids) => until('all processes have ended', () => ids.every((id) => !status(id)));

describe('cargo xtask demo', () => {
  it('starts everything, prints one address, and ends all of it at Ctrl-C', async () => {
    // As its page has it, but for the port, which another test or program may have.
    assert.match(readFileSync(`${root}docs/demo.md`, 'utf8'), /^```sh\ncargo xtask demo\n```$/m);
    const command = new Command(['--port', '0']);
    const address = await command.address();
    const started = command.children();
    assert.deepEqual(Object.keys(started).sort(), ['roomcast', 'roomcast-demo']);
    await onPage(browser, { origin: address }, [], async (page) => {
      await ready(page);
      await create(pane(page, 'Ann'), 'Made by a visitor');
      await card(pane(page, 'Ben'), 'DEMO-5').waitFor();
    });
    assert.equal(command.said.filter((line) => line.includes('http://')).length, 1);
    command.interrupt();
    assert.equal(await command.ended.then(() => command.code), 0, command.complaints.join('\n'));
    await gone(Object.values(started));
  });

  for (const [victim, name] of [['roomcast', 'the gateway'], ['roomcast-demo', 'the back end']]) {
    it(`ends with a word when ${name} has ended`, async () => {
      const command = new Command(['--port', '0']);
      await command.address();
      const started = command.children();
      process.kill(started[victim], 'SIGKILL');
      await command.ended;
      assert.equal(command.code, 1);
      assert.ok(command.complaints.some((line) => line.startsWith(`error: ${name} has ended (signal: 9`)), command.complaints.join('\n'));
      await gone(Object.values(started));
    });
  }

  it('says which port is taken, and by which option to choose another', async () => {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address();
    for (const option of ['--port', '--gateway-port']) {
      const command = new Command(option === '--port' ? [option, `${port}`] : ['--port', '0', option, `${port}`]);
      await command.ended;
      assert.equal(command.code, 1);
      assert.match(command.complaints.join('\n'), new RegExp(`^error: port ${port} cannot be had .* choose another one by ${option}, or 0`, 'm'));
    }
    server.close();
  });
});
