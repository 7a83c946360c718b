// The console in a real Chromium, on the page that a real gateway serves: each button does what it says.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';

import WebSocket from 'ws';

import { launch, onPage } from '../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../tests/clients/support/gateway.mjs';
import { backend, token } from '../../../tests/clients/support/tokens.mjs';
import { until } from '../../../tests/clients/support/waiting.mjs';
import { become, join, panel, show } from './scene.mjs';

const PANELS = ['Events', 'Frames', 'Publish', 'Figures', 'Connections', 'Access', 'Identities'];

let browser;
let gateway;

before(async () => {
  [browser, gateway] = await Promise.all([launch(), Gateway.dev({ MESSAGES_PER_MINUTE: '10000', PRESENCE_GRACE: '1s' })]);
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/** Runs a test on a fresh console, which is connected already. */
const onConsole = (test, { of = gateway, errors = [], isConnected = true } = {}) =>
  onPage(browser, { origin: `${of.url}/console/` }, errors, async (page) => {
    if (isConnected) await page.getByRole('banner').getByText('open', { exact: true }).waitFor();
    await test(page);
    const left = await page.evaluate(() => ({
      styled: document.querySelectorAll('[style]').length,
      stored: localStorage.length + sessionStorage.length,
      cookies: document.cookie,
      query: location.search,
    }));
    assert.deepEqual(left, { styled: 0, stored: 0, cookies: '', query: '' });
  });

const lines = (page) => page.locator('.lines > li');
/** What is pressed is drawn a moment later. */
const counts = (locator, wanted) => until(`there are ${wanted}`, async () => (await locator.count()) === wanted);
const publish = (room, payload = {}) => gateway.publish({ type: 'build.finished', payload, rooms: [room] });

/** A connection of somebody else, which says what became of it. */
async function stranger(user, rooms = [], of = gateway) {
  const socket = new WebSocket(of.webSocketUrl, ['roomcast.v1', `roomcast.bearer.${token(user)}`]);
  const heard = [];
  const closed = once(socket, 'close').then(([code]) => code);
  socket.on('message', (data) => heard.push({ at: Date.now(), ...JSON.parse(data) }));
  socket.on('error', () => {});
  await until('it is let in', () => heard.some(({ type }) => type === 'connection.ack'));
  if (rooms.length) socket.send(JSON.stringify({ action: 'subscribe', rooms }));
  await until('it is in its rooms', () => !rooms.length || heard.some(({ type }) => type === 'subscription.ack'));
  return { socket, heard, closed, id: heard[0].payload.connectionId };
}

/** The row of a connection in the table. */
async function row(page, id) {
  await panel(page, 'Connections');
  const found = page.getByRole('row').filter({ hasText: id });
  await found.waitFor();
  return found;
}

describe('the console', { concurrency: 3 }, () => {
  it('connects by itself in dev, and shows the claims of its token and when it runs out', () =>
    onConsole(async (page) => {
      await page.getByRole('banner').getByText(/token expires in 1[12] h/).waitFor();
      await panel(page, 'Identities');
      const card = page.getByRole('article', { name: 'Identity console' });
      assert.match(await card.innerText(), /sub\s+console/);
      assert.match(await card.innerText(), /grants\s+\{"\*":\["\*"\]\}/);
    }));

  it('is served without inline code, and asks nothing of any other host', async () => {
    const response = await fetch(`${gateway.url}/console/`);
    const policy = response.headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
    const moved = await fetch(`${gateway.url}/console`, { redirect: 'manual' });
    assert.deepEqual([moved.status, moved.headers.get('location')], [308, '/console/']);
  });

  it('shows a room with its position and who is there, and leaves it', () =>
    onConsole(async (page) => {
      await become(page, 'rooms-ann');
      await join(page, 'team:rooms');
      await show(page, 'console');
      await join(page, 'team:rooms');
      const rooms = page.getByRole('region', { name: 'Rooms', exact: true });
      await rooms.getByText('rooms-ann').waitFor();
      await rooms.getByText(/^[0-9a-z]+:0$/).waitFor();
      await publish('team:rooms');
      await rooms.getByText(/^[0-9a-z]+:1$/).waitFor();
      await gateway.members('team:rooms', 2);
      await rooms.getByRole('button', { name: 'Leave team:rooms' }).click();
      await gateway.members('team:rooms', 1);
      await rooms.getByText('In no room yet.').waitFor();
    }));

  it('joins a room that somebody else is in, from the list of this node', () =>
    onConsole(async (page) => {
      const { socket } = await stranger('lister', ['project:listed']);
      const others = page.getByRole('region', { name: 'Rooms on this node' });
      await others.getByRole('button', { name: 'Refresh' }).click();
      await others.getByRole('button', { name: 'Join project:listed' }).click();
      await gateway.members('project:listed', 2);
      socket.close();
    }));

  it('says why a room is denied', () =>
    onConsole(async (page) => {
      await become(page, 'denied-ann', '{"team:*":["subscribe"]}');
      await panel(page, 'Events');
      const rooms = page.getByRole('region', { name: 'Rooms', exact: true });
      await rooms.getByLabel('Room').fill('issue:secret');
      await rooms.getByRole('button', { name: 'Join' }).click();
      await rooms.getByText('denied: FORBIDDEN').waitFor();
    }));

  it('filters, holds, opens and clears the log of events, and shows how long they took', () =>
    onConsole(async (page) => {
      await join(page, 'team:log');
      for (const name of ['first', 'second']) await publish('team:log', { name });
      await page.getByText('"second"').waitFor();
      await counts(lines(page), 3);
      assert.match(await lines(page).first().innerText(), /build\.finished[^]*team:log[^]*second[^]*\d ms/);
      await page.getByLabel('Filter events').fill('FIRST');
      await page.getByText('1 of 3 fit').waitFor();
      await counts(lines(page), 1);
      await page.getByLabel('Filter events').fill('');
      const line = lines(page).first().getByRole('button');
      await line.click();
      assert.equal(await line.getAttribute('aria-expanded'), 'true');
      assert.equal(JSON.parse(await lines(page).first().locator('pre').textContent()).payload.name, 'second');
      await page.getByRole('button', { name: 'Pause' }).click();
      await publish('team:log', { name: 'third' });
      await page.getByText('paused, 1 new').waitFor();
      await counts(lines(page), 3);
      await page.getByRole('button', { name: 'Resume' }).click();
      await page.getByText('"third"').waitFor();
      await page.getByRole('button', { name: 'Clear' }).click();
      await page.getByText('Nothing has happened in these rooms yet').waitFor();
    }));

  it('keeps a thousand entries of what comes, and no more', () =>
    onConsole(async (page) => {
      await join(page, 'team:flood');
      const event = (index) => ({ type: 'build.finished', payload: { index }, rooms: ['team:flood'] });
      await gateway.call('POST', '/api/v1/events', { events: Array.from({ length: 1000 }, (_, index) => event(index)) });
      await publish('team:flood', { index: 'last' });
      await page.getByText('"last"').waitFor();
      await page.getByText('1,000 kept · the newest 250 shown · 1,002 since the start').waitFor();
      await counts(lines(page), 250);
    }));

  it('shows what an event holds as text, whatever it holds', () =>
    onConsole(async (page) => {
      await join(page, 'team:hostile');
      const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
      await publish('team:hostile', { [hostile]: hostile });
      await page.getByText('onerror').first().waitFor();
      await lines(page).first().getByRole('button').click();
      assert.ok((await lines(page).first().locator('pre').textContent()).includes('<script>'));
      const made = await page.evaluate(() => [document.querySelectorAll('#console img, #console script').length, document.title]);
      assert.deepEqual(made, [0, 'Roomcast console']);
    }));

  it('shows the frames of both directions, sends one as it stands, and hides a token in it', () =>
    onConsole(async (page) => {
      await panel(page, 'Frames');
      await lines(page).filter({ hasText: 'connection.ack' }).first().waitFor();
      const send = async (text) => {
        await page.getByLabel('A frame of your own').fill(text);
        await page.getByRole('button', { name: 'Send' }).click();
      };
      await send('{"action":"subscribe","id":"mine","rooms":["team:frames"]}');
      await lines(page).filter({ hasText: '"replyTo":"mine"' }).waitFor();
      await gateway.members('team:frames', 1);
      await send('{"action":"authenticate","token":"a.secret.token"}');
      await lines(page).filter({ hasText: 'UNAUTHORIZED' }).waitFor();
      await page.getByLabel('A frame of your own').fill('');
      const sent = lines(page).filter({ hasText: '"authenticate"' });
      assert.match(await sent.innerText(), /↑[^]*\$TOKEN/);
      assert.doesNotMatch(await page.locator('main').innerText(), /secret/);
      await page.getByLabel('Filter frames').fill('received pong');
      await page.getByText('Nothing fits the filter.').waitFor();
    }));

  it('publishes what its form says, made from the schema of the event, and curl does the same', () =>
    onConsole(async (page) => {
      await join(page, 'team:form');
      await panel(page, 'Publish');
      const form = page.getByRole('form', { name: 'Event' });
      await form.getByLabel('Type').selectOption('issue.created');
      await form.getByRole('button', { name: 'Publish' }).click();
      await counts(form.locator('[aria-invalid]'), 6);
      assert.equal(await page.evaluate(() => document.activeElement.id), 'field-id');
      await form.getByRole('button', { name: 'Fill in an example' }).click();
      await form.getByLabel('title').fill("It's <here>");
      await form.getByLabel('teamId').fill('form');
      await form.getByRole('button', { name: 'Publish' }).click();
      const answer = page.getByRole('region', { name: 'Answer' }).locator('pre');
      const { eventId, positions } = JSON.parse(await answer.textContent());
      assert.deepEqual(Object.keys(positions), ['team:form']);
      const command = await page.getByRole('region', { name: 'The same with curl' }).locator('pre').textContent();
      assert.match(command, /Bearer \$TOKEN/);
      const output = execFileSync('sh', ['-c', command], { env: { ...process.env, TOKEN: backend() }, encoding: 'utf8' });
      assert.match(JSON.parse(output).positions['team:form'], /:2$/);
      await panel(page, 'Events');
      await page.getByText("It's <here>").first().waitFor();
      const authorization = `Bearer ${token('reader', { grants: { 'team:form': ['history'] } })}`;
      const response = await fetch(`${gateway.url}/api/v1/rooms/team:form/history`, { headers: { authorization } });
      const [byForm, byCurl] = (await response.json()).events;
      assert.equal(byForm.eventId, eventId);
      assert.deepEqual([byForm.payload.title, byForm.payload], ["It's <here>", byCurl.payload]);
    }));

  it('publishes types of an application, to the rooms that are named, and shows where the gateway sees a fault', () =>
    onConsole(
      async (page) => {
        await panel(page, 'Publish');
        const form = page.getByRole('form', { name: 'Event' });
        await form.getByLabel('Type').selectOption('a type of your own');
        await form.getByLabel('Its name').fill('deploy.done');
        await form.getByLabel('payload').fill('{"ok": tru');
        await form.getByRole('button', { name: 'Publish' }).click();
        await form.getByText('not JSON').waitFor();
        await form.getByLabel('payload').fill('{"ok":true}');
        await form.getByRole('button', { name: 'Publish' }).click();
        await page.getByRole('alert').filter({ hasText: 'INVALID_PAYLOAD' }).waitFor();
        await form.getByLabel('Rooms').fill('team:own, project:own');
        await form.getByRole('button', { name: 'Publish' }).click();
        const answer = page.getByRole('region', { name: 'Answer' }).locator('pre');
        assert.deepEqual(Object.keys(JSON.parse(await answer.textContent()).positions).sort(), ['project:own', 'team:own']);
      },
      { errors: [/422/] },
    ));

  it('shows the figures of the node as they change', async () => {
    // One of its own, where nobody else comes and goes.
    const own = await Gateway.dev();
    try {
      await onConsole(
        async (page) => {
          await panel(page, 'Figures');
          const tile = (name) => page.locator('.tile', { has: page.getByText(name, { exact: true }) }).locator('dd').first();
          const figure = async (name) => Number((await tile(name).innerText()).replace(/[^0-9.]/g, ''));
          await until('the page counts itself', async () => (await figure('Connections')) === 1);
          const visitors = await Promise.all(Array.from({ length: 5 }, (_, index) => stranger(`figure-${index}`, ['team:figures'], own)));
          await until('they are counted', async () => (await figure('Connections')) === 6);
          assert.equal(await figure('Rooms'), 1);
          const event = { type: 'build.finished', payload: {}, rooms: ['team:figures'] };
          const publishing = setInterval(() => own.publish(event).catch(() => {}), 50);
          await until('there is a rate', async () => (await figure('Delivered')) > 0);
          clearInterval(publishing);
          for (const name of ['Published', 'Queued', 'Latency, median', 'Dropped', 'Recovered', 'Gaps', 'Rate limited', 'Errors', 'Uptime']) {
            assert.equal(await page.getByText(name, { exact: true }).count(), 1, name);
          }
          const closed = page.getByRole('region', { name: 'Closed connections' });
          await closed.getByText('None was closed yet.').waitFor();
          visitors.forEach(({ socket }) => socket.close(1000));
          await closed.getByRole('listitem').filter({ hasText: /1000 normal\s*5/ }).waitFor();
        },
        { of: own },
      );
    } finally {
      await own.stop();
    }
  });

  it('says why somebody may not, and why they may', () =>
    onConsole(async (page) => {
      await become(page, 'asker', '{"team:*":["subscribe"]}');
      await panel(page, 'Access');
      const explanation = page.getByRole('region', { name: 'Explanation' });
      const ask = async (room, operation, who) => {
        await page.getByLabel('Whose token').selectOption({ label: who });
        await page.getByLabel('Room').fill(room);
        await page.getByLabel('Operation').selectOption(operation);
        await page.getByRole('button', { name: 'Explain' }).click();
      };
      await ask('user:other', 'subscribe', 'asker');
      await explanation.getByText('Denied').waitFor();
      await ask('team:one', 'subscribe', 'asker');
      await explanation.getByText('Allowed').waitFor();
      await explanation.getByText('team:*: subscribe').waitFor();
      await ask('issue:one', 'publish:issue.created', 'console');
      await explanation.getByText('Allowed').waitFor();
      await page.getByLabel('Whose token').selectOption({ label: 'another one, pasted' });
      await page.getByLabel('Token', { exact: true }).fill('no token');
      await page.getByRole('button', { name: 'Explain' }).click();
      await explanation.getByText('Denied').waitFor();
    }));

  it('finds the connections of a user, and kicks one of them and no other', () =>
    onConsole(async (page) => {
      const [first, second] = await Promise.all([stranger('kicked'), stranger('kicked', ['team:kicked'])]);
      await row(page, first.id);
      await page.getByLabel('User').fill('kicked');
      await until('the others are gone', async () => (await page.getByRole('row').count()) === 3);
      assert.match(await page.getByRole('row').filter({ hasText: second.id }).innerText(), /kicked[^]*team:kicked[^]*127\.0\.0\.1/);
      await page.getByRole('button', { name: `Kick ${first.id}` }).click();
      assert.equal(await first.closed, 4501);
      await until('one is left', async () => (await page.getByRole('row').count()) === 2);
      assert.equal(second.socket.readyState, WebSocket.OPEN);
      second.socket.close();
    }));

  it('drops a connection as a network does, after which an application comes back', () =>
    onConsole(
      async (page) => {
        const dropped = await stranger('dropped');
        await (await row(page, dropped.id)).getByRole('button', { name: 'Drop' }).click();
        assert.equal(await dropped.closed, 1006);
        // And its own, which the SDK mends.
        await join(page, 'team:dropped');
        await panel(page, 'Connections');
        await page.getByRole('row').filter({ hasText: 'this page' }).getByRole('button', { name: 'Drop' }).click();
        await panel(page, 'Events');
        await page.locator('.lines').getByText('recovered 0').waitFor();
      },
      { errors: [] },
    ));

  it('slows a connection down, and lets it run again', () =>
    onConsole(async (page) => {
      const slow = await stranger('slow', ['team:slow']);
      const finished = () => slow.heard.filter(({ type }) => type === 'build.finished');
      const actions = await row(page, slow.id);
      await page.getByLabel('Slow down by').fill('1500');
      await actions.getByRole('button', { name: 'Slow down' }).click();
      await page.getByText('waits 1500 ms before each write').waitFor();
      await actions.getByText('slow, 1500 ms').waitFor();
      assert.equal(await page.getByText(/^slow, /).count(), 1, 'and nobody else is');
      const began = Date.now();
      await publish('team:slow', { name: 'late' });
      await until('it came late', () => finished().length === 1);
      assert.ok(finished()[0].at - began >= 1_400, `${finished()[0].at - began} ms`);
      await actions.getByRole('button', { name: 'Full speed' }).click();
      await page.getByText('is at full speed').waitFor();
      await counts(actions.getByText(/^slow, /), 0);
      await publish('team:slow', { name: 'soon' });
      await until('it came', () => finished().length === 2);
      slow.socket.close();
    }));

  it('is several people at once, each with a connection that can be ended, made again and forgotten', () =>
    onConsole(async (page) => {
      await become(page, 'many-ann');
      await become(page, 'many-bob', '{"*":["*"]}');
      const who = page.getByLabel('Identity', { exact: true });
      assert.deepEqual(await who.locator('option').allInnerTexts(), ['console', 'many-ann', 'many-bob']);
      const card = (name) => page.getByRole('article', { name: `Identity ${name}` });
      await card('many-ann').getByRole('button', { name: 'Show' }).click();
      assert.equal(await who.locator('option:checked').innerText(), 'many-ann');
      await card('many-ann').getByRole('button', { name: 'Disconnect' }).click();
      await card('many-ann').getByText(/closed, 1000/).waitFor();
      await card('many-ann').getByRole('button', { name: 'Reconnect' }).click();
      await card('many-ann').getByText('open', { exact: true }).waitFor();
      await card('many-bob').getByText('admin').waitFor();
      await card('many-bob').getByRole('button', { name: 'Remove' }).click();
      await counts(card('many-bob'), 0);
      assert.deepEqual(await who.locator('option').allInnerTexts(), ['console', 'many-ann']);
    }));

  it('fits a narrow window in every panel, in light and dark', () =>
    onConsole(async (page) => {
      await join(page, 'team:narrow');
      await publish('team:narrow', { text: 'x'.repeat(2000) });
      await lines(page).filter({ hasText: 'xxx' }).getByRole('button').click();
      await page.setViewportSize({ width: 360, height: 740 });
      const backgrounds = [];
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        for (const name of PANELS) {
          await panel(page, name);
          await page.getByRole('main', { name }).waitFor();
          const [wide, unnamed, background] = await page.evaluate(() => [
            document.documentElement.scrollWidth,
            [...document.querySelectorAll('input, select, textarea')].filter((input) => !input.labels?.length && !input.ariaLabel).length,
            getComputedStyle(document.documentElement).backgroundColor,
          ]);
          assert.deepEqual([wide, unnamed], [360, 0], `${name}, ${colorScheme}`);
          backgrounds.push(background);
        }
      }
      assert.equal(new Set(backgrounds).size, 2);
    }));

  it('is used by the keyboard alone, and shows where it is', () =>
    onConsole(async (page) => {
      const press = async (keys) => {
        for (const key of keys) await page.keyboard.press(key);
      };
      const focused = () => page.evaluate(() => document.activeElement.textContent || document.activeElement.placeholder);
      await page.getByRole('link', { name: 'Events' }).focus();
      await press(Array(7).fill('Tab'));
      assert.equal(await focused(), 'team:demo');
      await page.keyboard.type('team:keys');
      await press(['Enter']);
      await page.getByText('subscribed').first().waitFor();
      await press(['Tab']);
      assert.equal(await focused(), 'Join');
      assert.equal(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'solid');
      await page.locator('.line').first().focus();
      await press(['Enter']);
      await page.locator('.lines pre').waitFor();
      await press(['Space']);
      await counts(page.locator('.lines pre'), 0);
    }));
});

describe('the console of a gateway that serves', () => {
  let serving;
  before(async () => (serving = await Gateway.serve({ CONSOLE: 'on' })));
  after(() => serving?.stop());

  it('mints nothing: it takes a token, and shows the operator what an admin may see', () =>
    onConsole(
      async (page) => {
        await page.getByText('Nobody is connected.').waitFor();
        assert.equal(await page.getByRole('form', { name: 'Mint a token' }).count(), 0);
        const paste = async (text) => {
          await panel(page, 'Identities');
          await page.getByLabel('Token', { exact: true }).fill(text);
          await page.getByRole('button', { name: 'Connect with it' }).click();
        };
        await paste('none');
        await page.getByRole('alert').filter({ hasText: 'this is no token' }).waitFor();
        await paste(token('ann'));
        await page.getByRole('article', { name: 'Identity ann' }).getByText('open', { exact: true }).waitFor();
        for (const name of ['Figures', 'Connections', 'Access']) {
          await panel(page, name);
          await page.getByText('needs an identity whose token grants').waitFor();
        }
        await paste(backend());
        await page.getByRole('article', { name: 'Identity backend' }).getByText('open', { exact: true }).waitFor();
        await panel(page, 'Connections');
        const ann = page.getByRole('row').filter({ hasText: 'ann' });
        await ann.waitFor();
        assert.equal(await ann.getByRole('button').count(), 1, 'neither drop nor slow down');
        await ann.getByRole('button', { name: 'Kick' }).click();
        await panel(page, 'Identities');
        await page.getByRole('article', { name: 'Identity ann' }).getByText(/closed, 4501/).waitFor();
      },
      { of: serving, isConnected: false },
    ));

  it('reaches the public address from the one of the operator', async () => {
    // Nobody else binds this address, so its port is still free when the gateway takes it.
    const probe = createServer().listen(0, '127.0.0.87');
    await once(probe, 'listening');
    const admin = `127.0.0.87:${probe.address().port}`;
    probe.close();
    await once(probe, 'close');
    const split = await Gateway.serve({ CONSOLE: 'on', ADMIN_ADDR: admin, FRONTEND_URL: `http://${admin}` });
    try {
      assert.equal((await fetch(`${split.url}/console/`)).status, 404);
      await onConsole(
        async (page) => {
          await panel(page, 'Identities');
          await page.getByLabel('Token', { exact: true }).fill(token('operator', { grants: { '*': ['*'] } }));
          await page.getByRole('button', { name: 'Connect with it' }).click();
          await page.getByRole('banner').getByText('open', { exact: true }).waitFor();
          await join(page, 'team:split');
          await panel(page, 'Publish');
          await page.getByRole('button', { name: 'Fill in an example' }).click();
          await page.getByLabel('teamId').fill('split');
          await page.getByRole('button', { name: 'Publish' }).click();
          const answer = page.getByRole('region', { name: 'Answer' }).locator('pre');
          assert.deepEqual(Object.keys(JSON.parse(await answer.textContent()).positions), ['team:split']);
          assert.ok((await page.getByRole('region', { name: 'The same with curl' }).locator('pre').textContent()).includes(`${split.url}/api/v1/events`));
          await panel(page, 'Connections');
          await page.getByRole('row').filter({ hasText: 'this page' }).waitFor();
        },
        { of: { url: `http://${admin}` }, isConnected: false },
      );
    } finally {
      await split.stop();
    }
  });

  it('is not there unless it is wanted', async () => {
    const quiet = await Gateway.serve();
    const statuses = [];
    for (const path of ['/console', '/console/', '/console/console.js', '/console/config.json']) statuses.push((await fetch(quiet.url + path)).status);
    await quiet.stop();
    assert.deepEqual(statuses, [404, 404, 404, 404]);
  });
});
