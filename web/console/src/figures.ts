/**
 * The node's figures, asked for while the page is seen, and what follows from two answers: rates.
 *
 * Owns the pace of asking, and the guess of how the gateway's clock differs from this one's, on which latencies rest.
 */

import type { Figures } from "./answers.js";
import { words } from "./api.js";
import { clock } from "./session.js";
import { createStore, type Readable } from "./store.js";

export interface Sample {
  readonly figures: Figures;
  /** Per second since the answer before. */
  readonly rates: { readonly published: number; readonly delivered: number; readonly received: number };
  /** From the question to the answer, in milliseconds. */
  readonly roundTripMs: number;
}

export interface Watch {
  /** Oldest first. */
  readonly samples: Readable<readonly Sample[]>;
  /** Why there is no answer. */
  readonly error: Readable<string>;
  /** Asks now, if nothing is on its way. */
  refresh(): void;
}

const INTERVAL_MS = 2_000;

/** Two minutes of them. */
const MOST = 60;

/** Watches by this question, which gives nothing while there is nobody who may ask. */
export function watchFigures(ask: () => Promise<{ data: Figures }> | undefined): Watch {
  const samples = createStore<readonly Sample[]>([]);
  const error = createStore("");
  let isAsking = false;
  let best = Infinity;

  async function refresh() {
    if (isAsking || document.hidden) return;
    const began = performance.now();
    const asked = Date.now();
    const answer = ask();
    if (!answer) return;
    isAsking = true;
    try {
      const { data } = await answer;
      const roundTripMs = performance.now() - began;
      // The shorter the way, the better the guess.
      if (roundTripMs < best) {
        best = roundTripMs;
        clock.offsetMs = Date.parse(data.timestamp) - (asked + Date.now()) / 2;
      }
      add(data, roundTripMs);
      error.set("");
    } catch (reason) {
      error.set(words(reason));
    } finally {
      isAsking = false;
    }
  }

  function add(figures: Figures, roundTripMs: number) {
    const before = samples.value.at(-1)?.figures;
    const seconds = before ? (Date.parse(figures.timestamp) - Date.parse(before.timestamp)) / 1000 : 0;
    // A node that was started again, or another one behind the same address, counts from the start.
    const isSame = before !== undefined && seconds > 0 && figures.uptimeSeconds >= before.uptimeSeconds;
    const rate = (name: "published" | "delivered" | "received") =>
      isSame ? Math.max(0, (figures[name] - before[name]) / seconds) : 0;
    const rates = { published: rate("published"), delivered: rate("delivered"), received: rate("received") };
    samples.set([...samples.value, { figures, rates, roundTripMs }].slice(-MOST));
  }

  setInterval(refresh, INTERVAL_MS);
  document.addEventListener("visibilitychange", refresh);
  return { samples, error, refresh };
}
