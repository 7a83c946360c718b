/** What a token says of itself. Nothing here is verified: that is the gateway's, which has the key. */

export interface Claims {
  readonly sub?: string;
  /** Seconds since 1970. */
  readonly exp?: number;
  readonly grants?: Readonly<Record<string, readonly string[]>>;
  readonly [name: string]: unknown;
}

/** The claims, or nothing if this is no JWT. */
export function claimsOf(token: string): Claims | undefined {
  const [, body = ""] = token.split(".");
  try {
    const bytes = Uint8Array.from(atob(body.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return claims && typeof claims === "object" && !Array.isArray(claims) ? (claims as Claims) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the operator's calls are open to it. */
export function isAdmin({ grants }: Claims): boolean {
  const operations = grants?.["*"];
  return Array.isArray(operations) && (operations.includes("admin") || operations.includes("*"));
}

/** The time until it runs out, in words. */
export function expiryOf({ exp }: Claims, now: number): string {
  if (typeof exp !== "number") return "no expiry";
  const seconds = Math.round(exp - now / 1000);
  return seconds <= 0 ? "expired" : `expires in ${span(seconds)}`;
}

/** A duration in its two largest units. */
export function span(seconds: number): string {
  const units: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = units.findIndex(([count]) => count > 0);
  const shown = first < 0 ? units.slice(3) : units.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}
