// The fake gateway and the real one, by the same scenarios: each must come out as it is written down, on both.

import { afterAll, describe, expect, test } from "vitest";

import { PROTOCOL } from "./protocol.js";
import { SDK } from "./sdk.js";
import { fake, real, stopReal } from "./stage.js";

const SCENARIOS = [...PROTOCOL, ...SDK];

test("there are twenty-five scenarios and more", () => {
  expect(SCENARIOS.length).toBeGreaterThanOrEqual(25);
  expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
});

afterAll(stopReal);

for (const [name, stageOf] of [["the fake", fake], ["the real one", real]] as const) {
  describe.concurrent(name, () => {
    for (const { name, isOwn, play, outcome } of SCENARIOS) {
      test(name, async ({ expect }) => {
        const stage = await stageOf(isOwn ?? false);
        try {
          expect(await play(stage)).toEqual(outcome);
        } finally {
          await stage.close();
        }
      }, 60_000);
    }
  });
}
