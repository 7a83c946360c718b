// The surroundings of a page: what is heard of them, and that nothing listens on.

import { afterEach, expect, test, vi } from "vitest";

import { surroundings } from "../../src/environment.js";

afterEach(() => vi.unstubAllGlobals());

test("a page's news of its network and of whoever looks are heard until they are not wanted", () => {
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  let heard = 0;
  let left = 0;
  const off = surroundings.watch(
    () => heard++,
    () => left++,
  );
  const names = ["online", "offline", "pageshow", "focus", "visibilitychange"];
  for (const name of names) page.dispatchEvent(new Event(name));
  page.dispatchEvent(new Event("scroll"));
  expect([heard, left]).toEqual([names.length, 0]);
  page.dispatchEvent(new Event("pagehide"));
  expect([heard, left]).toEqual([names.length, 1]);
  off();
  for (const name of [...names, "pagehide"]) page.dispatchEvent(new Event(name));
  expect([heard, left]).toEqual([names.length, 1]);
});

test("there may be a network unless the browser is certain that there is none", () => {
  for (const [navigator, isOnline] of [[undefined, true], [{}, true], [{ onLine: true }, true], [{ onLine: false }, false]] as const) {
    vi.stubGlobal("navigator", navigator);
    expect(surroundings.isOnline()).toBe(isOnline);
  }
});

test("without a page nothing is heard and nothing is missed", () => {
  vi.stubGlobal("addEventListener", undefined);
  surroundings.watch(
    () => {},
    () => {},
  )();
});
