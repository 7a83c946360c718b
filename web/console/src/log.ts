/**
 * A log with an end: the newest entries, by number and by length of their texts.
 *
 * Owns the bound. Whoever shows it is told a few times a second, however much comes. Entries are kept as text: a payload is
 * never more than that here.
 */

import { createStore, type Readable } from "./store.js";

/** What every entry has. */
export interface Entry {
  readonly id: number;
  /** When it came, in milliseconds since 1970. */
  readonly at: number;
  /** Everything of it, for the filter and for whoever opens it. */
  readonly text: string;
}

export interface Log<E extends Entry> {
  /** Oldest first; another array whenever it changes. */
  readonly entries: Readable<readonly E[]>;
  /** How many ever came. */
  readonly total: number;
  add(entry: Omit<E, "id">): void;
  clear(): void;
}

/** Entries that are kept: what a person scrolls through. */
const MOST = 1_000;

/** Characters that are kept: 60 messages of the largest size. */
const MOST_CHARACTERS = 4 << 20;

/** Between two drawings. */
const REST_MS = 100;

export function createLog<E extends Entry>(): Log<E> {
  const entries = createStore<readonly E[]>([]);
  let kept: E[] = [];
  let characters = 0;
  let total = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function changed() {
    timer ??= setTimeout(() => {
      timer = undefined;
      entries.set([...kept]);
    }, REST_MS);
  }

  return {
    entries,
    get total() {
      return total;
    },
    add(entry) {
      kept.push({ ...entry, id: ++total } as E);
      characters += entry.text.length;
      let surplus = Math.max(0, kept.length - MOST);
      for (let index = 0; index < surplus; index++) characters -= kept[index]!.text.length;
      while (characters > MOST_CHARACTERS && surplus < kept.length - 1) characters -= kept[surplus++]!.text.length;
      kept.splice(0, surplus);
      changed();
    },
    clear() {
      kept = [];
      characters = 0;
      changed();
    },
  };
}
