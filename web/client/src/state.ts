/** Where a client's connection stands, as an application can see it. */

/** Where a client's connection stands; `status` tells which fields there are. */
export type ConnectionState =
  /** `connect` was not called yet. */
  | { readonly status: "idle" }
  /** The first attempt is under way. */
  | { readonly status: "connecting" }
  /** Connected and authenticated: the connection's name, for logs, and whom the token names. */
  | { readonly status: "open"; readonly connectionId: string; readonly userId: string }
  /** The connection was lost or could not be made, and the client tries again, for ever. */
  | ({ readonly status: "reconnecting" } & Retrying)
  /** The same while the browser says that there is no network: it is tried less for hope than for certainty. */
  | ({ readonly status: "offline" } & Retrying)
  /** The end, until `connect` is called again. */
  | {
      readonly status: "closed";
      /** 1000: the application closed it. 4500 to 4999: the gateway said to stay away. */
      readonly code: number;
      /** Words for people. */
      readonly reason: string;
    };

/** How it goes with coming back. */
export interface Retrying {
  /** How many attempts failed in a row, the loss included: 1 at first. */
  readonly attempt: number;
  /** When the next attempt begins (began, while it is under way), in milliseconds since 1970. */
  readonly nextTry: number;
  /**
   * Whether the last two attempts or more ended before a socket was open. A browser does not say why: nobody may listen
   * there, or the gateway refuses this page (its origin) or for now everybody.
   */
  readonly refused: boolean;
  /** Words for people: why there is no connection. */
  readonly reason: string;
}
