// The page of the browser tests: a client whose every word is written down. Loaded by a worker, it is a client too, which
// tells the page of the first event.

import * as roomcast from '@roomcast/client';

/** Starts a client; `nextToken` is the test's. */
globalThis.start = (options) => {
  globalThis.states = [];
  globalThis.heard = [];
  globalThis.client = roomcast.createClient({ token: (request) => globalThis.nextToken(request), ...options });
  globalThis.client.onState((state) => globalThis.states.push(state));
  globalThis.client.connect();
};

/** Listens to a room, and keeps how far it came where a reload finds it. */
globalThis.listen = (name) => {
  const room = globalThis.client.room(name, { since: sessionStorage.getItem(name) ?? undefined });
  for (const type of ['subscribed', 'recovered', 'gap', 'denied']) room.on(type, (notice) => globalThis.heard.push(notice));
  room.onAny((event) => {
    globalThis.heard.push(event);
    sessionStorage.setItem(name, room.position);
  });
};

globalThis.attend = (name, options) => {
  const presence = roomcast.presence(globalThis.client.room(name), options);
  globalThis.members = () => presence.value.members;
};

globalThis.roomcast = roomcast;

if (!('document' in globalThis)) {
  globalThis.onmessage = ({ data: { url, bearer, room } }) => {
    const client = roomcast.createClient({ url, token: () => bearer });
    client.room(room).onAny(({ payload }) => globalThis.postMessage(payload.id));
    client.connect();
  };
}
