// A relay: one address whose other end can be replaced, as behind a load balancer.
//
// So a client that knows one address finds the gateway's successor, and no test hopes that a port is still free. It is also
// the network between the two: it can be cut, and it can fall silent.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Relay {
  #server;
  /** Both ends of what passes through. */
  #sockets = new Set();
  #isCut = false;

  static async to(target) {
    const relay = new Relay();
    relay.target = target;
    relay.#server = createServer((socket) => relay.#forward(socket));
    await once(relay.#server.listen(0, '127.0.0.1'), 'listening');
    relay.address = `127.0.0.1:${relay.#server.address().port}`;
    return relay;
  }

  #forward(socket) {
    if (this.#isCut) return socket.resetAndDestroy();
    const [host, port] = this.target.split(':');
    const onward = connect(Number(port), host);
    socket.pipe(onward).pipe(socket);
    socket.on('error', () => onward.destroy());
    onward.on('error', () => socket.destroy());
    for (const end of [socket, onward]) {
      this.#sockets.add(end);
      end.on('close', () => this.#sockets.delete(end));
    }
  }

  /** Drops every connection; the next ones pass. */
  drop() {
    // One that is ending cannot be reset any more: its handle would never be closed, and Node's exit would wait for that.
    for (const end of this.#sockets) {
      if (end.writableEnded) end.destroy();
      else end.resetAndDestroy();
    }
  }

  /** Drops every connection and lets none pass, until it is mended. */
  cut() {
    this.#isCut = true;
    this.drop();
  }

  mend() {
    this.#isCut = false;
  }

  /** Nothing more passes over the connections of now, though they stay open; the next ones pass. */
  silence() {
    for (const end of this.#sockets) {
      end.unpipe();
      end.pause();
      this.#sockets.delete(end);
    }
  }

  close() {
    this.#server.close();
  }
}
