// What a page has and this version of Node may not: a WebSocket as a global.
import { WebSocket } from 'ws';

globalThis.WebSocket ??= WebSocket;
