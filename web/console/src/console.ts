/**
 * The state of the page: the gateway that it belongs to, the identities, and who asks the operator's questions.
 *
 * Owns which token is used for which call. Views show it and call it, and keep nothing but what is being typed.
 */

import type { Config, Figures } from "./answers.js";
import { call } from "./api.js";
import { claimsOf, isAdmin } from "./claims.js";
import { watchFigures, type Watch } from "./figures.js";
import { createSession, type Session } from "./session.js";
import { createStore, type Readable } from "./store.js";

export interface Wanted {
  readonly userId: string;
  /** Without: what a token without the claim may do. */
  readonly grants?: unknown;
}

export interface Console {
  readonly config: Config;
  readonly sessions: Readable<readonly Session[]>;
  /** Whose events, frames and forms are shown. */
  readonly active: Readable<Session | undefined>;
  readonly figures: Watch;
  /** Where the public API is, for whoever types it elsewhere. */
  readonly publicUrl: string;
  use(session: Session): void;
  /** Has a token minted, and connects with it; in `dev` only. */
  mint(wanted: Wanted): Promise<void>;
  /** Connects with this token. Throws when it is none. */
  paste(token: string): void;
  remove(session: Session): void;
  /** Who may ask the operator's questions: the active identity if it may, or the first that may. */
  admin(): Session | undefined;
  /** A call with that one's token. */
  ask<T>(method: "GET" | "POST", path: string, body?: unknown): Promise<T>;
}

/** Identities at a time: each has a connection. */
export const MOST_SESSIONS = 16;

export function createConsole(config: Config): Console {
  const publicUrl = config.publicUrl ?? location.origin;
  const url = new URL(config.websocketPath, publicUrl);
  url.protocol = url.protocol.replace("http", "ws");
  const sessions = createStore<readonly Session[]>([]);
  const active = createStore<Session | undefined>(undefined);

  function add(session: Session) {
    sessions.set([...sessions.value, session]);
    active.set(session);
    session.connect();
    figures.refresh();
  }

  function checkRoom() {
    if (sessions.value.length >= MOST_SESSIONS) throw new Error(`${MOST_SESSIONS} identities are the most`);
  }

  const minted = async (wanted: Wanted) => (await call<{ token: string }>("POST", "/dev/token", undefined, wanted)).token;

  function admin() {
    const may = (session: Session | undefined) => session && isAdmin(session.claims.value);
    return may(active.value) ? active.value : sessions.value.find(may);
  }

  const figures = watchFigures(() => {
    const asking = admin();
    return asking && call<{ data: Figures }>("GET", "/api/v1/figures", asking.token());
  });

  return {
    config,
    sessions,
    active,
    figures,
    publicUrl,
    use: active.set,
    async mint(wanted) {
      checkRoom();
      const first = await minted(wanted);
      add(createSession(url.href, first, () => minted(wanted)));
    },
    paste(token) {
      checkRoom();
      if (!claimsOf(token)) throw new Error("this is no token: a JWT has three parts, with claims in the second");
      add(createSession(url.href, token, () => token));
    },
    remove(session) {
      session.close();
      sessions.set(sessions.value.filter((other) => other !== session));
      if (active.value === session) active.set(sessions.value.at(-1));
    },
    admin,
    ask(method, path, body) {
      return call(method, path, admin()?.token(), body);
    },
  };
}
