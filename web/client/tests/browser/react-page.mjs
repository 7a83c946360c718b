// The page of the React tests: one component that uses every hook, and shows what they say as text.

import * as roomcast from '@roomcast/client';
import { RoomcastProvider, useConnection, usePresence, useRoomEvent, useRoomState, useTyping } from '@roomcast/client/react';
import { createElement, StrictMode, version } from 'react';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

const root = createRoot(document.getElementById('root'));
window.calls = [];
window.loads = 0;

function Connection() {
  const { status } = useConnection();
  return status;
}

/** Says with each event in which rendering its listener was made. */
function Events({ room, label }) {
  useRoomEvent(room, 'issue.deleted', ({ payload }) => window.calls.push(`${label} ${payload.id}`));
  return null;
}

function People({ room, cursor }) {
  const names = usePresence(room, { data: { cursor }, select: ({ members }) => members.map(({ userId }) => userId).sort() });
  window.renderings = (window.renderings ?? 0) + 1;
  return names.join();
}

function Everybody({ room }) {
  const { members } = usePresence(room);
  return JSON.stringify(members.map(({ userId, data }) => [userId, data?.cursor]));
}

function Typists({ room }) {
  const { users, start, stop } = useTyping(room);
  Object.assign(window, { startTyping: start, stopTyping: stop });
  return users.map(({ userId }) => userId).join();
}

function Issues({ room }) {
  const { state, error } = useRoomState(room, {
    load: async () => {
      window.loads++;
      return (await window.snapshot()).split(',').filter(Boolean);
    },
    reduce: (issues, event) => (event.type === 'issue.deleted' ? [...issues, event.payload.id] : issues),
  });
  return error ? String(error) : (state?.join() ?? 'loading');
}

const parts = { Connection, Events, People, Everybody, Typists, Issues };

/** Starts a client, which is connected when something is shown. */
window.start = (options) => {
  window.client = roomcast.createClient({ token: (request) => window.nextToken(request), ...options });
  window.states = [];
  window.client.onState(({ status }) => window.states.push(status));
};

/** Shows these parts by their names, each in an element of its own. `null` takes the provider away too. */
window.show = (shown) => {
  const element = ([name, props]) => createElement('p', { id: name, key: name }, createElement(parts[name], props));
  const all = shown && createElement(RoomcastProvider, { client: window.client }, Object.entries(shown).map(element));
  root.render(createElement(StrictMode, null, all));
};

/** Shows one after the other, with nothing between them that could take a second on a busy machine. */
window.showInTurn = (all) => all.forEach((shown) => flushSync(() => window.show(shown)));

window.reactVersion = version;
