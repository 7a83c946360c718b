// The original's React hook, unchanged, and plain pages, in a real Chromium.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { Gateway } from '../support/gateway.mjs';
import { CHANGE, COMMENT } from '../support/samples.mjs';
import { backend, sign, token } from '../support/tokens.mjs';
import { until } from '../support/waiting.mjs';
import { bundle } from './bundle.mjs';
import { launch, onPage, Site } from './chromium.mjs';

let browser;
let gateway;
/** The application's own site, which the gateway allows. */
let site;
/** Somebody else's site. */
let foreign;

before(async () => {
  [browser, site, foreign] = await Promise.all([launch(), Site.open(), Site.open()]);
  gateway = await Gateway.serve({
    FRONTEND_URL: `https://app.example.com,${site.origin}`,
    NODE_ENV: 'production',
    ROOM_ACCESS: 'open',
    // The pages of these tests share an address, and many bring bad tokens on purpose.
    AUTH_ATTEMPTS_PER_MINUTE: '1000',
  });
  site.script = await bundle(gateway.address);
});

after(async () => {
  await browser?.close();
  site?.close();
  foreign?.close();
  await gateway?.stop();
});

describe("the original's hook", () => {
  /** Waits until the page shows this. */
  const shows = (page, expected) =>
    until(`the page shows ${JSON.stringify(expected)}`, async () =>
      isDeepStrictEqual(JSON.parse(await page.textContent('pre')), expected),
    );

  it('connects with its token, and events update the stores', () =>
    onPage(browser, site, [], async (page) => {
      await shows(page, { connected: false, issues: {}, comments: [] });
      await page.evaluate((token) => window.setToken(token), token('user_789'));
      await shows(page, { connected: true, issues: {}, comments: [] });
      await gateway.members('team:team_456', 1);
      await gateway.publish({ type: 'issue.updated', payload: CHANGE, userId: 'user_999' });
      await shows(page, { connected: true, issues: { issue_123: CHANGE.changes }, comments: [] });
      await gateway.publish({ type: 'comment.created', payload: COMMENT });
      await shows(page, { connected: true, issues: { issue_123: CHANGE.changes }, comments: [COMMENT] });
    }));

  it('leaves when its user logs out, and comes back with the next token', () =>
    onPage(browser, site, [], async (page) => {
      await page.evaluate((token) => window.setToken(token), token('user_789'));
      await gateway.members('team:team_456', 1);
      await page.evaluate(() => window.setToken(null));
      await gateway.members('team:team_456', 0);
      await shows(page, { connected: false, issues: {}, comments: [] });
      await page.evaluate((token) => window.setToken(token), token('user_790'));
      await gateway.members('user:user_790', 1);
      await shows(page, { connected: true, issues: {}, comments: [] });
    }));

  it('shows as not connected when its token is refused', () =>
    onPage(browser, site, [], async (page) => {
      const closed = page.waitForEvent('websocket').then((socket) => socket.waitForEvent('close'));
      await page.evaluate((token) => window.setToken(token), token('user_789', { exp: 1 }));
      await closed;
      await shows(page, { connected: false, issues: {}, comments: [] });
    }));
});

/** Runs in the page: opens a socket, sends these frames, and tells what came until `count` frames or the close. */
function converse({ url, protocols, frames = [], count = Infinity }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, protocols);
    const received = [];
    socket.onopen = () => frames.forEach((frame) => socket.send(JSON.stringify(frame)));
    socket.onmessage = ({ data }) => {
      received.push(JSON.parse(data));
      if (received.length === count) socket.close(1000);
    };
    socket.onclose = ({ code, reason, wasClean }) =>
      resolve({ protocol: socket.protocol, received, code, reason, wasClean });
  });
}

