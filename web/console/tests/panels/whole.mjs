// The page as a whole: what it may load, where it fits, and whether a keyboard is enough.

import assert from 'node:assert/strict';
import { it } from 'node:test';

import { counts, gateway, lines, onConsole, PANELS, publish } from '../harness.mjs';
import { become, join, panel } from '../scene.mjs';

export default function () {
  it('is served without inline code, and asks nothing of any other host', async () => {
    const response = await fetch(`${gateway.url}/console/`);
    const policy = response.headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
    const moved = await fetch(`${gateway.url}/console`, { redirect: 'manual' });
    assert.deepEqual([moved.status, moved.headers.get('location')], [308, '/console/']);
  });

  it('leads from every panel that needs somebody else to where they are', () =>
    onConsole(async (page) => {
      const leads = async (name, link) => {
        await panel(page, name);
        await page.getByRole('main', { name }).getByRole('link', { name: link }).click();
        await page.getByRole('main', { name: 'Identities' }).waitFor();
      };
      await panel(page, 'Identities');
      await page.getByRole('article', { name: 'Identity console' }).getByRole('button', { name: 'Remove' }).click();
      for (const name of ['Events', 'Frames', 'Publish']) await leads(name, 'Choose an identity');
      await become(page, 'led', '{"team:*":["subscribe"]}');
      for (const name of ['Figures', 'Connections', 'Access']) await leads(name, 'Choose one');
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
}
