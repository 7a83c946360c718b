/**
 * What became of a person's connection, line by line.
 *
 * Owns the lines, and no more of them than can be read.
 */

import type { Client, ConnectionState, Unsubscribe } from "@roomcast/client";

export interface Line {
  readonly id: number;
  readonly at: Date;
  readonly text: string;
  readonly mood: "good" | "busy" | "bad";
}

export interface Diary {
  /** Oldest first; another list after each change. */
  readonly lines: readonly Line[];
  subscribe(listener: () => void): Unsubscribe;
  write(text: string, mood: Line["mood"]): void;
}

/** Lines that are kept. */
const KEPT = 50;

export function createDiary(client: Client): Diary {
  const listeners = new Set<() => void>();
  let lines: readonly Line[] = [];
  let written = 0;
  let former: ConnectionState["status"] = client.state.status;

  function write(text: string, mood: Line["mood"]) {
    lines = [...lines, { id: ++written, at: new Date(), text, mood }].slice(-KEPT);
    for (const listener of [...listeners]) listener();
  }

  // The client lives as long as the page.
  client.onState((state) => {
    const { status } = state;
    if (status === former) return;
    const wasOpen = former === "open";
    former = status;
    if (status === "open") write("connected", "good");
    else if (status === "closed") write(`closed for good: ${state.reason} (${state.code})`, "bad");
    else if (wasOpen && "reason" in state) write(state.reason, "bad");
  });

  return {
    get lines() {
      return lines;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    write,
  };
}
