// What a program does with the SDK, wherever it runs: it connects, joins a room, hears, publishes, loses its connection,
// and comes back to what it has missed.
//
// Owns the words that it says of it, which are the same everywhere. It ends when it hears the last event.

import { createClient, publish } from '@roomcast/client';

export function converse({ url, token, room: name, WebSocket }, say) {
  const client = createClient({ url, token: () => token, longestRetryMs: 200, ...(WebSocket && { WebSocket }) });
  const room = client.room(name);
  let heardMyself;
  const myself = new Promise((resolve) => (heardMyself = resolve));
  client.onState(({ status, refused }) => say(refused ? 'refused' : status));
  for (const type of ['subscribed', 'recovered', 'gap', 'denied']) room.on(type, ({ recovered }) => say(type, recovered));
  room.onAny(async ({ type, payload, userId }) => {
    // Its own comes behind the acknowledgement; whether it is heard before the promise is kept is the platform's to say.
    if (userId === 'ann') return heardMyself(payload.text);
    say('heard', type, payload.text, userId);
    if (payload.text === 'speak') {
      const [{ positions }, text] = await Promise.all([publish(room, 'custom.event', { text: 'spoken' }), myself]);
      say('published', text, Object.keys(positions).join());
    } else if (payload.text === 'last') {
      client.close();
    }
  });
  client.connect();
}
