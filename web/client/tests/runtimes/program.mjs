// The conversation as a program of Node, Bun or Deno: a line of JSON for each of its words. It ends by itself when its client
// is closed, for nothing of that is left then.

import process from 'node:process';

import { converse } from './conversation.mjs';

// Node has a WebSocket from version 22 on.
const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;

converse({ ...JSON.parse(process.env.CONVERSATION), WebSocket }, (...words) => console.log(JSON.stringify(words)));
