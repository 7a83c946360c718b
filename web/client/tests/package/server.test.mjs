// Rendering on a server: no socket, no timer, and a page that can be brought to life.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createClient } from '@roomcast/client';
import { RoomcastProvider, useConnection, usePresence, useRoomEvent, useRoomState, useTyping } from '@roomcast/client/react';
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';

test('everything renders on a server, without a connection', () => {
  let sockets = 0;
  const client = createClient({
    url: 'ws://localhost/ws',
    token: () => 'jwt',
    WebSocket: class {
      constructor() {
        sockets++;
      }
    },
  });
  function Page() {
    const { status } = useConnection();
    useRoomEvent('team:t', 'issue.updated', () => {});
    const count = usePresence('issue:i', { select: ({ members }) => members.length });
    const { users } = useTyping('issue:i');
    const { state } = useRoomState('team:t', { load: () => 1, reduce: (state) => state });
    return `${status} ${count} ${users.length} ${state}`;
  }
  const html = renderToString(createElement(RoomcastProvider, { client }, createElement(Page)));
  assert.equal(html, 'idle 0 0 undefined');
  assert.deepEqual([sockets, client.state.status], [0, 'idle']);
});

test('a hook without a provider says what is missing', () => {
  assert.throws(() => renderToString(createElement(() => useConnection().status)), /no RoomcastProvider/);
});
