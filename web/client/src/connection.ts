/**
 * The connection that mends itself.
 *
 * Owns when to connect, to wait, to come back and to stay away, and the token's renewal. One link at a time; what is asked
 * over it is the registry's.
 */

import { waitMs } from "./backoff.js";
import { openLink, type Ending, type Link } from "./link.js";
import type { Settings } from "./options.js";
import type { Registry } from "./registry.js";
import type { ConnectionState } from "./state.js";
import { createStore, type Readable, type Unsubscribe } from "./store.js";
import { createTokens } from "./token.js";

export interface Connection {
  readonly state: Readable<ConnectionState>;
  /** The link, while it is open. */
  readonly link: Link | undefined;
  connect(): void;
  close(): void;
}

/** The window of the first wait: short, since most losses are a restart of one gateway of several. */
const FIRST_RETRY_MS = 500;

/** A connection that held this long was a success: the next loss starts a new series of attempts. */
const STABLE_MS = 10_000;

/** From a failure to an attempt that the surroundings ask for, at least. */
const RESTLESS_MS = 1_000;

/** Between two renewals: a provider that fails, or gives the same token again, is not asked without end. */
const RENEWAL_PAUSE_MS = 10_000;

const UNAUTHORIZED = 4500;
const EXPIRED = 4002;

export function createConnection(settings: Settings, registry: Registry): Connection {
  const state = createStore<ConnectionState>({ status: "idle" });
  const { environment } = settings;
  /** Of this `connect`: what was asked for before the last `close` may be the token of somebody who has left since. */
  let token: ReturnType<typeof createTokens>;
  /** The link, whatever its stage. */
  let link: Link | undefined;
  /** When it was let in; 0 before that. */
  let openedAt = 0;
  /** Names the attempt under way; what an earlier one brings is of no interest. */
  let run: object | undefined;
  /** There from `connect` to the end. */
  let unwatch: Unsubscribe | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let renewal: ReturnType<typeof setTimeout> | undefined;
  let renewedAt = 0;
  /** Failures in a row, and those of them that came before a socket was open. */
  let failures = 0;
  let refusals = 0;
  /** The provider must give another token: the last one was refused, or has run out. */
  let fresh = false;
  /** Not to be tried before, whatever happens around. */
  let notBefore = 0;
  let nextTry = 0;
  let reason = "";

  async function attempt() {
    const own = (run = {});
    timer = undefined;
    try {
      const answer = await token(fresh);
      if (run === own) open(answer);
    } catch {
      // Neither error is shown: the one may, and the other does, hold the token.
      if (run === own) fail("no token or no socket");
    }
  }

  function open(answer: string) {
    openedAt = 0;
    const own = openLink(settings, answer, {
      opened({ connectionId, userId }) {
        fresh = false;
        refusals = 0;
        openedAt = Date.now();
        registry.opened(own);
        state.set({ status: "open", connectionId, userId });
      },
      heard: (message) => (message.type === "auth.expiring" ? renew(own) : registry.heard(message)),
      ended,
    });
    link = own;
  }

  function ended({ isReached, code, reason, hintMs }: Ending) {
    forget();
    if (openedAt && Date.now() - openedAt >= STABLE_MS) failures = 0;
    refusals = isReached ? 0 : refusals + 1;
    if (code === UNAUTHORIZED && !openedAt && !fresh) {
      fresh = true;
      attempt();
    } else if (code >= 4500 && code <= 4999) {
      stop(code, reason);
    } else {
      fresh ||= code === EXPIRED;
      fail(reason, hintMs);
    }
  }

  /** The link is gone. */
  function forget() {
    clearTimeout(renewal);
    link = undefined;
    registry.lost();
  }

  function fail(why: string, hintMs = 0) {
    reason = why;
    failures++;
    notBefore = Date.now() + Math.max(hintMs, RESTLESS_MS);
    wait(waitMs(failures, FIRST_RETRY_MS, settings.longestRetryMs, hintMs));
  }

  function wait(ms: number) {
    clearTimeout(timer);
    timer = setTimeout(attempt, ms);
    nextTry = Date.now() + ms;
    const status = environment.isOnline() ? "reconnecting" : "offline";
    state.set({ status, attempt: failures, nextTry, refused: refusals > 1, reason });
  }

  /** Something has changed around: the connection is looked after, or tried now unless the gateway asked for patience. */
  function wake() {
    if (link) link.probe();
    else if (timer) wait(Math.max(0, Math.min(nextTry, environment.isOnline() ? notBefore : nextTry) - Date.now()));
  }

  function renew(own: Link) {
    clearTimeout(renewal);
    const again = () => link === own && renew(own);
    renewal = setTimeout(() => {
      renewedAt = Date.now();
      token(true).then((answer) => {
        if (link !== own) return;
        own.request({ action: "authenticate", token: answer }, (reply) => {
          if (reply?.type === "auth.ack") registry.renewed(reply.payload.lostRooms);
          else again();
        });
      }, again);
    }, renewedAt + RENEWAL_PAUSE_MS - Date.now());
  }

  function stop(code: number, reason: string) {
    run = undefined;
    clearTimeout(timer);
    unwatch?.();
    unwatch = undefined;
    link?.close();
    forget();
    state.set({ status: "closed", code, reason });
  }

  return {
    state,
    get link() {
      return link?.limits && link;
    },
    connect() {
      if (unwatch) return;
      token = createTokens(settings.token);
      failures = refusals = 0;
      fresh = false;
      unwatch = environment.watch(wake, () => link?.end(0, "put away"));
      state.set({ status: "connecting" });
      attempt();
    },
    close() {
      if (unwatch) stop(1000, "closed by the application");
    },
  };
}
