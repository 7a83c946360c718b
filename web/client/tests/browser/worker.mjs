// A worker with a client of its own, which tells the page of the first event.

import { createClient } from '@roomcast/client';

self.onmessage = ({ data: { url, bearer, room } }) => {
  const client = createClient({ url, token: () => bearer });
  client.room(room).onAny(({ payload }) => self.postMessage(payload.id));
  client.connect();
};
