// The original's TypeScript client, unchanged, with Node's `ws` against `serve` with open rooms.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { WebSocket } from 'ws';

import { Gateway } from '../support/gateway.mjs';
import { Relay } from '../support/relay.mjs';
import { CHANGE, COMMENT, ISSUE, TYPING } from '../support/samples.mjs';
import { sign, token } from '../support/tokens.mjs';
import { until, within } from '../support/waiting.mjs';
import { HEADS, run } from './original-client.mjs';

const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

/** The settings of the original's own `.env`, but for the port, and the choice that keeps its clients working. */
const ORIGINAL = { FRONTEND_URL: 'http://localhost:3000', NODE_ENV: 'production', ROOM_ACCESS: 'open' };

describe("the original's client", () => {
  let gateway;
  const running = [];

  before(async () => {
    gateway = await Gateway.serve(ORIGINAL);
  });

  after(async () => {
    running.forEach((original) => original.client.disconnect());
    await gateway?.stop();
  });

  /** A client that is connected and in the two rooms that it subscribes to when it opens. */
  async function connected(user, address = gateway.address) {
    const original = run(address, token(user));
    running.push(original);
    await until('the subscription is acknowledged', () => received(original, 'subscription.ack').length > 0);
    return original;
  }

  const received = ({ sockets }, type) => sockets.at(-1).received.filter((message) => message.type === type);

  /** Publishes to a room of the client and waits for it: what was published before has arrived, or never will. */
  async function settle(original) {
    const { eventId } = await gateway.publish({ type: 'marker.set', payload: {}, rooms: ['workspace:ws_123'] });
    const isMarked = () => received(original, 'marker.set').some((event) => event.eventId === eventId);
    await until('the marker arrives', isMarked);
  }

  it('is acknowledged first, with the words of the original', async () => {
    const original = await connected('user_first');
    const [first] = original.sockets[0].received;
    assert.equal(first.type, 'connection.ack');
    assert.equal(first.payload.message, 'Connected to WebSocket server');
    assert.match(first.payload.timestamp, TIMESTAMP);
    assert.match(first.timestamp, TIMESTAMP);
    assert.equal(first.payload.userId, 'user_first');
    assert.equal(first.payload.rooms['user:user_first'].status, 'subscribed');
    assert.deepEqual(
      original.console.lines.slice(0, 2).map(([head]) => head),
      ['✅ Connected to WebSocket server', HEADS['connection.ack']],
    );
  });

  it('subscribes without an id, and the answer is one that it may ignore', async () => {
    const original = await connected('user_second');
    assert.deepEqual(original.sockets[0].sent, [{ action: 'subscribe', rooms: ['workspace:ws_123', 'team:team_456'] }]);
    const [answer] = received(original, 'subscription.ack');
    assert.ok(!('replyTo' in answer));
    assert.deepEqual(Object.keys(answer.payload.rooms).sort(), ['team:team_456', 'workspace:ws_123']);
    for (const outcome of Object.values(answer.payload.rooms)) assert.equal(outcome.status, 'subscribed');
    assert.deepEqual(original.console.under(HEADS.default), [answer]);
  });

  it('gets the events of its rooms, each once, in the shape of the original', async () => {
    const original = await connected('user_789');
    original.client.subscribe(['issue:issue_123']);
    await until('the issue is joined', () => received(original, 'subscription.ack').length === 2);

    await gateway.publish({ type: 'issue.created', payload: ISSUE, userId: 'user_789' });
    await gateway.publish({ type: 'issue.updated', payload: CHANGE, userId: 'user_789' });
    await gateway.publish({ type: 'comment.created', payload: COMMENT });
    await gateway.publish({ type: 'user.typing', payload: TYPING });
    await gateway.publish({ type: 'custom.event', payload: { data: 'custom data' }, rooms: ['team:team_456'] });
    await settle(original);

    assert.deepEqual(original.console.under(HEADS['issue.created']), [ISSUE]);
    assert.deepEqual(original.console.under(HEADS['issue.updated']), [CHANGE], 'it is in two rooms of this event');
    assert.deepEqual(original.console.under(HEADS['comment.created']), [COMMENT]);
    // On a slow machine the typing may have ended by itself meanwhile.
    const isOther = ({ type, payload }) => /^(user|custom)\./.test(type) && payload.isTyping !== false;
    const others = original.console.under(HEADS.default).filter(isOther);
    assert.deepEqual(others.map(({ type }) => type), ['user.typing', 'custom.event']);
    assert.deepEqual(others.map(({ payload }) => payload), [TYPING, { data: 'custom data' }]);
    const [created] = received(original, 'issue.created');
    assert.equal(created.userId, 'user_789');
    assert.match(created.timestamp, TIMESTAMP);
    assert.deepEqual(original.console.under(HEADS.error), []);
  });

  it('pings every 25 seconds and is answered', async () => {
    const original = await connected('user_ping');
    original.timers.elapse(25_000);
    original.timers.elapse(25_000);
    await original.console.line(HEADS['connection.ack'], 2);
    assert.deepEqual(original.sockets[0].sent.slice(1), [{ type: 'ping' }, { type: 'ping' }]);
    const pongs = received(original, 'connection.ack').slice(1);
    for (const { payload, timestamp } of pongs) {
      assert.deepEqual(Object.keys(payload).sort(), ['message', 'timestamp']);
      assert.equal(payload.message, 'pong');
      assert.match(payload.timestamp, TIMESTAMP);
      assert.match(timestamp, TIMESTAMP);
    }
  });

  it('gets nothing of a room that it left', async () => {
    const original = await connected('user_leaving');
    await gateway.publish({ type: 'issue.created', payload: ISSUE });
    await settle(original);
    original.client.unsubscribe(['team:team_456']);
    await until('leaving is acknowledged', () => received(original, 'subscription.ack').length === 2);
    assert.deepEqual(received(original, 'subscription.ack')[1].payload.rooms, {
      'team:team_456': { status: 'unsubscribed' },
    });
    await gateway.publish({ type: 'issue.created', payload: ISSUE });
    await settle(original);
    assert.equal(original.console.under(HEADS['issue.created']).length, 1);
  });

  it('gets what is sent to its user, on every connection and without a subscription', async () => {
    const [one, other] = [await connected('user_456'), await connected('user_456')];
    const stranger = await connected('user_457');
    const notification = { type: 'notification.new', payload: { message: 'You have a new notification' } };
    await gateway.call('POST', '/api/v1/users/user_456/events', notification);
    for (const original of [one, other, stranger]) await settle(original);
    for (const original of [one, other]) {
      assert.deepEqual(received(original, 'notification.new').map(({ payload }) => payload), [notification.payload]);
    }
    assert.deepEqual(received(stranger, 'notification.new'), []);
  });

  it('may not listen to another user', async () => {
    const original = await connected('user_curious');
    original.client.subscribe(['user:user_456']);
    await until('the answer comes', () => received(original, 'subscription.ack').length === 2);
    assert.deepEqual(received(original, 'subscription.ack')[1].payload.rooms, {
      'user:user_456': { status: 'denied', code: 'FORBIDDEN' },
    });
  });

  it('connects and subscribes again five seconds after the gateway went', async () => {
    const first = await Gateway.serve(ORIGINAL);
    const relay = await Relay.to(first.address);
    let second;
    try {
      const original = await connected('user_back', relay.address);
      await first.stop();
      await original.console.line('❌ Connection closed: 1012 - service restart');
      const closing = original.sockets[0].received.at(-1);
      assert.equal(closing.type, 'connection.closing');
      assert.equal(closing.payload.code, 1012);
      await original.console.line('🔄 Reconnecting in 5 seconds...');
      assert.ok(original.timers.delays.includes(5000));

      second = await Gateway.serve(ORIGINAL);
      relay.target = second.address;
      original.timers.elapse(5000);
      await second.members('team:team_456', 1);
      await second.publish({ type: 'issue.created', payload: ISSUE });
      await original.console.line(HEADS['issue.created']);
      assert.equal(original.sockets.length, 2);
      original.client.disconnect();
      await second.members('team:team_456', 0);
    } finally {
      await second?.stop();
      relay.close();
    }
  });

  it('sees why a bad token is refused before the connection closes', async () => {
    const now = Math.floor(Date.now() / 1000);
    const original = run(gateway.address, sign({ sub: 'user_late', exp: now - 3600 }));
    running.push(original);
    await original.console.line('❌ Connection closed: 4500 - unauthorized');
    const [error] = original.console.under(HEADS.error);
    assert.equal(error.code, 'UNAUTHORIZED');
    assert.equal(original.sockets[0].received.length, 1);
  });

  it('connects with a header instead of the query', async () => {
    const headers = { Authorization: `Bearer ${token('user_header')}` };
    const socket = new WebSocket(gateway.webSocketUrl, { headers });
    // At once, since the acknowledgement may arrive together with the answer to the upgrade.
    const first = new Promise((resolve, reject) => socket.once('message', resolve).once('error', reject));
    const message = JSON.parse((await within('the first message', first)).toString());
    assert.equal(message.type, 'connection.ack');
    assert.equal(message.payload.userId, 'user_header');
    assert.equal(socket.protocol, '');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.close();
    await within('the close', closed);
  });
});
