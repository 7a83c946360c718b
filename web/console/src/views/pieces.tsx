/** Small pieces that several panels show. */

import type { ConnectionState } from "@roomcast/client";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** Words of the schema, where what stands between backticks is code. */
export function Prose({ text }: { text: string }) {
  return <>{text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}

/** An error of a call, told to whoever listens instead of looking. */
export function Alert({ children }: { children: string }) {
  return (
    <p role="alert" class={children ? "alert" : "alert none"}>
      {children}
    </p>
  );
}

const TONES: Readonly<Record<ConnectionState["status"], string>> = {
  idle: "off",
  connecting: "busy",
  open: "good",
  reconnecting: "busy",
  offline: "off",
  closed: "bad",
};

/** A connection's state: in words, and in a colour beside them. */
export function Status({ state }: { state: ConnectionState }) {
  const more =
    state.status === "closed"
      ? `, ${state.code} ${state.reason}`
      : state.status === "reconnecting" || state.status === "offline"
        ? `, attempt ${state.attempt}: ${state.reason}`
        : "";
  return (
    <span class={`status ${TONES[state.status]}`}>
      {state.status}
      {more}
    </span>
  );
}

/** Copies a text, where the browser lets a page do that. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [outcome, setOutcome] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setOutcome(""), 2_000);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = () =>
    Promise.resolve(navigator.clipboard?.writeText(text)).then(
      () => setOutcome(navigator.clipboard ? "Copied" : "Select it by hand"),
      () => setOutcome("Select it by hand"),
    );
  return (
    <button type="button" class="small" onClick={copy} aria-live="polite">
      {outcome || label}
    </button>
  );
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** The time of day, to the millisecond. */
export const timeOf = (at: number) => TIME.format(at);

const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The day and the time of day, here. What is no time is said so. */
export const dateOf = (at: number) => (Number.isFinite(at) && Math.abs(at) < 8.64e15 ? DATE.format(at) : "no time");

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (value: number) => NUMBER.format(value);

export function bytes(value: number): string {
  if (value < 1024) return `${count(value)} B`;
  return value < 1 << 20 ? `${count(value / 1024)} KiB` : `${count(value / (1 << 20))} MiB`;
}

/** JSON with its lines, or the text as it is when it is none. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
