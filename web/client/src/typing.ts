/**
 * Who types in an issue.
 *
 * Owns the indicators of others, each of which ends by itself, and how often one's own is said. Nothing of it is kept:
 * without a connection nobody is told.
 */

import type { Room } from "./room.js";
import type { UserTyping, UserTypingEvent } from "./schema/index.js";
import { createStore, type Readable } from "./store.js";

/** Who types. */
export type TypingUser = Pick<UserTyping, "userId" | "userEmail">;

/** The indicators of one issue, and one's own. */
export interface Typing extends Readable<readonly TypingUser[]> {
  /** The user types: to be called at each stroke. It is said every few seconds at most. */
  start(): void;
  /** The user has stopped. Without it the gateway says so after six seconds. */
  stop(): void;
  /** Listens no more. */
  leave(): void;
}

/** Half of the six seconds after which a gateway ends an indicator. */
const REPEAT_MS = 3_000;

/** When an indicator ends though nobody has said so: a little later than the gateway would. */
const LASTS_MS = 8_000;

/** Follows who types in the issue. */
export function typing<Own>(room: Room<`issue:${string}`, Own>): Typing {
  const { registry, connection } = room.core;
  const store = createStore<readonly TypingUser[]>([]);
  const typists = new Map<string, { user: TypingUser; timer: ReturnType<typeof setTimeout> }>();
  let saidAt = 0;

  const tell = () => store.set([...typists.values()].map(({ user }) => user));
  const end = (userId: string) => {
    clearTimeout(typists.get(userId)?.timer);
    if (typists.delete(userId)) tell();
  };
  const hear = ({ payload: { userId, userEmail, isTyping } }: UserTypingEvent) => {
    const { value: state } = connection.state;
    // From another tab of one's own.
    if (state.status === "open" && state.userId === userId) return;
    if (!isTyping) return end(userId);
    const known = typists.get(userId);
    clearTimeout(known?.timer);
    typists.set(userId, { user: { userId, userEmail }, timer: setTimeout(end, LASTS_MS, userId) });
    if (!known) tell();
  };
  const say = (isTyping: boolean) => {
    saidAt = isTyping ? Date.now() : 0;
    const event = { type: "user.typing", payload: { issueId: room.name.slice("issue:".length), isTyping } } as const;
    connection.link?.request({ action: "publish", event }, () => {});
  };
  const stop = () => {
    if (saidAt) say(false);
  };
  const unlisten = registry.listen(room.name, { type: "user.typing", hear });

  return {
    get value() {
      return store.value;
    },
    subscribe: store.subscribe,
    start() {
      if (Date.now() - saidAt >= REPEAT_MS) say(true);
    },
    stop,
    leave() {
      stop();
      unlisten();
      for (const userId of [...typists.keys()]) end(userId);
    },
  };
}
