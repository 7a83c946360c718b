// Access: why somebody may, or may not.

import { it } from 'node:test';

import { onConsole } from '../harness.mjs';
import { become, panel } from '../scene.mjs';

export default function () {
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
}
