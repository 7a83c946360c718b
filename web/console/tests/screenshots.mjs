// Writes the pictures of the documentation: `node web/console/tests/screenshots.mjs`, with `ROOMCAST_BIN` and `CHROMIUM` as
// the tests have them. They are looked at before they are committed, so no test writes them.

import { fileURLToPath } from 'node:url';

import { launch } from '../../../tests/clients/browser/chromium.mjs';
import { Gateway } from '../../../tests/clients/support/gateway.mjs';
import { backend } from '../../../tests/clients/support/tokens.mjs';
import { compose, happen, panel } from './scene.mjs';

/** So many seconds of traffic before the figures are drawn: enough for a line. */
const TRAFFIC_SECONDS = 40;

const picture = (name) => fileURLToPath(new URL(`../../../docs/${name}.png`, import.meta.url));
const [browser, gateway] = await Promise.all([launch(), Gateway.dev()]);
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  await page.goto(`${gateway.url}/console/`);
  await compose(page, gateway.url, backend());
  await page.locator('.line').nth(2).click();
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement.blur());
  await page.waitForTimeout(500);
  await page.screenshot({ path: picture('console-light') });

  await page.emulateMedia({ colorScheme: 'dark' });
  await panel(page, 'Figures');
  const until = Date.now() + TRAFFIC_SECONDS * 1000;
  for (let turn = 0; Date.now() < until; turn++) {
    await happen(gateway.url, backend());
    await page.waitForTimeout(300 + 250 * Math.sin(turn / 6));
  }
  await page.screenshot({ path: picture('console-dark') });
} finally {
  await browser.close();
  await gateway.stop();
}
