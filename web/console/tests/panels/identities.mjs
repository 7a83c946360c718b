// Identities: who the page is connected as.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { token } from '../../../../tests/clients/support/tokens.mjs';
import { counts, onConsole } from '../harness.mjs';
import { become, panel } from '../scene.mjs';

export default function () {
  it('connects by itself in dev, and shows the claims of its token and when it runs out', () =>
    onConsole(async (page) => {
      await page.getByRole('banner').getByText(/token expires in 1[12] h/).waitFor();
      await panel(page, 'Identities');
      const card = page.getByRole('article', { name: 'Identity console' });
      assert.match(await card.innerText(), /sub\s+console/);
      assert.match(await card.innerText(), /grants\s+\{"\*":\["\*"\]\}/);
    }));

  it('gives every grant at the press of a button, and takes a token from elsewhere', () =>
    onConsole(async (page) => {
      await panel(page, 'Identities');
      const form = page.getByRole('form', { name: 'Mint a token' });
      await form.getByLabel('User').fill('almighty');
      await form.getByRole('button', { name: 'Grant everything' }).click();
      assert.equal(await form.getByLabel('Grants').inputValue(), '{"*":["*"]}');
      await form.getByRole('button', { name: 'Connect' }).click();
      const card = (name) => page.getByRole('article', { name: `Identity ${name}` });
      await card('almighty').getByText('admin').waitFor();
      await page.getByLabel('Token', { exact: true }).fill(token('pasted'));
      await page.getByRole('button', { name: 'Connect with it' }).click();
      await card('pasted').getByText('open', { exact: true }).waitFor();
      assert.equal(await page.getByLabel('Token', { exact: true }).inputValue(), '');
    }));

  it('says how it goes in whole words, however long a name stands beside it', () =>
    onConsole(async (page) => {
      const name = `long-${'x'.repeat(100)}`;
      await become(page, name, '{"team:*":["subscribe"]}');
      const status = page.getByRole('article', { name: `Identity ${name}` }).locator('.status');
      const lines = () => status.evaluate((element) => Math.round(element.offsetHeight / parseFloat(getComputedStyle(element).lineHeight)));
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 740 });
        assert.equal(await lines(), 1, `at ${width}`);
      }
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
}
