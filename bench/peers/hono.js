// Hono on Node, with ws and a map of rooms: the stack of the module that Roomcast replaces, without its tokens and limits.

import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { WebSocketServer } from 'ws';

const rooms = new Map();
const app = new Hono();

app.post('/publish/:room', async (context) => {
  const text = await context.req.text();
  for (const socket of rooms.get(context.req.param('room')) ?? []) {
    if (socket.readyState === socket.OPEN) socket.send(text);
  }
  return context.json({});
});

const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env.PORT ?? 3001) });
const sockets = new WebSocketServer({ server, path: '/ws', perMessageDeflate: false });

sockets.on('connection', (socket) => {
  const joined = [];
  socket.on('message', (data) => {
    for (const room of JSON.parse(data).rooms) {
      if (!rooms.has(room)) rooms.set(room, new Set());
      rooms.get(room).add(socket);
      joined.push(room);
    }
    socket.send('{"type":"subscription.ack"}');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    for (const room of joined) rooms.get(room).delete(socket);
  });
});
