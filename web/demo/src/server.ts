/**
 * The back end, as one person calls it.
 *
 * Owns the person's token, which the gateway and the back end both take, and what a failure is called.
 */

import type { TokenProvider } from "@roomcast/client";

import type { Board, Discussion, Issue, Priority } from "./state.js";

/** What the page is told at its start. */
export interface Config {
  readonly webSocket: string;
  readonly console: string;
  readonly team: string;
  readonly people: readonly string[];
  /** Changes of a busy day. */
  readonly busy: number;
}

/** Of an issue, what is to be changed. */
export type Change = Partial<Pick<Issue, "title" | "status" | "priority" | "assigneeId">>;

export interface Server {
  readonly token: TokenProvider;
  board(signal: AbortSignal): Promise<Board>;
  discussion(issueId: string, signal: AbortSignal): Promise<Discussion>;
  create(title: string, priority: Priority): Promise<void>;
  change(issueId: string, change: Change): Promise<void>;
  remove(issueId: string): Promise<void>;
  comment(issueId: string, body: string): Promise<void>;
  /** Changes every issue several times, as an office does on a busy day. */
  beBusy(): Promise<void>;
  /** Has the gateway break a connection off. */
  cut(connectionId: string): Promise<void>;
}

/** Whatever takes a request to the back end. */
export type Fetch = (path: string, init?: RequestInit) => Promise<Response>;

/** A call that was not served, in words for whoever made it. */
export class Failure extends Error {}

export async function config(): Promise<Config> {
  return (await call(fetch, "GET", "/api/config")) as Config;
}

export function createServer(person: string, fetch: Fetch): Server {
  let kept: string | undefined;

  const token: TokenProvider = async ({ fresh }) => {
    if (fresh) kept = undefined;
    return (kept ??= ((await call(fetch, "POST", "/api/token", { body: { person } })) as { token: string }).token);
  };

  /** Tokens run out: a refused one is worth one more. */
  async function ask(method: string, path: string, more: { body?: unknown; signal?: AbortSignal } = {}) {
    const used = await token({ fresh: false });
    try {
      return await call(fetch, method, path, { ...more, token: used });
    } catch (error) {
      if (!(error instanceof Unauthorized)) throw error;
      if (kept === used) kept = undefined;
      return call(fetch, method, path, { ...more, token: await token({ fresh: false }) });
    }
  }

  const issue = (id: string) => `/api/issues/${encodeURIComponent(id)}`;
  return {
    token,
    board: async (signal) => (await ask("GET", "/api/issues", { signal })) as Board,
    discussion: async (id, signal) => (await ask("GET", `${issue(id)}/comments`, { signal })) as Discussion,
    create: async (title, priority) => void (await ask("POST", "/api/issues", { body: { title, priority } })),
    change: async (id, change) => void (await ask("PATCH", issue(id), { body: change })),
    remove: async (id) => void (await ask("DELETE", issue(id))),
    comment: async (id, body) => void (await ask("POST", `${issue(id)}/comments`, { body: { body } })),
    beBusy: async () => void (await ask("POST", "/api/busy")),
    cut: async (id) => void (await ask("POST", `/api/connections/${encodeURIComponent(id)}/cut`)),
  };
}

class Unauthorized extends Failure {}

interface Request {
  readonly token?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

async function call(fetch: Fetch, method: string, path: string, { token, body, signal }: Request = {}): Promise<unknown> {
  const headers: Record<string, string> = {};
  if (token) headers["authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(signal && { signal }),
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new Failure("There is no way to the back end. Nothing was saved.");
  });
  const text = await response.text();
  if (response.ok) return text ? JSON.parse(text) : undefined;
  const words = reason(text) ?? `the back end answers ${response.status}`;
  throw response.status === 401 ? new Unauthorized(words) : new Failure(sentence(words));
}

function reason(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: string }).error;
  } catch {
    return undefined;
  }
}

const sentence = (words: string) => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
