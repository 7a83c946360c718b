// The page of the browser tests: a client whose every word is written down.

import * as roomcast from '@roomcast/client';

/** Starts a client; `nextToken` is the test's. */
window.start = (options) => {
  window.states = [];
  window.heard = [];
  window.client = roomcast.createClient({ token: (request) => window.nextToken(request), ...options });
  window.client.onState((state) => window.states.push(state));
  window.client.connect();
};

/** Listens to a room, and keeps how far it came where a reload finds it. */
window.listen = (name) => {
  const room = window.client.room(name, { since: sessionStorage.getItem(name) ?? undefined });
  for (const type of ['subscribed', 'recovered', 'gap', 'denied']) room.on(type, (notice) => window.heard.push(notice));
  room.onAny((event) => {
    window.heard.push(event);
    sessionStorage.setItem(name, room.position);
  });
};

window.attend = (name, options) => {
  const presence = roomcast.presence(window.client.room(name), options);
  window.members = () => presence.value.members;
};

window.roomcast = roomcast;
