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
