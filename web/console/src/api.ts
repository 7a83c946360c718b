/**
 * Calls of the gateway's HTTP API, on the page's own origin.
 *
 * Owns the deadline, and that a refusal is an error in the gateway's words. A token goes into a header and nowhere else.
 */

/** How long the gateway may take. */
const TIMEOUT_MS = 10_000;

/** Why a call was not served. */
export class CallError extends Error {
  /** JSON pointer to what is wrong in the body. */
  readonly pointer: string | undefined;

  constructor(message: string, pointer?: string) {
    super(message);
    this.pointer = pointer;
  }
}

interface Problem {
  readonly title?: string;
  readonly detail?: string;
  readonly code?: string;
  readonly pointer?: string;
}

export async function call<T>(method: "GET" | "POST", path: string, token?: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = {};
  if (token) headers["authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => {
    throw new CallError("the gateway does not answer");
  });
  if (response.ok) return (await response.json()) as T;
  const { code = response.status, title, detail, pointer } = ((await response.json().catch(() => ({}))) ?? {}) as Problem;
  throw new CallError(`${code}: ${detail ?? title ?? "refused"}`, pointer);
}

/** An error in words for people. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
