/**
 * A person's connection: where it stands, the buttons that disturb it, and what became of it.
 */

import { useClient, useConnection, useRoomEvent } from "@roomcast/client/react";
import { useEffect, useRef, useSyncExternalStore } from "react";

import type { Person } from "../person.js";
import { secondsUntil, useNow } from "./pieces.js";

/** How long the network is gone. */
const AWAY_MS = 10_000;

/** How long it is still gone when all of a busy day has happened, so that one can see that. */
const BUSY_AWAY_MS = 2_000;

export function Badge({ person }: { person: Person }) {
  const client = useClient();
  const state = useConnection();
  const downUntil = useSyncExternalStore(person.network.subscribe, () => person.network.downUntil);
  const now = useNow(state.status === "reconnecting" || state.status === "offline");
  let words: string = state.status;
  let mood = "busy";
  if (state.status === "open") mood = "good";
  else if (state.status === "offline") {
    mood = "bad";
    if (downUntil) words = `offline · back in ${secondsUntil(downUntil, now)} s`;
  } else if (state.status === "reconnecting") {
    const next = state.nextTry > now ? `next try in ${secondsUntil(state.nextTry, now)} s` : "trying";
    words = `reconnecting · attempt ${state.attempt} · ${next}${state.refused ? " · nobody answers" : ""}`;
  } else if (state.status === "closed") {
    mood = "bad";
    words = `closed · ${state.reason} (${state.code})`;
  }
  return (
    <>
      {/* Not read aloud at each second; the diary is, once for each change. */}
      <span className={`badge ${mood}`} role="group" aria-label="Connection">
        {words}
      </span>
      {state.status === "closed" && (
        <button type="button" onClick={client.connect}>
          Connect again
        </button>
      )}
    </>
  );
}

/** The buttons that disturb the connection. */
export function Disturbances({ person, run }: { person: Person; run(task: () => Promise<void>): void }) {
  const { status } = useConnection();
  const isOpen = status === "open";
  const missBusyDay = async () => {
    await person.leaveNetwork(AWAY_MS);
    await person.bustle();
    person.network.goDown(BUSY_AWAY_MS);
  };
  return (
    <div className="disturbances" role="group" aria-label="Disturb the connection">
      <button type="button" disabled={!isOpen} onClick={() => run(person.cut)}>
        Cut the connection
      </button>
      <button type="button" disabled={!isOpen} onClick={() => run(() => person.leaveNetwork(AWAY_MS))}>
        Offline for {AWAY_MS / 1000} s
      </button>
      <button type="button" disabled={!isOpen} onClick={() => run(missBusyDay)}>
        Offline while {person.config.busy} changes happen
      </button>
    </div>
  );
}

/** Writes what the room tells of itself into the diary. */
export function useDiaryOf(person: Person, room: `team:${string}`) {
  const { diary } = person;
  useRoomEvent(room, "subscribed", ({ position }) => diary.write(`joined the board at ${position}`, "good"));
  useRoomEvent(room, "recovered", ({ recovered }) => {
    const events = recovered === 1 ? "1 event" : `${recovered} events`;
    diary.write(`resumed: ${events} recovered`, "good");
  });
  useRoomEvent(room, "gap", ({ reason }) => diary.write(`gap (${reason}): the board must be loaded anew`, "bad"));
  useRoomEvent(room, "denied", ({ code }) => diary.write(`the board is denied: ${code}`, "bad"));
}

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function DiaryStrip({ person: { diary, name } }: { person: Person }) {
  const lines = useSyncExternalStore(diary.subscribe, () => diary.lines);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The newest line is what one wants to see.
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  return (
    <div className="diary" role="log" aria-label={`What became of ${name}'s connection`} tabIndex={0} ref={box}>
      <ol>
        {lines.map(({ id, at, text, mood }) => (
          <li key={id} className={mood}>
            <time dateTime={at.toISOString()}>{TIME.format(at)}</time> {text}
          </li>
        ))}
      </ol>
    </div>
  );
}
