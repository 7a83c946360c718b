// A page as a developer would have it: two identities, rooms with people, events of a small team.
//
// Owns what the pictures show, and the words for what the tests press.

import assert from 'node:assert/strict';

/** What happens in the scene, oldest first. */
const HAPPENING = [
  ['issue.created', { id: 'issue_1', identifier: 'ENG-42', title: 'Fix login bug', teamId: 'demo', status: 'todo', priority: 'high' }],
  ['issue.updated', { id: 'issue_1', teamId: 'demo', changes: { status: 'in_progress', assigneeId: 'ann' } }],
  ['comment.created', { id: 'comment_1', issueId: 'issue_1', teamId: 'demo', userId: 'bob', body: 'It fails for addresses with a plus.' }],
  ['comment.created', { id: 'comment_2', issueId: 'issue_1', teamId: 'demo', userId: 'ann', body: 'Found it. A fix is on its way.' }],
  ['cycle.updated', { id: 'cycle_7', teamId: 'demo', changes: { name: 'November' } }],
  ['issue.created', { id: 'issue_2', identifier: 'ENG-43', title: 'Show who is typing', teamId: 'demo', status: 'todo', priority: 'low' }],
  ['project.updated', { id: 'project_3', teamId: 'demo', changes: { lead: 'carol' } }],
  ['issue.updated', { id: 'issue_1', teamId: 'demo', changes: { status: 'done' } }],
];

/** Publishes what happens, by the back end's token. */
export async function happen(origin, token, more = []) {
  for (const [type, payload] of [...HAPPENING, ...more]) {
    const response = await fetch(`${origin}/api/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ type, payload, userId: payload.userId ?? 'ann' }),
    });
    assert.ok(response.ok, `publishing ${type}: ${response.status}`);
  }
}

export const panel = (page, name) => page.getByRole('navigation').getByRole('link', { name }).click();

/** Joins a room, and waits until the gateway has let it in. */
export async function join(page, room) {
  await panel(page, 'Events');
  const rooms = page.getByRole('region', { name: 'Rooms', exact: true });
  await rooms.getByLabel('Room').fill(room);
  await rooms.getByRole('button', { name: 'Join' }).click();
  await rooms.getByRole('listitem').filter({ hasText: room }).getByText('subscribed').waitFor();
}

/** Becomes somebody more. */
export async function become(page, user, grants) {
  await panel(page, 'Identities');
  const form = page.getByRole('form', { name: 'Mint a token' });
  await form.getByLabel('User').fill(user);
  await form.getByLabel('Grants').fill(grants ?? '');
  await form.getByRole('button', { name: 'Connect' }).click();
  await page.getByRole('article', { name: `Identity ${user}` }).getByText('open').waitFor();
}

/** Shows what this identity has. */
export const show = (page, user) => page.getByLabel('Identity', { exact: true }).selectOption({ label: user });

/** The picture's page: the console is in two rooms with two more people, and things happen. */
export async function compose(page, origin, token) {
  for (const user of ['ann', 'bob']) {
    await become(page, user);
    await join(page, 'team:demo');
  }
  await show(page, 'console');
  await join(page, 'team:demo');
  await join(page, 'issue:issue_1');
  await happen(origin, token);
  await page.getByText('project.updated').first().waitFor();
}
