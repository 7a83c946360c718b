// The console in a real Chromium, on the page that a real gateway serves: each button does what it says.
//
// One process for all panels, which share a browser and a gateway.

import { after, before, describe } from 'node:test';

import { start, stop } from './harness.mjs';
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
