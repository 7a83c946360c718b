// The console in a real Chromium, on the page that a real gateway serves: each button does what it says.
//
// One process for all panels, which share a browser and a gateway.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { controls, start, stop } from './harness.mjs';
import access from './panels/access.mjs';
import connections from './panels/connections.mjs';
import events from './panels/events.mjs';
import figures from './panels/figures.mjs';
import frames from './panels/frames.mjs';
import identities from './panels/identities.mjs';
import publish from './panels/publish.mjs';
import serving from './panels/serving.mjs';
import whole from './panels/whole.mjs';

before(start);
after(stop);

describe('the console', { concurrency: 3 }, () => {
  for (const tests of [identities, events, frames, publish, figures, access, connections, whole]) tests();
});

describe('the console of a gateway that serves', serving);

// The last, when everything was pressed that is.
describe('the tests of the console', () => {
  it('bring up every control that the page has', (context) => {
    context.diagnostic(`${controls.count} controls`);
    assert.deepEqual(controls.unseen, []);
  });

  it('press every control in every panel that has it', () => assert.deepEqual(controls.unpressed, []));
});
