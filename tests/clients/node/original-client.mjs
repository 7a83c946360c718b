// The original's client, made to run: transpiled, and given what its file takes for granted.
//
// The class itself is not touched. Two literals of its text are replaced: the address (the original hard-codes port
// 3001), and the token of the usage example at its end. What it takes from its surroundings is given: `WebSocket` is
// Node's `ws`, which records; the console and the two timers are the test's own.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import ts from 'typescript';
import { WebSocket } from 'ws';

import { until } from '../support/waiting.mjs';

const source = readFileSync(new URL('original-client.ts', import.meta.url), 'utf8');

/** `ws`, remembering what went in and out. */
class RecordingWebSocket extends WebSocket {
  static opened = [];
  received = [];
  sent = [];

  constructor(...args) {
    super(...args);
    this.constructor.opened.push(this);
    this.on('message', (data) => this.received.push(JSON.parse(data.toString())));
  }

  send(data, ...rest) {
    this.sent.push(JSON.parse(data));
    super.send(data, ...rest);
  }
}

/** Timers that go off when the test says so. */
class Timers {
  #waiting = new Set();

  set = (isRepeated) => (callback, delay) => {
    const timer = { callback, delay, isRepeated };
    this.#waiting.add(timer);
    return timer;
  };

  clear = (timer) => this.#waiting.delete(timer);

  /** How long the timers that wait were set to. */
  get delays() {
    return [...this.#waiting].map((timer) => timer.delay);
  }

  /** Lets those of this delay go off. */
  elapse(delay) {
    const due = [...this.#waiting].filter((timer) => timer.delay === delay);
    assert.notEqual(due.length, 0, `nothing waits for ${delay} ms`);
    for (const timer of due) {
      if (!timer.isRepeated) this.#waiting.delete(timer);
      timer.callback();
    }
  }
}

/** What the client writes to its console. */
class Console {
  lines = [];
  log = (...words) => this.lines.push(words);
  error = (...words) => this.lines.push(words);

  /** What was logged under this head, so far: the words behind it. */
  under(head) {
    return this.lines.filter((words) => words[0] === head).map((words) => words[1]);
  }

  /** Waits for a line that begins so, behind `count` of the same. */
  line(start, count = 0) {
    return until(`the client logs ${start}`, () => this.lines.filter(([word]) => word.startsWith(start))[count]);
  }
}

/** Runs the original's file: its last two lines make a client and connect it. */
export function run(address, token) {
  const text = replaceOnce(replaceOnce(source, 'localhost:3001', address), 'your-jwt-token', token);
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.None };
  const { outputText } = ts.transpileModule(text, { compilerOptions: options });
  const [console, timers] = [new Console(), new Timers()];
  const sockets = [];
  const webSocket = class extends RecordingWebSocket {
    static opened = sockets;
  };
  const given = {
    WebSocket: webSocket,
    console,
    setInterval: timers.set(true),
    setTimeout: timers.set(false),
    clearTimeout: timers.clear,
  };
  const client = new Function(...Object.keys(given), `${outputText}\nreturn client;`)(...Object.values(given));
  return { client, console, timers, sockets };
}

/** The types that the class logs under heads of their own; `default` takes the others. */
export const HEADS = {
  'connection.ack': '✅ Connection acknowledged',
  'issue.created': '🆕 New issue:',
  'issue.updated': '✏️ Issue updated:',
  'comment.created': '💬 New comment:',
  error: '❌ Error:',
  default: '📨 Unknown message:',
};

function replaceOnce(text, from, to) {
  assert.equal(text.split(from).length, 2, `${from} stands once in the original`);
  return text.replace(from, () => to);
}
