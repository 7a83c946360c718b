// Waiting: on conditions, with a deadline that only a fault reaches.

import { setTimeout as sleep } from 'node:timers/promises';

/** Far above what a loaded machine needs. */
export const DEADLINE_MS = 20_000;

/** Asks until the answer is truthy, and gives it. */
export async function until(what, ask) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(5);
  }
}

/** The promise's value, or an error that says what did not come. */
export async function within(what, promise) {
  const stop = new AbortController();
  const late = sleep(DEADLINE_MS, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`waited in vain for ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
    late.catch(() => {});
  }
}
