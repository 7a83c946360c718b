// What an event makes of the board, without a browser.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const entry = fileURLToPath(new URL('../src/state.ts', import.meta.url));
const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, format: 'esm' });
const { foldBoard, foldDiscussion } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`);

const issue = (id, more = {}) => ({ id, identifier: id.toUpperCase(), title: id, teamId: 'demo', status: 'todo', priority: 'low', assigneeId: null, comments: 0, ...more });
const event = (type, payload) => ({ type, payload: { teamId: 'demo', ...payload }, timestamp: '2024-01-15T10:30:00.000Z' });

/** What happens, as the back end tells it. */
const HAPPENING = [
  event('issue.created', { id: 'a', identifier: 'A', title: 'a', status: 'todo', priority: 'low', revision: 1 }),
  event('issue.created', { id: 'b', identifier: 'B', title: 'b', status: 'todo', priority: 'low', revision: 2 }),
  event('issue.updated', { id: 'a', changes: { status: 'done', assigneeId: 'ben' }, revision: 3 }),
  event('comment.created', { id: 'c', issueId: 'b', userId: 'ann', body: 'Yes', revision: 4 }),
  event('issue.deleted', { id: 'a', revision: 5 }),
];

const EMPTY = { revision: 0, issues: [] };
const plain = ({ revision, issues }) => ({ revision, issues: issues.map(({ touched: _, revision: __, ...rest }) => rest) });

it('is the same board, whichever snapshot the events follow and however they overlap with it', () => {
  const snapshots = HAPPENING.map((_, count) => HAPPENING.slice(0, count).reduce(foldBoard, EMPTY));
  const expected = { revision: 5, issues: [issue('b', { comments: 1 })] };
  for (const snapshot of snapshots) assert.deepEqual(plain(HAPPENING.reduce(foldBoard, snapshot)), expected);
});

it('stays the same object where an event changes nothing', () => {
  const board = HAPPENING.reduce(foldBoard, EMPTY);
  for (const known of [...HAPPENING, event('build.finished', { revision: 9 }), event('issue.updated', {})]) {
    assert.equal(foldBoard(board, known), board);
  }
});

it('takes comments of the discussion once', () => {
  const discussion = HAPPENING.reduce(foldDiscussion, { revision: 0, comments: [] });
  assert.deepEqual(discussion.comments.map(({ body }) => body), ['Yes']);
  assert.equal(HAPPENING.reduce(foldDiscussion, discussion), discussion);
});
