// Commands of a page, run as a reader would run them.
//
// Owns what is put in place of what stands on the page, and nothing else is changed: `cargo run` becomes the built binary
// (the test has built it), port 3001 the port that the gateway took (3001 may be in use where the tests run), and
// `roomcast` on the path is the built binary too. `ROOMCAST_URL` tells the commands the port that the page does not need to name.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

import { until, within } from '../support/waiting.mjs';

const PAGE_ADDRESS = '127.0.0.1:3001';

/** A folder to run in, with a gateway when one was started. */
export class Shell {
  #running = [];
  /** Variables that commands see beside those of the system. */
  variables = {};

  constructor() {
    assert.ok(process.env.ROOMCAST_BIN, 'ROOMCAST_BIN names the built binary; `cargo xtask test` sets it');
    this.folder = mkdtempSync(join(tmpdir(), 'readme-'));
    const bin = join(this.folder, 'bin');
    mkdirSync(bin);
    symlinkSync(process.env.ROOMCAST_BIN, join(bin, 'roomcast'));
    // Settings of the machine that runs the tests stay out.
    this.variables = { PATH: bin + delimiter + process.env.PATH, TMPDIR: tmpdir() };
  }

  /** The text with the gateway's address in place of the page's. */
  adapt(text) {
    const commands = text.replaceAll('cargo run -q --', 'roomcast').replaceAll('cargo run', 'roomcast');
    return this.address ? commands.replaceAll(PAGE_ADDRESS, this.address) : commands;
  }

  /** Starts a command that goes on. */
  start(text, variables = {}) {
    const command = new Running(this, ['bash', '-c', `exec ${this.adapt(text)}`], variables);
    this.#running.push(command);
    return command;
  }

  /** Runs a program of Node that goes on, with the WebSocket that a page has. */
  startPage(text) {
    const page = new Running(this, [process.execPath, '--import', new URL('browser.mjs', import.meta.url).href, '--input-type=module', '--eval', this.adapt(text)]);
    this.#running.push(page);
    return page;
  }

  /** Runs commands to their end; answers what they printed, and keeps `TOKEN` for later ones. */
  async run(text, variables = {}) {
    const kept = '\nif [ -n "${TOKEN:-}" ]; then echo "TOKEN=$TOKEN" >&2; fi\n';
    const command = new Running(this, ['bash', '-euo', 'pipefail', '-c', this.adapt(text) + kept], variables);
    const { code } = await command.end();
    assert.equal(code, 0, `${text}\n${command.errors.join('\n')}`);
    const token = command.errors.findLast((line) => line.startsWith('TOKEN='));
    if (token) this.variables.TOKEN = token.slice('TOKEN='.length);
    return command.lines.join('\n');
  }

  /** Starts the gateway by the page's command. */
  async startGateway(text) {
    this.gateway = this.start(text, { PORT: '0' });
    await until('the gateway says where it listens', () => this.gateway.lines.length > 0 || this.gateway.hasEnded);
    const found = /^roomcast listening on http:\/\/(\S+)$/.exec(this.gateway.lines[0] ?? '');
    assert.ok(found, [...this.gateway.lines, ...this.gateway.errors].join('\n'));
    this.address = found[1];
    this.variables.ROOMCAST_URL = `http://${this.address}`;
  }

  async close() {
    this.#running.forEach((command) => command.kill('SIGKILL'));
    await Promise.all(this.#running.map((command) => command.end()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

class Running {
  /** Lines on standard output and on standard error, so far. */
  lines = [];
  errors = [];
  hasEnded = false;
  #child;
  #end;

  constructor(shell, [program, ...parameters], variables = {}) {
    const env = { ...shell.variables, ...variables };
    this.#child = spawn(program, parameters, { cwd: shell.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.lines.push(line));
    createInterface({ input: this.#child.stderr }).on('line', (line) => this.errors.push(line));
    this.#end = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        this.hasEnded = true;
        resolve({ code, signal });
      });
    });
  }

  /** Waits for a line on either output that has the text. */
  said(text) {
    return until(`it says ${text}`, () => {
      const line = [...this.lines, ...this.errors].find((line) => line.includes(text));
      assert.ok(line || !this.hasEnded, `ended without ${text}:\n${[...this.lines, ...this.errors].join('\n')}`);
      return line;
    });
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  end() {
    return within('the end of a command', this.#end);
  }
}
