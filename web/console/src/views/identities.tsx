/** Who the page is connected as: tokens minted or pasted, their claims, and when they run out. */

import { Fragment } from "preact";
import { useState } from "preact/hooks";

import { words } from "../api.js";
import { expiryOf, isAdmin } from "../claims.js";
import type { Console } from "../console.js";
import type { Session } from "../session.js";
import { useSeconds, useStore } from "../store.js";
import { Alert, dateOf, Empty, Status } from "./pieces.js";

/** Claims that are seconds since 1970. */
const TIMES = new Set(["exp", "iat", "nbf"]);

const EVERYTHING = '{"*":["*"]}';

export function IdentitiesPanel({ console }: { console: Console }) {
  const sessions = useStore(console.sessions);
  useStore(console.active);
  const canMint = console.config.mode === "dev";
  return (
    <div class="columns">
      <div class="aside">
        {canMint && <Mint console={console} />}
        <Paste console={console} />
      </div>
      <section aria-label="Identities" class="stack">
        {sessions.length === 0 && <Empty>Nobody is connected. A token stays in this page's memory, and is gone with it.</Empty>}
        {sessions.map((session) => (
          <Card key={session.id} console={console} session={session} />
        ))}
      </section>
    </div>
  );
}

function Mint({ console }: { console: Console }) {
  const [userId, setUserId] = useState("");
  const [grants, setGrants] = useState("");
  const [error, setError] = useState("");
  async function mint() {
    try {
      await console.mint(grants.trim() ? { userId, grants: JSON.parse(grants) } : { userId });
      setUserId("");
      setError("");
    } catch (reason) {
      setError(reason instanceof SyntaxError ? "The grants are not JSON." : words(reason));
    }
  }
  return (
    <form
      class="box form"
      aria-label="Mint a token"
      onSubmit={(event) => {
        event.preventDefault();
        void mint();
      }}
    >
      <h2>Be somebody</h2>
      <label>
        User
        <input required placeholder="ann" spellcheck={false} autocapitalize="off" autocomplete="off" value={userId} onInput={({ currentTarget }) => setUserId(currentTarget.value)} />
      </label>
      <label>
        Grants <span class="quiet">empty: what this gateway allows everybody</span>
        <textarea class="mono" rows={3} spellcheck={false} placeholder='{"team:*":["subscribe"]}' value={grants} onInput={({ currentTarget }) => setGrants(currentTarget.value)} />
      </label>
      <div class="row">
        <button class="primary">Connect</button>
        <button type="button" onClick={() => setGrants(EVERYTHING)}>
          Grant everything
        </button>
      </div>
      <Alert>{error}</Alert>
    </form>
  );
}

function Paste({ console }: { console: Console }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState("");
  return (
    <form
      class="box form"
      aria-label="Paste a token"
      onSubmit={(event) => {
        event.preventDefault();
        try {
          console.paste(token.trim());
          setToken("");
          setError("");
        } catch (reason) {
          setError(words(reason));
        }
      }}
    >
      <h2>Use a token</h2>
      <label>
        Token
        <input type="password" required autocomplete="off" placeholder="eyJ…" value={token} onInput={({ currentTarget }) => setToken(currentTarget.value)} />
      </label>
      <button class={console.config.mode === "dev" ? "" : "primary"}>Connect with it</button>
      <Alert>{error}</Alert>
    </form>
  );
}

function Card({ console, session }: { console: Console; session: Session }) {
  const claims = useStore(session.claims);
  const state = useStore(session.state);
  const now = useSeconds();
  const isActive = console.active.value === session;
  const name = claims.sub ?? "?";
  const isOver = state.status === "closed";
  return (
    <article class={isActive ? "box active" : "box"} aria-label={`Identity ${name}`}>
      <div class="spread">
        <h2>
          {name} {isActive && <span class="badge">shown</span>} {isAdmin(claims) && <span class="badge">admin</span>}
        </h2>
        <Status state={state} />
      </div>
      <p class="quiet">Token {expiryOf(claims, now)}.</p>
      <dl class="pairs claims" aria-label="Claims">
        {Object.entries(claims).map(([name, value]) => (
          <Fragment key={name}>
            <dt class="mono">{name}</dt>
            <dd class="mono">{typeof value === "number" && TIMES.has(name) ? dateOf(value * 1000) : typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </Fragment>
        ))}
      </dl>
      <div class="row">
        <button type="button" onClick={() => console.use(session)} disabled={isActive}>
          Show
        </button>
        <button type="button" onClick={isOver ? session.connect : session.close}>
          {isOver ? "Reconnect" : "Disconnect"}
        </button>
        <button type="button" onClick={() => console.remove(session)}>
          Remove
        </button>
      </div>
    </article>
  );
}
