// The parts of the page that need no browser, and the size of the whole.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** What the whole page may take on its way, in bytes. */
const BUDGET = 25_000;

/** A module of the page, for this process. */
async function load(name) {
  const { outputFiles } = await build({ entryPoints: [here(`../src/${name}`)], bundle: true, write: false, format: 'esm' });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`);
}

it('is no larger than its budget', () => {
  let sum = 0;
  for (const name of ['index.html', 'console.css', 'console.js']) {
    const bytes = readFileSync(here(`../dist/${name}`));
    const compressed = brotliCompressSync(bytes).length;
    console.log(`${name}: ${bytes.length} bytes, ${compressed} compressed`);
    sum += compressed;
  }
  console.log(`together: ${sum} of ${BUDGET} bytes compressed`);
  assert.ok(sum <= BUDGET);
});

it('reads the claims of a token and of nothing else', async () => {
  const { claimsOf, isAdmin, expiryOf, span } = await load('claims.ts');
  const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`;
  assert.deepEqual(claimsOf(token({ sub: 'Zoë ⚡' })), { sub: 'Zoë ⚡' });
  for (const wrong of ['', 'a.b.c', token([1]), token(null), 'x.!!!.y']) assert.equal(claimsOf(wrong), undefined);
  assert.ok(isAdmin({ grants: { '*': ['admin'] } }) && isAdmin({ grants: { '*': ['*'] } }));
  assert.ok(!isAdmin({}) && !isAdmin({ grants: { 'team:*': ['admin'] } }) && !isAdmin({ grants: { '*': 'admin' } }));
  assert.deepEqual([expiryOf({ exp: 100 }, 39_000), expiryOf({ exp: 1 }, 2_000), expiryOf({}, 0)], ['expires in 1 min 1 s', 'expired', 'no expiry']);
  assert.deepEqual([0, 59.9, 3_600, 90_000].map(span), ['0 s', '59 s', '1 h', '1 d 1 h']);
});

it('makes a field of each property of every event that the protocol names, and a payload that its schema takes', async () => {
  const { fieldsOf, payloadOf, payloadSchema, exampleOf } = await load('fields.ts');
  const { default: Ajv } = await import('ajv/dist/2020.js');
  const { default: addFormats } = await import('ajv-formats');
  const bundle = JSON.parse(readFileSync(here('../../../protocol-schema/schema.json'), 'utf8'));
  const ajv = new Ajv({ strict: false });
  addFormats(ajv);
  ajv.addSchema(bundle, 'bundle');
  const types = bundle.$defs.Event.oneOf.map(({ $ref }) => bundle.$defs[$ref.replace('#/$defs/', '')].properties.type.const);
  assert.ok(types.length >= 11);
  for (const type of types) {
    const schema = payloadSchema(bundle, type);
    const fields = fieldsOf(bundle, schema);
    assert.equal(fields.length, Object.keys(schema.properties ?? { payload: {} }).length, type);
    assert.deepEqual(Object.keys(payloadOf(fields, {}).wrong), fields.filter(({ isRequired, kind }) => isRequired && kind !== 'boolean').map(({ name }) => name), type);
    const { payload, wrong } = payloadOf(fields, Object.fromEntries(fields.map((field) => [field.name, exampleOf(field, type)])));
    assert.deepEqual(wrong, {}, type);
    const validate = ajv.compile({ $ref: `bundle#/$defs/${Object.keys(bundle.$defs).find((name) => bundle.$defs[name] === schema)}` });
    assert.ok(validate(payload), `${type}: ${JSON.stringify(validate.errors)}`);
  }
  assert.deepEqual(payloadOf(fieldsOf(bundle, undefined), { payload: '[1]' }), { payload: [1], wrong: {} });
  const issue = fieldsOf(bundle, payloadSchema(bundle, 'issue.updated'));
  assert.deepEqual(payloadOf(issue, { id: '1', teamId: 't', changes: '{' }).wrong, { changes: 'not JSON' });
});

it('keeps of a log what fits its bounds, by number and by length', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { createLog } = await load('log.ts');
  const log = createLog();
  for (let index = 0; index < 1_005; index++) log.add({ at: 0, text: String(index) });
  context.mock.timers.tick(100);
  assert.deepEqual([log.entries.value.length, log.entries.value[0].text, log.total], [1_000, '5', 1_005]);
  for (let index = 0; index < 9; index++) log.add({ at: 0, text: 'x'.repeat(1 << 20) });
  context.mock.timers.tick(100);
  assert.deepEqual(log.entries.value.map(({ id }) => id), [1_011, 1_012, 1_013, 1_014]);
  log.clear();
  context.mock.timers.tick(100);
  assert.deepEqual(log.entries.value, []);
});
