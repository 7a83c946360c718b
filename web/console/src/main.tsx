/** The page's start: asks the gateway what it is, mints a token where that can be had, and draws. */

import { render } from "preact";

import type { Config } from "./answers.js";
import { call, words } from "./api.js";
import { createConsole } from "./console.js";
import { App } from "./views/app.js";

/** Who the console is in `dev`, from the start: somebody who may do everything. */
const FIRST = { userId: "console", grants: { "*": ["*"] } };

async function start(root: HTMLElement) {
  const config = await call<Config>("GET", "config.json");
  const state = createConsole(config);
  // Where that is refused, the form says why to whoever tries again.
  if (config.mode === "dev") await state.mint(FIRST).catch(() => {});
  if (!state.active.value) location.hash = "#identities";
  root.textContent = "";
  render(<App console={state} />, root);
}

const root = document.getElementById("console")!;
start(root).catch((error) => {
  root.textContent = `The console cannot start: ${words(error)}`;
});
