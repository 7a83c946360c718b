/** The rooms that an identity is in, and what it hears there. */

import { useEffect, useRef, useState } from "preact/hooks";

import type { RoomInfo } from "../answers.js";
import { words } from "../api.js";
import type { Console } from "../console.js";
import { type Heard, type Joined, MOST_ROOMS, type Session } from "../session.js";
import { useStore } from "../store.js";
import { LogList } from "./log-list.js";
import { Alert, count, Empty, timeOf } from "./pieces.js";

export function EventsPanel({ console, session }: { console: Console; session: Session }) {
  return (
    <div class="columns">
      <div class="aside">
        <Rooms session={session} />
        <Others console={console} session={session} />
      </div>
      <LogList
        log={session.heard}
        name="events"
        searched={({ text, type }) => `${type} ${text}`}
        className={({ kind, type }) => (kind === "event" ? "event" : `notice ${/^(gap|denied)/.test(type) ? "bad" : ""}`)}
        line={line}
        empty="Nothing has happened in these rooms yet. Join one, or publish something."
      />
    </div>
  );
}

function line({ at, type, rooms, userId, summary, latencyMs }: Heard) {
  return (
    <>
      <time class="at">{timeOf(at)}</time>
      <span class="type">{type}</span>
      <span class="rooms">{rooms.join(" ")}</span>
      <span class="summary">{summary}</span>
      <span class="user">{userId}</span>
      <span class="latency">{latencyMs === undefined ? "" : `${count(latencyMs)} ms`}</span>
    </>
  );
}

function Rooms({ session }: { session: Session }) {
  const rooms = useStore(session.rooms);
  // Positions move with the events.
  useStore(session.heard.entries);
  const [name, setName] = useState("");
  const [withPresence, setWithPresence] = useState(true);
  return (
    <section aria-label="Rooms" class="box">
      <h2>Rooms</h2>
      <form
        class="join"
        onSubmit={(event) => {
          event.preventDefault();
          session.join(name.trim(), withPresence);
          setName("");
        }}
      >
        <label class="grow">
          <span class="unseen">Room</span>
          <input
            required
            pattern="\s*[a-z][a-z0-9_]*:\S+\s*"
            title="kind:id, such as team:demo"
            placeholder="team:demo"
            spellcheck={false}
            autocapitalize="off"
            autocomplete="off"
            value={name}
            onInput={({ currentTarget }) => setName(currentTarget.value)}
          />
        </label>
        <button class="primary" disabled={rooms.length >= MOST_ROOMS}>
          Join
        </button>
        <label class="check">
          <input type="checkbox" checked={withPresence} onChange={({ currentTarget }) => setWithPresence(currentTarget.checked)} />
          be seen there, and see who is
        </label>
      </form>
      {rooms.length === 0 ? (
        <Empty>In no room yet.</Empty>
      ) : (
        <ul class="cards">
          {rooms.map((joined) => (
            <RoomCard key={joined.name} joined={joined} leave={() => session.leave(joined.name)} />
          ))}
        </ul>
      )}
    </section>
  );
}

function RoomCard({ joined: { name, room, presence, outcome, isBad }, leave }: { joined: Joined; leave: () => void }) {
  return (
    <li>
      <div class="spread">
        <strong class="mono">{name}</strong>
        <button type="button" class="small" onClick={leave} aria-label={`Leave ${name}`}>
          Leave
        </button>
      </div>
      <div class="spread">
        <span class={isBad ? "bad-text" : "quiet"}>{outcome}</span>
        <span class="mono quiet" title="Position: the last event that came, or where live delivery began">
          {room.position ?? ""}
        </span>
      </div>
      {presence && <Members presence={presence} />}
    </li>
  );
}

function Members({ presence }: { presence: NonNullable<Joined["presence"]> }) {
  const { members, isDenied } = useStore(presence);
  if (isDenied) return <p class="quiet">Who is there is not for this token.</p>;
  return (
    <ul class="members" aria-label="Present">
      {members.slice(0, 50).map(({ userId, connections }) => (
        <li key={userId}>
          {userId}
          {connections > 1 && ` ×${connections}`}
        </li>
      ))}
      {members.length > 50 && <li>and {count(members.length - 50)} more</li>}
    </ul>
  );
}

/** What the node has beside: rooms that somebody is in. */
function Others({ console, session }: { console: Console; session: Session }) {
  const joined = useStore(session.rooms);
  const [found, setFound] = useState<{ rooms: readonly RoomInfo[]; more: boolean }>();
  const [error, setError] = useState("");
  /** The latest question: what earlier ones bring is old. */
  const asked = useRef({});

  async function look(after = "") {
    if (!console.admin()) return;
    const own = (asked.current = {});
    const path = `/api/v1/rooms?limit=${PAGE}${after && `&after=${encodeURIComponent(after)}`}`;
    const answer = await console.ask<{ rooms: RoomInfo[]; more: boolean }>("GET", path).catch((reason) => words(reason));
    if (asked.current !== own) return;
    setError(typeof answer === "string" ? answer : "");
    if (typeof answer === "string") return;
    setFound((before) => ({ rooms: after && before ? [...before.rooms, ...answer.rooms] : answer.rooms, more: answer.more }));
  }
  // A room is there once the gateway has answered, which is when its outcome changes.
  useEffect(() => void look(), [joined.map(({ name, outcome }) => `${name} ${outcome}`).join()]);

  if (!console.admin()) return null;
  return (
    <section aria-label="Rooms on this node" class="box">
      <div class="spread">
        <h2>On this node</h2>
        <button type="button" class="small" onClick={() => look()}>
          Refresh
        </button>
      </div>
      <Alert>{error}</Alert>
      {found?.rooms.length === 0 && <Empty>Nobody is in any room.</Empty>}
      <ul class="list">
        {found?.rooms.map(({ room, members, position }) => (
          <li key={room} class="spread">
            <span class="mono">{room}</span>
            <span class="quiet" title={`Position ${position ?? "none"}`}>
              {count(members)} {members === 1 ? "connection" : "connections"}
            </span>
            {joined.some(({ name }) => name === room) ? (
              <span class="quiet">joined</span>
            ) : (
              <button type="button" class="small" onClick={() => session.join(room, false)} aria-label={`Join ${room}`}>
                Join
              </button>
            )}
          </li>
        ))}
      </ul>
      {found?.more && (
        <button type="button" class="small" onClick={() => look(found.rooms.at(-1)?.room)}>
          More
        </button>
      )}
    </section>
  );
}

/** Rooms that are asked for at a time. */
const PAGE = 100;
