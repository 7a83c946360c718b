// Random histories: rooms are joined, left and joined again, with and without a position, while everything goes wrong.
//
// Owns the promise that is looked for in them: a listener hears every event of its room in order and once from where it is
// told to be, or is told of a gap. Whoever brings a position is never told to begin anew.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { createClient, type Client } from "../../src/index.js";
import { createFakeGateway } from "../../src/testing/index.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const ROOMS = ["team:a", "team:b", "team:c", "issue:d"] as const;
type Name = (typeof ROOMS)[number];

/** Numbers that look like chance and are the same for one seed. */
function chance(seed: number): () => number {
  return () => (seed = (seed * 1_664_525 + 1_013_904_223) % 2 ** 32) / 2 ** 32;
}

function isNext(position: string, before: string): boolean {
  const [epoch, offset] = position.split(":");
  return before === `${epoch}:${Number(offset) - 1}`;
}

/** Listens as an application does, and writes down what breaks the promise. */
class Listener {
  /** Where it is. */
  at: string | undefined;
  readonly #log: string[];
  readonly #offs: (() => void)[];

  constructor(client: Client, name: Name, since: string | undefined, broken: (log: string[]) => void) {
    const room = client.room(name, { since });
    this.#log = [`${name} from ${since}`];
    let isPromised = since !== undefined;
    const moves = (isKept: boolean, word: string, position: string) => {
      this.#log.push(`${word} ${position}`);
      if (!isKept) broken(this.#log);
      this.at = position;
      if (word !== "event") isPromised = false;
    };
    this.#offs = [
      room.on("subscribed", ({ position }) => moves(!isPromised, "subscribed", position)),
      room.on("gap", ({ position }) => moves(true, "gap", position)),
      room.on("recovered", ({ position }) => moves(this.at === undefined || this.at === position, "recovered", position)),
      room.onAny(({ positions }) => moves(this.at !== undefined && isNext(positions![name]!, this.at), "event", positions![name]!)),
    ];
    this.at = since ?? room.position;
  }

  stop(): void {
    for (const off of this.#offs) off();
  }
}

async function history(seed: number): Promise<string[][]> {
  const random = chance(seed);
  const pick = (count: number) => Math.floor(random() * count);
  vi.spyOn(Math, "random").mockImplementation(random);
  const gateway = createFakeGateway({ historySize: 8 });
  const client = createClient({ url: gateway.url, token: gateway.tokens("ann"), WebSocket: gateway.WebSocket, longestRetryMs: 2_000 });
  const listeners = new Map<Name, Listener>();
  /** How far each room was heard, as an application keeps it. */
  const kept = new Map<Name, string>();
  const broken: string[][] = [];
  const publish = (rooms: readonly Name[]) => gateway.publish("notification.new", {}, { rooms }).positions;

  function leave(name: Name) {
    const listener = listeners.get(name);
    listener?.stop();
    listeners.delete(name);
    if (listener?.at) kept.set(name, listener.at);
  }

  function join(name: Name) {
    leave(name);
    listeners.set(name, new Listener(client, name, pick(2) ? kept.get(name) : undefined, (log) => broken.push(log)));
  }

  function unavailable() {
    gateway.unavailable();
    setTimeout(() => gateway.unavailable(false), pick(4_000));
  }

  function reconnect() {
    client.close();
    client.connect();
  }

  function happen() {
    const name = ROOMS[pick(ROOMS.length)]!;
    const what = pick(24);
    if (what < 5) join(name);
    else if (what < 7) leave(name);
    else if (what === 7) gateway.drop();
    else if (what === 8) gateway.drain(pick(500));
    else if (what === 9 && !pick(2)) gateway.gap(name);
    else if (what === 10 && !pick(3)) unavailable();
    else if (what === 11) reconnect();
    // Refused while the broker is away.
    else if (what > 11) tryTo(() => publish(ROOMS.filter((room) => room === name || pick(2))));
  }

  client.connect();
  for (let step = 0; step < 120; step++) {
    happen();
    const pause = pick(5);
    if (pause === 0) await vi.advanceTimersByTimeAsync(pick(3) ? pick(30) : pick(3_000));
    else if (pause === 1) await Promise.resolve();
  }
  gateway.unavailable(false);
  await vi.advanceTimersByTimeAsync(120_000);
  // What comes at last comes to everybody.
  const ends = Object.entries(listeners.size ? publish([...listeners.keys()]) : {});
  await vi.advanceTimersByTimeAsync(100);
  for (const [name, position] of ends) if (listeners.get(name as Name)!.at !== position) broken.push([name, `is not at ${position}`]);
  client.close();
  gateway.close();
  return broken;
}

function tryTo(act: () => unknown): void {
  try {
    act();
  } catch {
    // The fake refuses by an error.
  }
}

test("a listener hears all of its room in order from where it is told to be, in a hundred random histories", async () => {
  for (let seed = 1; seed <= 100; seed++) expect(await history(seed), `seed ${seed}`).toEqual([]);
}, 60_000);
