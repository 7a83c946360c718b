/**
 * The demo's page: two people side by side, or one alone.
 *
 * Owns who is shown. Each person has a tree of components of its own, with a provider and a client of its own, as if each
 * had a computer of its own.
 */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { RoomcastProvider } from "@roomcast/client/react";

import { createPerson } from "./person.js";
import { config, type Config } from "./server.js";
import { Header } from "./views/header.js";
import { Pane } from "./views/pane.js";

/** Who is shown when nobody is asked for. */
const SIDE_BY_SIDE = ["ann", "ben"];

function start(config: Config) {
  const wanted = new URLSearchParams(location.search).get("person");
  const alone = config.people.find((id) => id === wanted);
  const shown = alone ? [alone] : SIDE_BY_SIDE;
  createRoot(element("header")).render(<Header config={config} shown={shown} isAlone={!!alone} />);
  const panes = element("panes");
  panes.replaceChildren();
  panes.className = alone ? "alone" : "beside";
  for (const id of shown) {
    const person = createPerson(id, config);
    const pane = panes.appendChild(document.createElement("section"));
    pane.id = id;
    pane.setAttribute("aria-label", person.name);
    createRoot(pane).render(
      <StrictMode>
        <RoomcastProvider client={person.client}>
          <Pane person={person} isAlone={!!alone} />
        </RoomcastProvider>
      </StrictMode>,
    );
  }
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

config().then(start, () => {
  element("panes").textContent = "The back end does not answer. Start the demo anew, and load this page again.";
});
