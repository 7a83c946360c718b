/** Small things that several views show. */

import { useEffect, useState } from "react";

import { nameOf } from "../person.js";
import type { Priority, Status } from "../state.js";

export const STATUS_NAMES: Record<Status, string> = { todo: "To do", in_progress: "In progress", done: "Done" };
export const PRIORITY_NAMES: Record<Priority, string> = { low: "Low", medium: "Medium", high: "High" };

/** Somebody, as a letter in a colour; `says` is what it means that this one is shown here. */
export function Avatar({ id, says }: { id: string; says?: string }) {
  const words = says ? `${nameOf(id)} ${says}` : nameOf(id);
  return (
    <span className={`avatar of-${id}`} role="img" aria-label={words} title={words}>
      {id.charAt(0).toUpperCase()}
    </span>
  );
}

/** The time, twice a second while somebody wants to see it pass. */
export function useNow(isWanted: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!isWanted) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isWanted]);
  return now;
}

/** Whole seconds until then, and none below one: what is due is due. */
export const secondsUntil = (then: number, now: number) => Math.max(1, Math.ceil((then - now) / 1000));

