/**
 * A log as a list: filtered, held still, opened line by line.
 *
 * Owns what all logs have: their bar, the number of lines that are drawn, and the opened ones.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { Entry, Log } from "../log.js";
import { useStore } from "../store.js";
import { count, Empty, pretty } from "./pieces.js";

interface Props<E extends Entry> {
  readonly log: Log<E>;
  /** What it is a log of, in the plural. */
  readonly name: string;
  /** What the filter looks at. */
  readonly searched: (entry: E) => string;
  /** The cells of a line. */
  readonly line: (entry: E) => ComponentChildren;
  readonly className: (entry: E) => string;
  /** Shown when nothing ever came. */
  readonly empty: ComponentChildren;
  /** More of the bar. */
  readonly children?: ComponentChildren;
}

/** Lines that are drawn: the newest. The filter finds the others. */
const SHOWN = 250;

export function LogList<E extends Entry>({ log, name, searched, line, className, empty, children }: Props<E>) {
  const entries = useStore(log.entries);
  const [filter, setFilter] = useState("");
  const [held, setHeld] = useState<readonly E[]>();
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const wanted = filter.trim().toLowerCase();
  const all = held ?? entries;
  const matching = wanted ? all.filter((entry) => searched(entry).toLowerCase().includes(wanted)) : all;
  const shown = matching.slice(-SHOWN).reverse();
  const waiting = held ? entries.filter(({ id }) => id > (held.at(-1)?.id ?? 0)).length : 0;

  function toggle(id: number) {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  }

  return (
    <section class="log" aria-label={name}>
      <div class="bar">
        <label class="grow">
          <span class="unseen">Filter {name}</span>
          <input type="search" placeholder={`Filter ${name}`} value={filter} onInput={({ currentTarget }) => setFilter(currentTarget.value)} />
        </label>
        {children}
        <button type="button" aria-pressed={held !== undefined} onClick={() => setHeld(held ? undefined : entries)}>
          {held ? "Resume" : "Pause"}
        </button>
        <button
          type="button"
          onClick={() => {
            log.clear();
            setHeld(undefined);
            setOpen(new Set());
          }}
        >
          Clear
        </button>
      </div>
      <p class="quiet tally" role="status">
        {tally(shown.length, matching.length, all.length, log.total, waiting, held !== undefined)}
      </p>
      {all.length === 0 ? (
        <Empty>{empty}</Empty>
      ) : shown.length === 0 ? (
        <Empty>Nothing fits the filter.</Empty>
      ) : (
        <Lines>
          {shown.map((entry) => (
            <li key={entry.id} class={className(entry)}>
              <button type="button" class="line" aria-expanded={open.has(entry.id)} onClick={() => toggle(entry.id)}>
                {line(entry)}
              </button>
              {open.has(entry.id) && <pre tabIndex={0}>{pretty(entry.text)}</pre>}
            </li>
          ))}
        </Lines>
      )}
    </section>
  );
}

/** The list, which stays where a reader has scrolled to while lines come above. */
function Lines({ children }: { children: ComponentChildren }) {
  const list = useRef<HTMLOListElement>(null);
  const height = useRef(0);
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    // Chromium anchors by itself; where it has, the difference is none.
    if (element.scrollTop > 0 && !CSS.supports("overflow-anchor", "auto")) element.scrollTop += element.scrollHeight - height.current;
    height.current = element.scrollHeight;
  });
  return (
    <ol class="lines" ref={list} tabIndex={-1}>
      {children}
    </ol>
  );
}

function tally(shown: number, matching: number, kept: number, total: number, waiting: number, isHeld: boolean): string {
  const parts = [matching === kept ? `${count(kept)} kept` : `${count(matching)} of ${count(kept)} fit`];
  if (shown < matching) parts.push(`the newest ${count(shown)} shown`);
  if (total > kept && !isHeld) parts.push(`${count(total)} since the start`);
  if (isHeld) parts.push(`paused, ${count(waiting)} new`);
  return parts.join(" · ");
}
