/**
 * One person in front of a page: a network, a client over it, calls of the back end over it, and a diary.
 *
 * Owns that nothing of it is shared with the other person in the same window: what one does reaches the other by the gateway
 * alone.
 */

import { createClient, type Client } from "@roomcast/client";

import { createDiary, type Diary } from "./diary.js";
import { createNetwork, type Network } from "./network.js";
import { createServer, type Config, type Fetch, type Server } from "./server.js";

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly config: Config;
  readonly network: Network;
  readonly server: Server;
  readonly client: Client;
  readonly diary: Diary;
  /** The gateway breaks the connection off, as a network does that is gone. The client hears of it by itself. */
  cut(): Promise<void>;
  /** The network is gone for so long, and with it the connection. */
  leaveNetwork(ms: number): Promise<void>;
  /** Much happens on the board, whether this person has a network or not. */
  bustle(): Promise<void>;
}

/** Who does what happens on a busy day: somebody who is not looking. */
const BUSY_PERSON = "cleo";

export const nameOf = (id: string) => `${id.charAt(0).toUpperCase()}${id.slice(1)}`;

export function createPerson(id: string, config: Config): Person {
  const network = createNetwork();
  const { WebSocket, environment } = network;
  const server = createServer(id, network.fetch);
  const client = createClient({ url: config.webSocket, token: server.token, WebSocket, environment });
  // What stands behind the scene has a network of its own: it works while the person's is gone.
  const elsewhere: Fetch = (path, init) => fetch(path, init);
  const behind = createServer(id, elsewhere);
  const diary = createDiary(client);

  async function cut() {
    const { state } = client;
    if (state.status === "open") await behind.cut(state.connectionId);
  }

  return {
    id,
    name: nameOf(id),
    config,
    network,
    server,
    client,
    diary,
    cut,
    async leaveNetwork(ms) {
      network.goDown(ms);
      await cut();
    },
    bustle: () => createServer(BUSY_PERSON, elsewhere).beBusy(),
  };
}
