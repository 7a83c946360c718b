// The demo in a real Chromium, on a real gateway: what one person does arrives at the other, and each button does what it
// says.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { launch } from '../../../tests/clients/browser/chromium.mjs';
import { until } from '../../../tests/clients/support/waiting.mjs';
import { alike, card, column, create, here, inColumn, onDemo, open, pane, press, ready, REFUSED, status, told } from './stage.mjs';

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser?.close());

const on = (test, options) => onDemo(browser, test, options);

/** A pane has as many cards of this name. */
const counts = (pane, identifier, wanted) =>
  until(`there are ${wanted} of ${identifier}`, async () => (await card(pane, identifier).count()) === wanted);

describe('the board', { concurrency: 3 }, () => {
  it('shows at the other what one creates', () =>
    on(async ({ ann, ben }) => {
      await create(ann, '  Water the plants  ', 'high');
      await inColumn(ben, 'To do', 'DEMO-5');
      await inColumn(ann, 'To do', 'DEMO-5');
      assert.match(await card(ben, 'DEMO-5').innerText(), /^DEMO-5 Water the plants\s+High/);
      assert.equal(await ann.getByLabel('Title of the new issue').inputValue(), '');
      await alike(ann, ben);
    }));

  it('moves an issue by its buttons, by the keyboard and by dragging', () =>
    on(async ({ page, ann, ben }) => {
      await press(card(ann, 'DEMO-2'), 'Move DEMO-2 to In progress');
      await inColumn(ben, 'In progress', 'DEMO-2');
      await press(card(ben, 'DEMO-2'), 'Move DEMO-2 to To do');
      await inColumn(ann, 'To do', 'DEMO-2');
      await card(ann, 'DEMO-1').getByRole('button', { name: 'Move DEMO-1 to Done' }).focus();
      await page.keyboard.press('Enter');
      await inColumn(ben, 'Done', 'DEMO-1');
      await card(ben, 'DEMO-3').dragTo(column(ben, 'Done'));
      await inColumn(ann, 'Done', 'DEMO-3');
      assert.deepEqual(await ben.locator('.column.over').count(), 0);
      await alike(ann, ben);
    }));

  it('opens an issue, and changes its title, status, priority and assignee', () =>
    on(async ({ ann, ben }) => {
      const left = await open(ann, 'DEMO-2');
      const right = await open(ben, 'DEMO-2');
      assert.ok(await left.getByRole('button', { name: 'Rename' }).isDisabled());
      await left.getByRole('textbox', { name: 'Title' }).fill('Show who types');
      await press(left, 'Rename');
      await right.getByRole('heading', { name: 'DEMO-2 Show who types' }).waitFor();
      await until('the field has it too', async () => (await right.getByRole('textbox', { name: 'Title' }).inputValue()) === 'Show who types');
      for (const [label, value] of [['Status', 'done'], ['Priority', 'low'], ['Assignee', 'cleo']]) {
        await left.getByLabel(label).selectOption(value);
        await until(`${label} arrives`, async () => (await right.getByLabel(label).inputValue()) === value);
      }
      await right.getByLabel('Assignee').selectOption('');
      await until('nobody has it', async () => (await left.getByLabel('Assignee').inputValue()) === '');
      await press(left, 'Back to the board');
      await inColumn(ann, 'Done', 'DEMO-2');
      await ann.locator('#ann-issue_2:focus').waitFor();
    }));

  it('keeps what one is writing when the other renames the issue', () =>
    on(async ({ ann, ben }) => {
      const [left, right] = [await open(ann, 'DEMO-2'), await open(ben, 'DEMO-2')];
      await left.getByRole('textbox', { name: 'Title' }).fill('Half a tit');
      await right.getByRole('textbox', { name: 'Title' }).fill('Another title');
      await press(right, 'Rename');
      await left.getByRole('heading', { name: 'DEMO-2 Another title' }).waitFor();
      assert.equal(await left.getByRole('textbox', { name: 'Title' }).inputValue(), 'Half a tit');
    }));

  it('deletes an issue, also under the eyes of the other', () =>
    on(async ({ ann, ben }) => {
      await open(ben, 'DEMO-4');
      await press(await open(ann, 'DEMO-4'), 'Delete');
      for (const one of [ann, ben]) {
        await one.getByText('This issue was deleted.').waitFor();
        await press(one, 'Back to the board');
        await counts(one, 'DEMO-4', 0);
      }
    }));

  it('shows that an issue is deleted, and nothing else, while its comments are on their way', () =>
    on(
      async ({ page, ann, ben }) => {
        // Both ask for the comments, and are answered when the issue is gone.
        const deleted = page.waitForResponse((response) => response.request().method() === 'DELETE');
        await page.route('**/issue_4/comments', async (route) => {
          await deleted;
          await route.continue();
        });
        const answered = page.waitForResponse('**/issue_4/comments');
        for (const one of [ann, ben]) {
          await card(one, 'DEMO-4').locator('.title').click();
          await one.getByText('Loading the comments…').waitFor();
        }
        await press(ann, 'Delete');
        assert.equal((await answered).status(), 404);
        for (const one of [ann, ben]) {
          await one.getByText('This issue was deleted.').waitFor();
          assert.equal(await one.getByRole('alert').count(), 0);
        }
      },
      { errors: [REFUSED] },
    ));

  it('shows comments in their order, and counts them on the card', () =>
    on(async ({ ann, ben }) => {
      const left = await open(ann, 'DEMO-1');
      for (const [words, body] of [['1 comment', 'The first'], ['2 comments', 'The second']]) {
        await left.getByLabel('Comment', { exact: true }).fill(body);
        await press(left, 'Comment');
        await card(ben, 'DEMO-1').getByText(words, { exact: true }).waitFor();
      }
      assert.equal(await left.getByLabel('Comment', { exact: true }).inputValue(), '');
      const right = await open(ben, 'DEMO-1');
      const comments = right.getByRole('list', { name: 'Comments' }).getByRole('listitem');
      await comments.nth(1).waitFor();
      assert.deepEqual(await comments.getByRole('paragraph').allInnerTexts(), ['The first', 'The second']);
    }));

  it('shows that somebody types, until the comment is sent or left', () =>
    on(async ({ ann, ben }) => {
      const [left, right] = [await open(ann, 'DEMO-1'), await open(ben, 'DEMO-1')];
      const typing = right.getByText('Ann is typing…');
      await left.getByLabel('Comment', { exact: true }).pressSequentially('Hal');
      await typing.waitFor();
      assert.equal(await left.getByText('is typing…').count(), 0);
      await left.getByLabel('Comment', { exact: true }).blur();
      await typing.waitFor({ state: 'detached' });
      await left.getByLabel('Comment', { exact: true }).pressSequentially('lo');
      await typing.waitFor();
      await press(left, 'Comment');
      await right.getByRole('listitem').getByText('Hallo').waitFor();
      await typing.waitFor({ state: 'detached' });
    }));

  it('shows who is here, and who looks at which issue', () =>
    on(async ({ demo, page, ann, ben }) => {
      await here(ann, 'Ben').waitFor();
      await here(ben, 'Ann').waitFor();
      const left = await open(ann, 'DEMO-3');
      await card(ben, 'DEMO-3').getByRole('img', { name: 'Ann looks at it' }).waitFor();
      await open(ben, 'DEMO-3');
      await left.getByRole('img', { name: 'Ben looks at it too' }).waitFor();
      await press(ben, 'Back to the board');
      await left.getByRole('img', { name: 'Ben looks at it too' }).waitFor({ state: 'detached' });
      await press(ann, 'Back to the board');
      await card(ben, 'DEMO-3').getByRole('img', { name: 'Ann looks at it' }).waitFor({ state: 'detached' });

      const [other] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Cleo in another window' }).click()]);
      await ready(other);
      assert.equal(other.url(), `${demo.origin}/?person=cleo`);
      await here(ann, 'Cleo').waitFor();
      await create(pane(other, 'Cleo'), 'From the third window');
      await counts(ben, 'DEMO-5', 1);
      await other.close();
    }));

  it('opens one person alone, the console, and both side by side again', () =>
    on(async ({ demo, page, ann }) => {
      const [alone] = await Promise.all([page.context().waitForEvent('page'), ann.getByRole('link', { name: 'In a window alone' }).click()]);
      await ready(alone);
      assert.equal(await alone.locator('#panes > section').count(), 1);
      assert.equal(await alone.getByRole('link', { name: 'In a window alone' }).count(), 0);
      await create(pane(alone, 'Ann'), 'From a window alone');
      await counts(ann, 'DEMO-5', 1);
      // The same person twice is there once.
      assert.equal(await here(ann, 'Ann').count(), 1);
      await alone.getByRole('link', { name: 'Two people side by side' }).click();
      await ready(alone);
      assert.equal(await alone.locator('#panes > section').count(), 2);
      const [console] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Console' }).click()]);
      await console.getByRole('banner').getByText('open', { exact: true }).waitFor();
      assert.equal(console.url(), `http://${demo.relay.address}/console/`);
    }));

  it('says why something is not done, until that is dismissed', () =>
    on(
      async ({ ann }) => {
        await create(ann, '   ');
        await ann.getByRole('alert').getByText('The title must have 1 to 120 characters').waitFor();
        await press(ann, 'Dismiss');
        await ann.getByRole('alert').waitFor({ state: 'detached' });
        assert.equal(await ann.locator('.card').count(), 4);
      },
      { errors: [REFUSED] },
    ));

  it('shows what somebody writes as text, whatever it is', () =>
    on(async ({ page, ann, ben }) => {
      const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
      await create(ann, hostile);
      await card(ben, 'DEMO-5').getByText(hostile).waitFor();
      assert.deepEqual(await page.evaluate(() => [document.querySelectorAll('main img, main script').length, document.title]), [0, 'Roomcast demo']);
    }));

  it('is served without inline code', () =>
    on(async ({ demo }) => {
      const policy = (await fetch(demo.origin)).headers.get('content-security-policy');
      assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; /);
      assert.ok(policy.includes(`connect-src 'self' ws://${demo.relay.address};`), policy);
      assert.doesNotMatch(policy, /unsafe/);
    }));

  it('fits on a phone, in the light and in the dark', () =>
    on(
      async ({ page, ann, ben }) => {
        await create(ann, `Long ${'word'.repeat(28)}`);
        await counts(ben, 'DEMO-5', 1);
        const fits = async (what) => {
          const [has, wants] = await page.evaluate(() => [document.documentElement.clientWidth, document.documentElement.scrollWidth]);
          assert.equal(has, 360);
          assert.ok(wants <= has, `${what} wants ${wants}`);
        };
        await fits('the board');
        await page.getByRole('link', { name: 'To Ben' }).click();
        await until('one sees Ben', () => ben.getByRole('heading', { name: 'Ben' }).evaluate((heading) => heading.getBoundingClientRect().top < innerHeight));
        await page.emulateMedia({ colorScheme: 'dark' });
        const issue = await open(ben, 'DEMO-5');
        await issue.getByLabel('Comment', { exact: true }).fill('x'.repeat(200));
        await press(issue, 'Comment');
        await issue.getByRole('listitem').getByText('x'.repeat(200)).waitFor();
        await fits('an issue');
        await press(ben, 'Cut the connection');
        await told(ben, 'resumed: 0 events recovered');
        await status(ben, 'open');
        await fits('what became of the connection');
      },
      { prepare: (page) => page.setViewportSize({ width: 360, height: 740 }) },
    ));
});
