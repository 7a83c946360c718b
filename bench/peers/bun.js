// Bun's own publish/subscribe, as its documents have it. No tokens, no limits, no history.

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT ?? 3001),
  async fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (pathname === '/ws') {
      return server.upgrade(request) ? undefined : new Response('', { status: 400 });
    }
    if (request.method === 'POST' && pathname.startsWith('/publish/')) {
      server.publish(pathname.slice('/publish/'.length), await request.text());
      return new Response('{}');
    }
    return new Response('', { status: 404 });
  },
  websocket: {
    perMessageDeflate: false,
    // Seconds. A ping goes out 16 s before: 28 s after the last sign of life, as often as Roomcast's on the average.
    idleTimeout: 44,
    message(socket, text) {
      for (const room of JSON.parse(text).rooms) socket.subscribe(room);
      socket.send('{"type":"subscription.ack"}');
    },
  },
});
