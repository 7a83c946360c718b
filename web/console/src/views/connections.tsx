/** The node's connections: who they are, what waits for them, and what can be done to them. */

import { useEffect, useState } from "preact/hooks";

import type { ConnectionInfo } from "../answers.js";
import { words } from "../api.js";
import { span } from "../claims.js";
import type { Console } from "../console.js";
import { useSeconds, useStore } from "../store.js";
import { NoAdmin } from "./figures.js";
import { Alert, bytes, Empty } from "./pieces.js";

/** Connections that are asked for at a time. */
const PAGE = 100;

/** Between two questions. */
const INTERVAL_MS = 2_000;

interface Found {
  readonly connections: readonly ConnectionInfo[];
  readonly more: boolean;
}

export function ConnectionsPanel({ console }: { console: Console }) {
  useStore(console.active);
  return console.admin() ? <Table console={console} /> : <NoAdmin />;
}

function Table({ console }: { console: Console }) {
  const [user, setUser] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const [delay, setDelay] = useState("1000");
  const [told, setTold] = useState("");
  const { found, error, refresh } = useConnections(console, user.trim(), limit);
  const isDev = console.config.mode === "dev";

  async function act(path: string, words_: string, body?: unknown) {
    try {
      await console.ask("POST", path, body);
      setTold(words_);
    } catch (reason) {
      setTold(words(reason));
    }
    refresh();
  }

  const delayMs = Math.min(60_000, Math.max(0, Number(delay) || 0));
  const act_ = {
    kick: (id: string) => act(`/api/v1/connections/${id}/disconnect`, `${id} was sent away with 4501`),
    drop: (id: string) => act(`/dev/connections/${id}/drop`, `${id} was cut without a close frame`),
    slow: (id: string, delayMs: number) =>
      act(`/dev/connections/${id}/slow`, delayMs ? `${id} waits ${delayMs} ms before each write` : `${id} is at full speed`, { delayMs }),
  };
  return (
    <section class="box" aria-label="Connections of this node">
      <div class="bar">
        <label class="grow">
          <span class="unseen">User</span>
          <input type="search" placeholder="Of one user" spellcheck={false} autocapitalize="off" value={user} onInput={({ currentTarget }) => setUser(currentTarget.value)} />
        </label>
        {isDev && (
          <label class="inline">
            Slow down by
            <input class="short" type="number" min={0} max={60_000} step={100} value={delay} onInput={({ currentTarget }) => setDelay(currentTarget.value)} />
            ms
          </label>
        )}
        <button type="button" onClick={refresh}>
          Refresh
        </button>
      </div>
      <p class="quiet tally" role="status">
        {told}
      </p>
      <Alert>{error}</Alert>
      {found && found.connections.length === 0 && <Empty>Nobody is connected.</Empty>}
      {found && found.connections.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">User and connection</th>
              <th scope="col">Rooms</th>
              <th scope="col">Queued</th>
              <th scope="col">For</th>
              <th scope="col">Address</th>
              <th scope="col">
                <span class="unseen">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.connections.map((connection) => (
              <Row key={connection.connectionId} console={console} connection={connection} act={act_} delayMs={delayMs} />
            ))}
          </tbody>
        </table>
      )}
      {found?.more && (
        <button type="button" onClick={() => setLimit(Math.min(1_000, limit + PAGE))} disabled={limit >= 1_000}>
          {limit < 1_000 ? "More" : "Only the first thousand are shown; name a user"}
        </button>
      )}
    </section>
  );
}

function useConnections(console: Console, user: string, limit: number) {
  const [found, setFound] = useState<Found>();
  const [error, setError] = useState("");
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isOver = false;
    let timer: ReturnType<typeof setTimeout>;
    const path = `/api/v1/connections?limit=${limit}${user && `&user=${encodeURIComponent(user)}`}`;
    async function look() {
      if (!document.hidden) {
        const answer = await console.ask<Found>("GET", path).then(
          (found) => ({ found, error: "" }),
          (reason) => ({ found: undefined, error: words(reason) }),
        );
        if (isOver) return;
        setError(answer.error);
        if (answer.found) setFound(answer.found);
      }
      timer = setTimeout(look, INTERVAL_MS);
    }
    void look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [user, limit, turn]);
  return { found, error, refresh: () => setTurn((turn) => turn + 1) };
}

interface RowProps {
  readonly console: Console;
  readonly connection: ConnectionInfo;
  readonly act: {
    readonly kick: (id: string) => void;
    readonly drop: (id: string) => void;
    readonly slow: (id: string, delayMs: number) => void;
  };
  readonly delayMs: number;
}

function Row({ console, connection: { connectionId, userId, rooms, queueBytes, connectedAt, address, delayMs: slowedMs }, act, delayMs }: RowProps) {
  const now = useSeconds();
  const isOwn = console.sessions.value.some(({ state: { value } }) => value.status === "open" && value.connectionId === connectionId);
  const id = encodeURIComponent(connectionId);
  return (
    <tr>
      <td>
        <strong>{userId ?? <span class="quiet">nobody yet</span>}</strong> {isOwn && <span class="badge">this page</span>}{" "}
        {slowedMs !== undefined && <span class="badge slow">slow, {slowedMs} ms</span>}
        <div class="mono quiet tiny">{connectionId}</div>
      </td>
      <td data-label="Rooms" class="mono">
        {rooms.length === 0 ? <span class="quiet">none</span> : <Rooms rooms={rooms} />}
      </td>
      <td data-label="Queued">{bytes(queueBytes)}</td>
      <td data-label="For">{span(Math.max(0, (now - Date.parse(connectedAt)) / 1000))}</td>
      <td data-label="Address" class="mono">
        {address}
      </td>
      <td class="actions">
        <button type="button" class="small danger" onClick={() => act.kick(id)} aria-label={`Kick ${connectionId}`} title="Close with 4501: an application stays away">
          Kick
        </button>
        {console.config.mode === "dev" && (
          <>
            <button type="button" class="small" onClick={() => act.drop(id)} aria-label={`Drop ${connectionId}`} title="Cut without a close frame: an application comes back">
              Drop
            </button>
            <button type="button" class="small" onClick={() => act.slow(id, delayMs)} aria-label={`Slow down ${connectionId}`} title="Wait before each write, as for a slow reader">
              Slow down
            </button>
            <button type="button" class="small" onClick={() => act.slow(id, 0)} aria-label={`Full speed ${connectionId}`}>
              Full speed
            </button>
          </>
        )}
      </td>
    </tr>
  );
}

function Rooms({ rooms }: { rooms: readonly string[] }) {
  const first = rooms.slice(0, 3).join(" ");
  return rooms.length > 3 ? (
    <details>
      <summary>
        {first} and {rooms.length - 3} more
      </summary>
      {rooms.slice(3).join(" ")}
    </details>
  ) : (
    <>{first}</>
  );
}