describe('a plain page', () => {
  const withBearer = (token) => ['roomcast.v1', `roomcast.bearer.${token}`];

  it('brings its token as a subprotocol and is answered with the other', () =>
    onPage(browser, site, [], async (page) => {
      const frames = [{ id: '7', action: 'subscribe', rooms: ['team:team_456'] }];
      const protocols = withBearer(token('user_789'));
      const told = await page.evaluate(converse, { url: gateway.webSocketUrl, protocols, frames, count: 2 });
      assert.equal(told.protocol, 'roomcast.v1');
      const [acknowledgement, answer] = told.received;
      assert.equal(acknowledgement.type, 'connection.ack');
      assert.equal(acknowledgement.payload.userId, 'user_789');
      assert.deepEqual(acknowledgement.payload.rooms, {}, 'nothing is joined from the start');
      assert.equal(answer.type, 'subscription.ack');
      assert.equal(answer.replyTo, '7');
      assert.equal(answer.payload.rooms['team:team_456'].status, 'subscribed');
      assert.deepEqual([told.code, told.wasClean], [1000, true]);
    }));

  it('gets an event that another page publishes', () =>
    onPage(browser, site, [], async (page) => {
      const rooms = ['issue:issue_9'];
      const publish = { type: 'user.typing', payload: { issueId: 'issue_9', isTyping: true } };
      const reader = page.evaluate(converse, {
        url: gateway.webSocketUrl,
        protocols: withBearer(token('user_789')),
        frames: [{ action: 'subscribe', rooms }],
        count: 3,
      });
      await gateway.members('issue:issue_9', 1);
      const writer = page.evaluate(converse, {
        url: gateway.webSocketUrl,
        protocols: withBearer(token('user_790')),
        frames: [{ action: 'subscribe', rooms }, { id: 't', action: 'publish', event: publish }],
        count: 3,
      });
      const [read, written] = await Promise.all([reader, writer]);
      const typing = { issueId: 'issue_9', userId: 'user_790', userEmail: 'user_790@example.com', isTyping: true };
      assert.deepEqual(read.received[2].payload, typing);
      assert.equal(read.received[2].userId, 'user_790');
      assert.deepEqual([written.received[2].type, written.received[2].replyTo], ['publish.ack', 't']);
    }));

  const ANSWER = ['UNAUTHORIZED', 4500, true];
  const now = Math.floor(Date.now() / 1000);
  const refused = {
    expired: { exp: now - 3600 },
    'without an end': { exp: undefined },
    'without a user': { sub: undefined },
  };
  for (const [what, claims] of Object.entries(refused)) {
    it(`sees why a token ${what} is refused, and the close code`, () =>
      onPage(browser, site, [], async (page) => {
        const bad = sign({ sub: 'user_789', exp: now + 600, ...claims });
        for (const target of [
          { url: gateway.webSocketUrl, protocols: withBearer(bad) },
          { url: `${gateway.webSocketUrl}?token=${bad}` },
          { url: gateway.webSocketUrl, frames: [{ action: 'authenticate', token: bad }] },
        ]) {
          const told = await page.evaluate(converse, target);
          assert.deepEqual([told.received[0].payload.code, told.code, told.wasClean], ANSWER);
          assert.deepEqual([told.received.length, told.received[0].type], [1, 'error']);
        }
      }));
  }
});

describe('a page of another origin', () => {
  const refusedHandshake = /WebSocket connection to .* failed: .*403/;

  it('is refused, and the log names the setting that would allow it', () =>
    onPage(browser, foreign, [refusedHandshake], async (page) => {
      const url = `${gateway.webSocketUrl}?token=${token('user_789')}`;
      const told = await page.evaluate(converse, { url });
      assert.deepEqual([told.received, told.code, told.wasClean], [[], 1006, false]);
      const line = await gateway.logged(/FRONTEND_URL/);
      assert.ok(line.includes(foreign.origin), line);
    }));

  /** Runs in the page: the statistics, or the error of the call. */
  const stats = ({ url, token }) =>
    fetch(`${url}/api/v1/ws/stats`, { headers: token && { authorization: `Bearer ${token}` } }).then(
      async (response) => {
        const type = response.headers.get('content-type');
        return { status: response.status, type, body: await response.json() };
      },
      (error) => ({ error: error.name }),
    );

  it('cannot read the HTTP API, which a page of an allowed one can', async () => {
    const call = { url: gateway.url, token: backend() };
    await onPage(browser, site, [], async (page) => {
      const { status, body } = await page.evaluate(stats, call);
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body.data).sort(), ['stats', 'timestamp']);
      assert.deepEqual(Object.keys(body.data.stats).sort(), ['clientsPerRoom', 'totalClients', 'totalRooms']);
    });
    await onPage(browser, foreign, [/blocked by CORS policy/, /ERR_FAILED/], async (page) => {
      assert.deepEqual(await page.evaluate(stats, call), { error: 'TypeError' });
    });
  });

  it('is not what an allowed page without the right is: that one reads why', () =>
    onPage(browser, site, [/401/, /403/], async (page) => {
      const anonymous = await page.evaluate(stats, { url: gateway.url });
      assert.deepEqual([anonymous.status, anonymous.body.code], [401, 'UNAUTHORIZED']);
      const user = await page.evaluate(stats, { url: gateway.url, token: token('user_789') });
      assert.deepEqual([user.status, user.body.code, user.type], [403, 'FORBIDDEN', 'application/problem+json']);
    }));
});
