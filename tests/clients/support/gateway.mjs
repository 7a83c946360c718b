// A gateway of the built binary, on a free port.
//
// Owns the process and what it wrote. A gateway that is stopped must have ended well, and must not have logged a token.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { backend, SECRET, signed } from './tokens.mjs';
import { DEADLINE_MS, until, within } from './waiting.mjs';

/** Of the environment, what a program needs to run. Settings of the machine that runs the tests stay out. */
const INHERITED = ['PATH', 'TMPDIR', 'LD_LIBRARY_PATH', 'LLVM_PROFILE_FILE'];

export class Gateway {
  #process;
  #exit;
  /** Lines of the log, so far. */
  log = [];

  /** Starts `roomcast serve` with these settings beside the tests' secret, and waits until it listens. */
  static serve(settings = {}) {
    return Gateway.#start(['serve'], settings);
  }

  /** The same with `roomcast dev`. */
  static dev(settings = {}) {
    return Gateway.#start(['dev'], settings);
  }

  static async #start(command, settings) {
    assert.ok(process.env.ROOMCAST_BIN, 'ROOMCAST_BIN names the built binary; `cargo xtask test` sets it');
    const inherited = Object.fromEntries(INHERITED.map((name) => [name, process.env[name]]));
    const env = { ...inherited, RUST_LOG: 'debug', PORT: '0', JWT_SECRET: SECRET, ...settings };
    const gateway = new Gateway(spawn(process.env.ROOMCAST_BIN, command, { env, stdio: ['ignore', 'pipe', 'pipe'] }));
    try {
      await gateway.#listening();
    } catch (error) {
      gateway.#process.kill('SIGKILL');
      throw error;
    }
    return gateway;
  }

  constructor(child) {
    this.#process = child;
    this.#exit = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    // A test that fails between start and stop leaves nothing running.
    process.once('exit', () => child.kill('SIGKILL'));
    createInterface({ input: child.stderr }).on('line', (line) => this.log.push(line));
  }

  async #listening() {
    const lines = createInterface({ input: this.#process.stdout });
    const first = new Promise((resolve) => lines.once('line', resolve));
    const ended = this.#exit.then(({ code }) => assert.fail(`ended at once with ${code}:\n${this.log.join('\n')}`));
    const line = await within('the first line', Promise.race([first, ended]));
    ended.catch(() => {});
    const found = /^roomcast listening on http:\/\/([^/]+)$/.exec(line);
    assert.ok(found, `the first line says where: ${line}`);
    /** Host and port. */
    this.address = found[1];
    lines.on('line', (more) => this.log.push(more));
  }

  get url() {
    return `http://${this.address}`;
  }

  get webSocketUrl() {
    return `ws://${this.address}/ws`;
  }

  /** Calls the HTTP API as the back end does. */
  async call(method, path, body) {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${backend()}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const answer = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${answer}`);
    return answer && JSON.parse(answer);
  }

  publish(event) {
    return this.call('POST', '/api/v1/events', event);
  }

  async stats() {
    return (await this.call('GET', '/api/v1/ws/stats')).data.stats;
  }

  /** Waits until as many connections are in the room. */
  members(room, count) {
    return until(`${count} are in ${room}`, async () => ((await this.stats()).clientsPerRoom[room] ?? 0) === count);
  }

  /** Waits for a line of the log. */
  logged(pattern) {
    return until(`the log has ${pattern}`, () => this.log.find((line) => pattern.test(line)));
  }

  /** Ends it as a crash does. */
  async kill() {
    this.#process.kill('SIGKILL');
    await this.#exit;
  }

  /** Stops it as an operator does: it drains and ends with 0. */
  async stop() {
    this.#process.kill('SIGTERM');
    // What does not end by itself is ended before that is reported: the runner waits for every process.
    const overdue = setTimeout(() => this.#process.kill('SIGKILL'), DEADLINE_MS);
    const exit = await this.#exit;
    clearTimeout(overdue);
    assert.deepEqual(exit, { code: 0, signal: null }, this.log.join('\n'));
    const told = this.log.filter((line) => [SECRET, ...signed].some((secret) => line.includes(secret)));
    assert.deepEqual(told, [], 'no token and no secret is logged');
  }
}
