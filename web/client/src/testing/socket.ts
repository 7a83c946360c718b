/**
 * The client's end of a connection to the fake: a WebSocket without a network.
 *
 * Owns the order of what passes: each frame in a turn of its own, behind the one before, as from a network without delay.
 */

import type { WebSocketLike } from "../options.js";

/** The gateway's end. */
export interface Peer {
  open(socket: FakeSocket): void;
  receive(text: unknown): void;
  /** The client has closed it. */
  closed(): void;
}

export class FakeSocket implements WebSocketLike {
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  readyState = 0;
  readonly url: string;
  readonly protocol: string;
  readonly protocols: readonly string[];
  readonly #peer: Peer;
  #turns: Promise<void> = Promise.resolve();

  constructor(url: string | URL, protocols: readonly string[], peer: Peer) {
    this.url = String(url);
    this.protocols = protocols;
    this.protocol = protocols.includes("roomcast.v1") ? "roomcast.v1" : "";
    this.#peer = peer;
    this.#next(() => peer.open(this));
  }

  #next(turn: () => void): void {
    this.#turns = this.#turns.then(turn);
  }

  send(text: string): void {
    if (this.readyState === 0) throw new Error("the socket is not open yet");
    if (this.readyState === 1) this.#next(() => this.readyState === 1 && this.#peer.receive(text));
  }

  close(code = 1005): void {
    if (this.readyState > 1) return;
    this.readyState = 2;
    this.#peer.closed();
    this.#next(() => this.#end(code, ""));
  }

  // What the gateway does.

  accept(): void {
    if (this.readyState) return;
    this.readyState = 1;
    this.onopen?.({ type: "open", target: this });
  }

  deliver(text: string): void {
    this.#next(() => this.readyState === 1 && this.onmessage?.({ type: "message", data: text, target: this }));
  }

  /** Ends it behind what was delivered. */
  finish(code: number, reason: string): void {
    this.#next(() => this.readyState < 2 && this.#end(code, reason));
  }

  /** The network is gone, and everything on its way with it. */
  abort(): void {
    if (this.readyState > 2) return;
    const wasOpen = this.readyState;
    this.readyState = 3;
    this.#next(() => {
      if (!wasOpen) this.onerror?.({ type: "error", target: this });
      this.onclose?.({ type: "close", code: 1006, reason: "", wasClean: false, target: this });
    });
  }

  #end(code: number, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ type: "close", code, reason, wasClean: true, target: this });
  }
}
