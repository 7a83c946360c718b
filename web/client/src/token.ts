/**
 * Where tokens come from.
 *
 * Owns that the provider is asked by one flight at a time: whoever wants a token meanwhile gets the same one. A token is
 * never logged, kept, or part of an error.
 */

/** What a token is wanted for. */
export interface TokenRequest {
  /** The last token was refused, has run out or is about to: one that was kept from before will not do. */
  readonly fresh: boolean;
}

/**
 * Gives a token, a JWT. Called before each connect, and in time before the current one runs out. One that fails is asked
 * again at the next attempt.
 */
export type TokenProvider = (request: TokenRequest) => string | Promise<string>;

/** How long a provider may take. An attempt that waits longer has failed, and the next one asks anew. */
const TOKEN_TIMEOUT_MS = 30_000;

export function createTokens(provider: TokenProvider): (fresh: boolean) => Promise<string> {
  let flight: Promise<string> | undefined;
  let timer: ReturnType<typeof setTimeout>;
  return (fresh) =>
    (flight ??= new Promise<string>((resolve, reject) => {
      timer = setTimeout(reject, TOKEN_TIMEOUT_MS);
      Promise.resolve({ fresh }).then(provider).then(resolve, reject);
    }).finally(() => {
      clearTimeout(timer);
      flight = undefined;
    }));
}
