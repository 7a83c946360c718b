/**
 * Tokens, and who may do what with them.
 *
 * Owns the meaning of claims as a gateway reads them. A token of the fake is not signed: whoever can write a test may be
 * whoever they like.
 */

/** What a token says, as far as it matters here. */
export interface Claims {
  readonly sub: string;
  /** Seconds since 1970. */
  readonly exp: number;
  readonly email?: string;
  /** Operations by patterns of rooms, as `{ "team:*": ["subscribe", "presence"] }`. */
  readonly grants?: Readonly<Record<string, readonly string[]>>;
}

/** What a token without grants may do: nothing but its own user room, or everything but publish. */
export type RoomAccess = "grants" | "open";

export function encode(claims: Claims): string {
  const part = (value: object) =>
    btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value))))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  return `${part({ alg: "none" })}.${part(claims)}.unsigned`;
}

/** The claims of a token, also of a real one; `undefined` for what is none. */
export function decode(token: string): Claims | undefined {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims.sub === "string" && typeof claims.exp === "number" ? claims : undefined;
  } catch {
    return undefined;
  }
}

export function isAllowed(access: RoomAccess, claims: Claims, room: string, operation: string): boolean {
  const isOwn = room === `user:${claims.sub}`;
  if (isOwn && operation === "subscribe") return true;
  const kind = `${room.split(":", 1)[0]}:*`;
  for (const [pattern, operations] of Object.entries(claims.grants ?? {})) {
    const matches = pattern === "*" || pattern === kind || pattern === room;
    if (matches && operations.some((allowed) => covers(allowed, operation))) return true;
  }
  // Whoever may subscribe to an issue may type there.
  if (operation === "publish:user.typing" && kind === "issue:*" && isAllowed(access, claims, room, "subscribe")) return true;
  const isOfAnother = kind === "user:*" && !isOwn;
  return !claims.grants && access === "open" && !isOfAnother && !operation.startsWith("publish");
}

function covers(allowed: string, operation: string): boolean {
  return allowed === "*" || allowed === operation || (allowed === "publish" && operation.startsWith("publish:"));
}
