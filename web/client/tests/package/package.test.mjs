// The package as its users get it: what is in it, how large it becomes, and what TypeScript says of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const folder = fileURLToPath(new URL('../../', import.meta.url));
const root = fileURLToPath(new URL('../../../../', import.meta.url));
const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const run = (command, ...parameters) => execFileSync(command, parameters, { cwd: folder, encoding: 'utf8' });
const node = (path, ...parameters) => run(process.execPath, join(root, 'node_modules', path), ...parameters);

let temporary;
let tarball;

before(() => {
  temporary = mkdtempSync(join(tmpdir(), 'package-'));
  const cache = join(temporary, 'cache');
  const told = run('npm', 'pack', '--json', '--silent', '--pack-destination', temporary, '--cache', cache);
  const packed = JSON.parse(told);
  tarball = { ...(Array.isArray(packed) ? packed[0] : Object.values(packed)[0]) };
  tarball.path = join(temporary, tarball.filename);
});

after(() => rmSync(temporary, { recursive: true, force: true }));

/** The size of a program, as a server sends it: minified, and by brotli. */
async function size(program) {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: folder },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
  });
  return brotliCompressSync(outputFiles[0].contents).length;
}

const CORE = `
  import { createClient } from "@roomcast/client";
  const client = createClient({ url: "/ws", token: () => window.token });
  client.room("team:team_456").on("issue.updated", console.log);
  client.onState(console.log);
  client.connect();`;
const ALL = 'export * from "@roomcast/client";';

describe('sizes, by brotli', () => {
  const react = 'export * from "@roomcast/client/react";';
  const budgets = [
    ['a program that connects, subscribes and recovers', CORE, 3 * 1024],
    ['everything', ALL, 5 * 1024],
    ['everything with React', ALL + react, 6 * 1024],
  ];
  for (const [name, program, most] of budgets) {
    test(`${name} has at most ${most} bytes`, async (context) => {
      const bytes = await size(program);
      context.diagnostic(`${name}: ${bytes} of ${most} bytes`);
      assert.ok(bytes <= most, `${bytes} bytes, over ${most}`);
    });
  }
});

test('the tarball has what a user needs and no more', () => {
  const files = tarball.files.map(({ path }) => path);
  const wanted = /^(package\.json|README\.md|LICENSE-(MIT|APACHE)|dist\/([a-z]+\/)?[a-z-]+\.(js|d\.ts))$/;
  assert.deepEqual(files.filter((path) => !wanted.test(path)), []);
  const entries = Object.values(manifest.exports).flatMap((conditions) => Object.values(conditions));
  for (const path of [...entries.map((path) => path.slice(2)), 'LICENSE-MIT', 'LICENSE-APACHE', 'README.md']) {
    assert.ok(files.includes(path), path);
  }
});

test('nothing is asked of a user but React, and that only if they want it', () => {
  assert.deepEqual([manifest.dependencies, manifest.sideEffects, manifest.type], [undefined, false, 'module']);
  const peers = manifest.peerDependencies ?? {};
  assert.deepEqual(Object.keys(peers).filter((name) => !manifest.peerDependenciesMeta[name]?.optional), []);
});

test('the version is that of the workspace', () => {
  const [, version] = /^version = "(.+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'));
  assert.equal(manifest.version, version);
});

test('publint finds nothing', async () => {
  const { messages } = await publint({ pkgDir: folder, strict: true });
  assert.deepEqual(messages.map((message) => formatMessage(message, manifest)), []);
});

test('its types are right for whoever resolves them', () => {
  // Who still resolves as Node 10 did has no exports at all; who requires gets ESM, which Node can by now.
  node('@arethetypeswrong/cli/dist/index.js', tarball.path, '--profile', 'esm-only');
});

for (const version of ['typescript', 'typescript-6', 'typescript-7']) {
  test(`what must compile does and nothing else, by ${version}`, () => {
    node(`${version}/bin/tsc`, '--project', 'tests/package/types');
  });
}

test('the usage file has twenty wrong uses and more', () => {
  const usage = readFileSync(join(folder, 'tests/package/types/usage.ts'), 'utf8');
  assert.ok(usage.match(/@ts-expect-error/g).length >= 20);
});

test('it can be installed from its tarball and be used', () => {
  const application = join(temporary, 'application');
  mkdirSync(application);
  // Without one npm would look for an application further up.
  writeFileSync(join(application, 'package.json'), '{"private":true}');
  const at = { cwd: application, encoding: 'utf8' };
  execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--offline', '--cache', join(temporary, 'cache'), tarball.path], at);
  const program = `
    import { createClient, rooms } from "@roomcast/client";
    import { mayReconnect } from "@roomcast/client/schema";
    const client = createClient({ url: "ws://localhost/ws", token: () => "jwt" });
    console.log(client.state.status, rooms.team("t"), mayReconnect(4501));`;
  const told = execFileSync(process.execPath, ['--input-type=module', '--eval', program], at);
  assert.equal(told, 'idle team:t false\n');
});
