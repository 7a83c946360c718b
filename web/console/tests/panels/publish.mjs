// Publish: a form from the schema, and the `curl` that does the same.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { it } from 'node:test';

import { backend, token } from '../../../../tests/clients/support/tokens.mjs';
import { counts, gateway, onConsole } from '../harness.mjs';
import { join, panel } from '../scene.mjs';

export default function () {
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

  it('copies the command, and says so; or says that the browser does not let it', () =>
    onConsole(async (page) => {
      await panel(page, 'Publish');
      await page.getByRole('button', { name: 'Fill in an example' }).click();
      const curl = page.getByRole('region', { name: 'The same with curl' });
      await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: gateway.url });
      await page.evaluate(() => navigator.clipboard.writeText('before'));
      await curl.getByRole('button', { name: 'Copy' }).click();
      await curl.getByRole('button', { name: 'Copied' }).waitFor();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      assert.equal(copied, await curl.locator('pre').textContent());
      assert.match(copied, /^curl /);
      await curl.getByRole('button', { name: 'Copy', exact: true }).waitFor();
      // A page that came over plain HTTP from another machine has no clipboard.
      await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
      await curl.getByRole('button', { name: 'Copy' }).click();
      await curl.getByRole('button', { name: 'Select it by hand' }).waitFor();
    }));

  it('has a control for each kind of field, and publishes what it is for', () =>
    onConsole(async (page) => {
      // No event of today has a number, so one gets it here; the gateway keeps what it does not know.
      await page.route('**/schema/schema.json', async (route) => {
        const response = await route.fetch();
        const bundle = await response.json();
        Object.assign(bundle.$defs.UserTyping.properties, { words: { type: 'integer', description: 'So many.' } });
        await route.fulfill({ response, json: bundle });
      });
      await join(page, 'issue:kinds');
      await panel(page, 'Publish');
      const form = page.getByRole('form', { name: 'Event' });
      await form.getByLabel('Type').selectOption('user.typing');
      await form.getByLabel('issueId').fill('kinds');
      await form.getByLabel('userId').fill('typist');
      await form.getByLabel('userEmail').fill('typist@example.com');
      await form.getByLabel('isTyping').check();
      await form.getByLabel('words').fill('12');
      const command = await page.getByRole('region', { name: 'The same with curl' }).locator('pre').textContent();
      assert.ok(command.includes('"isTyping":true') && command.includes('"words":12'), command);
      await form.getByRole('button', { name: 'Publish' }).click();
      await panel(page, 'Events');
      const typing = page.locator('.lines > li').filter({ hasText: 'user.typing' });
      await typing.getByRole('button').click();
      const { payload } = JSON.parse(await typing.locator('pre').textContent());
      assert.deepEqual([payload.userId, payload.isTyping, payload.words], ['typist', true, 12]);
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
}
