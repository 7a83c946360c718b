/** Why may I not? Which grant decides, and why not. */

import { EVENT_TYPES } from "@roomcast/client/schema";
import { useState } from "preact/hooks";

import type { Explanation } from "../answers.js";
import { words } from "../api.js";
import type { Console } from "../console.js";
import { useStore } from "../store.js";
import { NoAdmin } from "./figures.js";
import { Alert } from "./pieces.js";

const OPERATIONS = ["subscribe", "presence", "history", "publish", ...EVENT_TYPES.map((type) => `publish:${type}`), "admin"];

/** The token that is pasted instead of an identity's. */
const PASTED = "pasted";

export function AccessPanel({ console }: { console: Console }) {
  const sessions = useStore(console.sessions);
  const active = useStore(console.active);
  const [who, setWho] = useState(active ? String(active.id) : PASTED);
  const [pasted, setPasted] = useState("");
  const [room, setRoom] = useState("");
  const [operation, setOperation] = useState("subscribe");
  const [explanation, setExplanation] = useState<Explanation>();
  const [error, setError] = useState("");
  if (!console.admin()) return <NoAdmin />;

  const chosen = sessions.find(({ id }) => String(id) === who);
  async function ask() {
    setExplanation(undefined);
    setError("");
    try {
      const token = chosen ? chosen.token() : pasted.trim();
      setExplanation(await console.ask("POST", "/api/v1/access/explain", { token, room: room.trim(), operation }));
    } catch (reason) {
      setError(words(reason));
    }
  }
  return (
    <div class="halves">
      <form
        class="box form"
        aria-label="Question"
        onSubmit={(event) => {
          event.preventDefault();
          void ask();
        }}
      >
        <h2>Why may I not?</h2>
        <label>
          Whose token
          <select value={chosen ? who : PASTED} onChange={({ currentTarget }) => setWho(currentTarget.value)}>
            {sessions.map(({ id, claims }) => (
              <option key={id} value={String(id)}>
                {claims.value.sub ?? "?"}
              </option>
            ))}
            <option value={PASTED}>another one, pasted</option>
          </select>
        </label>
        {!chosen && (
          <label>
            Token
            <textarea class="mono" rows={3} required spellcheck={false} autocomplete="off" value={pasted} onInput={({ currentTarget }) => setPasted(currentTarget.value)} />
          </label>
        )}
        <label>
          Room
          <input class="mono" required placeholder="team:demo" spellcheck={false} autocapitalize="off" value={room} onInput={({ currentTarget }) => setRoom(currentTarget.value)} />
        </label>
        <label>
          Operation
          <select value={operation} onChange={({ currentTarget }) => setOperation(currentTarget.value)}>
            {OPERATIONS.map((operation) => (
              <option key={operation}>{operation}</option>
            ))}
          </select>
        </label>
        <button class="primary">Explain</button>
      </form>
      <section class="box" aria-label="Explanation" aria-live="polite">
        <h2>Explanation</h2>
        <Alert>{error}</Alert>
        {explanation ? <Shown explanation={explanation} /> : !error && <p class="quiet">Ask, and the gateway says which grant decides.</p>}
      </section>
    </div>
  );
}

function Shown({ explanation: { allowed, rule, pattern, reason, userId, grants } }: { explanation: Explanation }) {
  return (
    <>
      <p class={allowed ? "verdict good" : "verdict bad"}>{allowed ? "Allowed" : "Denied"}</p>
      <p>{reason}</p>
      <dl class="pairs">
        {userId && (
          <>
            <dt>User</dt>
            <dd class="mono">{userId}</dd>
          </>
        )}
        <dt>Rule that decides</dt>
        <dd class="mono">{rule}</dd>
        {pattern && (
          <>
            <dt>Pattern of the grant</dt>
            <dd class="mono">{pattern}</dd>
          </>
        )}
        <dt>Grants about this room</dt>
        <dd>
          {grants?.length ? (
            <ul class="plain">
              {grants.map(({ pattern, operations }) => (
                <li key={pattern} class="mono">
                  {pattern}: {operations.join(", ")}
                </li>
              ))}
            </ul>
          ) : (
            "none"
          )}
        </dd>
      </dl>
    </>
  );
}
