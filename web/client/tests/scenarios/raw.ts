// A plain socket, and frames made comparable.
//
// Owns what two gateways may say differently: times, epochs, names that they make, words for people.

import type { Stage } from "./stage.js";

export async function until(what: string, ask: () => unknown): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What is said in words, made at random, or a time. */
const VOLATILE = new Set(["timestamp", "message", "connectionId", "expiresAt", "schema"]);

/** A frame as it is compared. Ids that nobody has given, and whole positions, are reduced to what both must have. */
export function comparable(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => comparable(item));
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([name]) => !VOLATILE.has(name));
    return Object.fromEntries(entries.map(([name, item]) => [name, comparable(item, name)]));
  }
  if (key === "retryAfterMs") return typeof value === "number" && value >= 0 && value <= 60_000 ? "soon" : value;
  if (key === "eventId") return /^given/.test(String(value)) ? value : "made";
  if (typeof value === "string" && /^[0-9a-z]+:\d+$/.test(value) && (key === "position" || key.includes(":"))) return value.replace(/^.*:/, "e:");
  return value;
}

export class Raw {
  readonly frames: any[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly #socket: any;
  #taken = 0;

  private constructor(stage: Stage, protocols: string[], query: string) {
    this.#socket = new stage.WebSocket(stage.url + query, protocols);
    this.#socket.onmessage = ({ data }: { data: string }) => this.frames.push(JSON.parse(data));
    this.#socket.onclose = ({ code, reason }: { code: number; reason: string }) => (this.closed = { code, reason });
    this.#socket.onerror = () => {};
  }

  /** A socket as it is opened, by whatever it brings. */
  static async open(stage: Stage, protocols: string[] = [], query = ""): Promise<Raw> {
    const raw = new Raw(stage, protocols, query);
    await until("the socket is open", () => raw.#socket.readyState === 1 || raw.closed);
    return raw;
  }

  /** One that was let in, over the subprotocol; its acknowledgement is taken. */
  static async enter(stage: Stage, token: string): Promise<Raw> {
    const raw = await Raw.open(stage, ["roomcast.v1", `roomcast.bearer.${token}`]);
    await raw.take(1);
    return raw;
  }

  send(...frames: unknown[]): void {
    for (const frame of frames) this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  close(): void {
    this.#socket.close(1000);
  }

  /** The next frames, as they are. */
  async next(count: number): Promise<any[]> {
    await until(`${count} more frames came behind ${JSON.stringify(this.frames.slice(this.#taken))}`, () => this.frames.length >= this.#taken + count);
    this.#taken += count;
    return this.frames.slice(this.#taken - count, this.#taken);
  }

  /** The next frames, made comparable. */
  async take(count: number): Promise<unknown[]> {
    return (await this.next(count)).map((frame) => comparable(frame));
  }

  /** What has come until the answer to a ping, without that. */
  async flushed(): Promise<unknown[]> {
    const id = `flush-${this.frames.length}`;
    this.send({ type: "ping", id });
    await until("the ping is answered", () => this.frames.some(({ replyTo }) => replyTo === id));
    const count = this.frames.findIndex(({ replyTo }) => replyTo === id) - this.#taken;
    const before = await this.take(count);
    await this.next(1);
    return before;
  }

  /** How the connection ended, behind which frames. */
  async end(): Promise<unknown[]> {
    await until("the connection is closed", () => this.closed);
    return [...(await this.take(this.frames.length - this.#taken)), this.closed];
  }
}
