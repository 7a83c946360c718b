/** The frame of the page: who is connected and how it goes, the way to the panels, and the panel that is shown. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

import { expiryOf } from "../claims.js";
import type { Console } from "../console.js";
import type { Session } from "../session.js";
import { useSeconds, useStore } from "../store.js";
import { AccessPanel } from "./access.js";
import { ConnectionsPanel } from "./connections.js";
import { EventsPanel } from "./events.js";
import { FiguresPanel } from "./figures.js";
import { FramesPanel } from "./frames.js";
import { IdentitiesPanel } from "./identities.js";
import { Empty, Status } from "./pieces.js";
import { PublishPanel } from "./publish.js";

interface Panel {
  readonly id: string;
  readonly title: string;
  /** Shows an identity, and so needs one. */
  readonly Of?: ComponentType<{ console: Console; session: Session }>;
  readonly All?: ComponentType<{ console: Console }>;
}

const PANELS: readonly Panel[] = [
  { id: "events", title: "Events", Of: EventsPanel },
  { id: "frames", title: "Frames", Of: FramesPanel },
  { id: "publish", title: "Publish", Of: PublishPanel },
  { id: "figures", title: "Figures", All: FiguresPanel },
  { id: "connections", title: "Connections", All: ConnectionsPanel },
  { id: "access", title: "Access", All: AccessPanel },
  { id: "identities", title: "Identities", All: IdentitiesPanel },
];

export function App({ console }: { console: Console }) {
  const active = useStore(console.active);
  const shown = usePanel();
  return (
    <div class="page">
      <Header console={console} />
      <nav aria-label="Panels">
        {PANELS.map(({ id, title }) => (
          <a key={id} href={`#${id}`} aria-current={id === shown.id ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <main id="panel" aria-label={shown.title}>
        <Body console={console} panel={shown} active={active} />
      </main>
    </div>
  );
}

function Body({ console, panel: { id, Of, All }, active }: { console: Console; panel: Panel; active: Session | undefined }) {
  if (All) return <All key={id} console={console} />;
  if (Of && active) return <Of key={`${id} ${active.id}`} console={console} session={active} />;
  return (
    <Empty>
      Nobody is connected. <a href="#identities">Choose an identity</a> first.
    </Empty>
  );
}

/** The panel that the address names; no token is ever there. */
function usePanel(): Panel {
  const find = () => PANELS.find(({ id }) => `#${id}` === location.hash) ?? PANELS[0]!;
  const [panel, setPanel] = useState(find);
  useEffect(() => {
    const change = () => setPanel(find());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return panel;
}

function Header({ console }: { console: Console }) {
  const sessions = useStore(console.sessions);
  const active = useStore(console.active);
  const { mode, version } = console.config;
  return (
    <header>
      <h1>
        Roomcast <span>console</span>
      </h1>
      <span class="badge" title={`Roomcast ${version}`}>
        {mode}
      </span>
      {active && (
        <div class="who">
          <select
            aria-label="Identity"
            value={String(active.id)}
            onChange={({ currentTarget }) => {
              const chosen = sessions.find(({ id }) => String(id) === currentTarget.value);
              if (chosen) console.use(chosen);
            }}
          >
            {sessions.map((session) => (
              <option key={session.id} value={String(session.id)}>
                {session.claims.value.sub ?? "?"}
                {sessions.some((other) => other !== session && other.claims.value.sub === session.claims.value.sub) && ` (${session.id})`}
              </option>
            ))}
          </select>
        </div>
      )}
      {active && <Standing key={active.id} session={active} />}
    </header>
  );
}

/** How the identity's connection and token stand. */
function Standing({ session }: { session: Session }) {
  const state = useStore(session.state);
  const claims = useStore(session.claims);
  const now = useSeconds();
  return (
    <>
      <span role="status">
        <Status state={state} />
      </span>
      <span class="quiet expiry">token {expiryOf(claims, now)}</span>
    </>
  );
}
