// Whether an answer is as a page shows it.

import assert from 'node:assert/strict';

/** Values that differ from one time to the next; both sides must have the same of these forms. */
const FORMS = [
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/,
  /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/,
];

/** A position; its offset is the same every time. */
const POSITION = /^[0-9a-z]{1,13}:(\d+)$/;

/** Asserts the same fields with the same values, as far as they do not differ from one time to the next. */
export function alike(found, shown) {
  assert.deepEqual(form(found), form(shown));
}

function form(value) {
  if (typeof value === 'string') {
    const position = POSITION.exec(value);
    return position ? `position ${position[1]}` : String(FORMS.find((known) => known.test(value)) ?? value);
  }
  if (Array.isArray(value)) return value.map(form);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, form(item)]));
  return value;
}
