// The console of a gateway that serves: it mints nothing, and an operator sees more than others.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, it } from 'node:test';

import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { backend, token } from '../../../../tests/clients/support/tokens.mjs';
import { onConsole } from '../harness.mjs';
import { join, panel } from '../scene.mjs';

export default function () {
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
      { of: serving, isConnected: false, isServed: true },
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
        { of: { url: `http://${admin}` }, isConnected: false, isServed: true },
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
}
