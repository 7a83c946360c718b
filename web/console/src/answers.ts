/** What the gateway answers to the console's calls. */

/** `GET config.json`. */
export interface Config {
  readonly mode: "dev" | "serve";
  readonly version: string;
  readonly websocketPath: string;
  /** Where the sockets and everybody's calls are, when that is another origin than the page's, which has the calls too. */
  readonly publicUrl: string | null;
}

/** `GET /api/v1/figures`: gauges as of now, counters since the node's start. */
export interface Figures {
  readonly timestamp: string;
  readonly uptimeSeconds: number;
  readonly connections: number;
  readonly rooms: number;
  readonly published: number;
  readonly delivered: number;
  readonly received: number;
  readonly queueBytes: number;
  /** Connections that were closed, by close code. */
  readonly closed: Readonly<Record<string, number>>;
  readonly recovered: number;
  readonly gaps: number;
  readonly rateLimited: number;
  readonly errors: number;
}

/** One of `GET /api/v1/connections`. */
export interface ConnectionInfo {
  readonly connectionId: string;
  readonly userId: string | null;
  readonly rooms: readonly string[];
  readonly queueBytes: number;
  readonly connectedAt: string;
  readonly address: string;
  /** What each write to it waits, in milliseconds; nothing at full speed. */
  readonly delayMs?: number;
}

/** One of `GET /api/v1/rooms`. */
export interface RoomInfo {
  readonly room: string;
  readonly members: number;
  readonly position: string | null;
}

/** `POST /api/v1/access/explain`. */
export interface Explanation {
  readonly allowed: boolean;
  readonly rule: string;
  readonly pattern?: string;
  readonly reason: string;
  readonly userId?: string;
  readonly grants?: readonly { readonly pattern: string; readonly operations: readonly string[] }[];
}
