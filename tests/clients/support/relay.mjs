// A relay: one address whose other end can be replaced, as behind a load balancer.
//
// So a client that knows one address finds the gateway's successor, and no test hopes that a port is still free.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Relay {
  #server;

  static async to(target) {
    const relay = new Relay();
    relay.target = target;
    relay.#server = createServer((socket) => relay.#forward(socket));
    await once(relay.#server.listen(0, '127.0.0.1'), 'listening');
    relay.address = `127.0.0.1:${relay.#server.address().port}`;
    return relay;
  }

  #forward(socket) {
    const [host, port] = this.target.split(':');
    const onward = connect(Number(port), host);
    socket.pipe(onward).pipe(socket);
    socket.on('error', () => onward.destroy());
    onward.on('error', () => socket.destroy());
  }

  close() {
    this.#server.close();
  }
}
