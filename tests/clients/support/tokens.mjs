// Tokens of the tests: HS256 by hand, so that what a gateway accepts is not judged by the library that it uses itself.
//
// Owns the secret, and remembers every token that it signed: a gateway's log is searched for them when it stops.

import { createHmac } from 'node:crypto';

export const SECRET = 'a secret for tests alone, 32 bytes and more';

/** Every token that was signed in this process. */
export const signed = [];

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token with exactly these claims. */
export function sign(claims, { secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) {
  const content = `${base64url(header)}.${base64url(claims)}`;
  const token = `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`;
  signed.push(token);
  return token;
}

/** A good token of the user for ten minutes. */
export function token(user, claims = {}) {
  const now = Math.floor(Date.now() / 1000);
  return sign({ sub: user, email: `${user}@example.com`, iat: now, exp: now + 600, ...claims });
}

/** A token of a back end: it may publish everywhere and read the statistics. */
export const backend = () => token('backend', { grants: { '*': ['publish', 'admin'] } });
