// Writes the pictures of the documentation: `node web/demo/tests/screenshots.mjs`, with the environment that the tests have.
// They are looked at before they are committed, so no test writes them.

import { fileURLToPath } from 'node:url';

import { launch } from '../../../tests/clients/browser/chromium.mjs';
import { card, create, Demo, open, pane, press, ready, status, told } from './stage.mjs';

const picture = (name) => fileURLToPath(new URL(`../../../docs/demo-${name}.png`, import.meta.url));

/** What is shining has stopped to, and nothing has the focus. */
async function still(page) {
  await page.evaluate(() => document.activeElement?.blur());
  await page.mouse.move(0, 0);
  await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
}

const [browser, demo] = await Promise.all([launch(), Demo.start()]);
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
  const page = await context.newPage();
  await page.goto(demo.origin);
  await ready(page);
  const [ann, ben] = [pane(page, 'Ann'), pane(page, 'Ben')];
  await create(ben, 'Send a mail when an issue is mine', 'low');
  await card(ann, 'DEMO-5').waitFor();
  const issue = await open(ben, 'DEMO-1');
  await issue.getByLabel('Comment', { exact: true }).fill('It fails for every address with a plus.');
  await press(issue, 'Comment');
  await issue.getByText('It fails for every address').waitFor();
  await press(issue, 'Back to the board');
  await card(ann, 'DEMO-1').getByText('1 comment').waitFor();
  await press(ann, 'Offline for 10 s');
  await status(ann, /^offline · back in 9 s/);
  await press(card(ben, 'DEMO-2'), 'Move DEMO-2 to In progress');
  await press(card(ben, 'DEMO-3'), 'Move DEMO-3 to In progress');
  await create(ben, 'Write down what a gap is', 'medium');
  await card(ben, 'DEMO-6').waitFor();
  await status(ann, /^offline · back in [1-8] s/);
  await still(page);
  await page.screenshot({ path: picture('offline') });

  await told(ann, 'resumed: 3 events recovered');
  await page.emulateMedia({ colorScheme: 'dark' });
  const [left, right] = [await open(ann, 'DEMO-1'), await open(ben, 'DEMO-1')];
  await left.getByText('It fails for every address').waitFor();
  await still(page);
  await right.getByLabel('Comment', { exact: true }).pressSequentially('Found it');
  await left.getByText('Ben is typing…').waitFor();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: picture('dark') });

  const phone = await browser.newContext({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, locale: 'en-GB' });
  const small = await phone.newPage();
  await small.goto(`${demo.origin}/?person=cleo`);
  await ready(small);
  await still(small);
  await small.screenshot({ path: picture('phone') });
} finally {
  await browser.close();
  await demo.stop();
}
