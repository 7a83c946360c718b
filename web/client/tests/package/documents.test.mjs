// The pages about the SDK: each of their programs compiles as it stands, and some are run.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

import { Page } from '../../../../tests/clients/readme/page.mjs';
import { Gateway } from '../../../../tests/clients/support/gateway.mjs';
import { token } from '../../../../tests/clients/support/tokens.mjs';
import { until } from '../../../../tests/clients/support/waiting.mjs';
import { spawn } from 'node:child_process';

const folder = fileURLToPath(new URL('../../', import.meta.url));
const root = fileURLToPath(new URL('../../../../', import.meta.url));

/** What a page has said before: a client. */
const BEFORE = 'import { type Client } from "@roomcast/client";\ndeclare const client: Client;\n';

/** What of Node and of `ws` the pages use; neither comes with types here. */
const AMBIENT = `
declare module "ws" { export const WebSocket: import("@roomcast/client").WebSocketConstructor; }
declare const process: { env: Record<string, string | undefined>; once(name: string, listener: () => void): void };
`;

/** What the compiler says of programs. */
function diagnose(programs) {
  const options = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    jsx: ts.JsxEmit.ReactJSX,
    skipLibCheck: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => file in programs || fileExists(file);
  host.readFile = (file) => programs[file] ?? readFile(file);
  host.getSourceFile = (file, ...rest) =>
    file in programs ? ts.createSourceFile(file, programs[file], options.target) : getSourceFile(file, ...rest);
  const found = ts.getPreEmitDiagnostics(ts.createProgram(Object.keys(programs), options, host));
  return found.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
}

for (const name of ['browser', 'react', 'node', 'testing']) {
  test(`every program of docs/${name}.md compiles`, () => {
    const page = new Page(`docs/${name}.md`);
    const blocks = page.blocks.filter(({ language }) => /^tsx?$/.test(language));
    assert.ok(blocks.length > 0);
    const programs = { [join(folder, 'documents-ambient.d.ts')]: AMBIENT };
    blocks.forEach(({ language, text }, index) => {
      const program = /\bconst client\b/.test(text) || !/\bclient\./.test(text) ? text : BEFORE + text;
      programs[join(folder, `${name}-${index}.${language}`)] = `${program}\nexport {};\n`;
    });
    assert.deepEqual(diagnose(programs), []);
    // What is no program is a command, which another test here runs. Those in Rust are the Rust SDK's to test.
    const known = name === 'testing' ? /^(tsx?|sh|rust)$/ : /^(tsx?|sh)$/;
    assert.deepEqual(page.blocks.filter(({ language }) => !known.test(language)), []);
    assert.equal(page.blocks.filter(({ language }) => language === 'sh').length, name === 'browser' ? 1 : 0);
  });
}

describe('what is run', () => {
  let temporary;
  before(() => (temporary = mkdtempSync(join(tmpdir(), 'documents-'))));
  after(() => rmSync(temporary, { recursive: true, force: true }));

  test('the commands of the browser page make the tarball that it names', () => {
    const page = new Page('docs/browser.md');
    const [first, second, third] = page.take('sh').trim().split('\n');
    // The packages are installed and built already, or this test would not be.
    assert.deepEqual([first, second], ['npm ci', 'node web/client/build.mjs']);
    const command = `${third} --silent --pack-destination ${temporary} --cache ${join(temporary, 'cache')}`;
    const made = execFileSync('sh', ['-c', command], { cwd: root, encoding: 'utf8' }).trim();
    assert.ok(page.prose.includes(`npm install ../roomcast/${made}`), made);
  });

  test('the program of the node page connects and subscribes', async () => {
    const gateway = await Gateway.serve({ ROOM_ACCESS: 'open' });
    const [{ text }] = new Page('docs/node.md').takeAll('ts');
    const program = ts.transpileModule(text, { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
    const env = { PATH: process.env.PATH, ROOMCAST_WS: gateway.webSocketUrl, ROOMCAST_TOKEN: token('ann') };
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program.outputText], { cwd: folder, env });
    try {
      let said = '';
      child.stdout.on('data', (more) => (said += more));
      child.stderr.on('data', (more) => (said += more));
      await until('it has subscribed', () => /everything behind/.test(said));
      const payload = { id: 'i', identifier: 'D-1', title: 'Hello', teamId: 'demo', status: 'todo', priority: 'low' };
      await gateway.publish({ type: 'issue.created', payload });
      await until('it tells of the issue', () => /Hello/.test(said));
      const ended = new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null], said);
      assert.match(said, /^connecting\nopen\neverything behind \S+\nHello\nclosed\n$/);
    } finally {
      child.kill('SIGKILL');
      await gateway.stop();
    }
  });

  test('the test of the testing page passes', () => {
    const page = new Page('docs/testing.md');
    const { text } = page.blocks.find(({ claim }) => claim === 'run');
    // Where the packages are found, and nothing is committed.
    const place = join(root, 'node_modules/.documents');
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'page.test.ts'), text);
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const told = execFileSync(process.execPath, [vitest, 'run', '--root', place, '--reporter', 'json'], { encoding: 'utf8' });
    assert.equal(JSON.parse(told).numPassedTests, 1);
  });
});

test('the table of options has the defaults of the code', () => {
  const source = readFileSync(join(folder, 'src/options.ts'), 'utf8');
  for (const [option, value] of new Page('docs/browser.md').table('| option | default | meaning |')) {
    const name = option.replaceAll('`', '');
    assert.ok(new RegExp(`readonly ${name}\\??:`).test(source), name);
    if (/^`[\d_]+`$/.test(value)) assert.ok(source.includes(`  ${name} = ${value.replaceAll('`', '')},`), name);
  }
});

test('the table of the script names every call of the fake gateway', () => {
  const source = readFileSync(join(folder, 'src/testing/index.ts'), 'utf8');
  const face = /export interface FakeGateway[\s\S]*?\n}/.exec(source)[0];
  const calls = [...face.matchAll(/^  (?:readonly )?(\w+)[(:<]/gm)].map(([, name]) => name);
  const shown = new Page('docs/testing.md').text;
  assert.ok(calls.length > 10);
  assert.deepEqual(calls.filter((name) => !new RegExp(`\`${name}\\b|gateway\\.${name}\\b`).test(shown)), []);
});
