// What the documents say, compared with what the code has: tables, examples, links, and the map.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { alike } from './alike.mjs';
import { code, codes, Page, read, root } from './page.mjs';
import { Shell } from './shell.mjs';

const readme = new Page('README.md');
const protocol = new Page('docs/protocol.md');
const operations = new Page('docs/operations.md');
const architecture = new Page('ARCHITECTURE.md');
const rust = new Page('docs/rust.md');
const testing = new Page('docs/testing.md');

const git = (...parameters) =>
  execFileSync('git', ['-c', 'safe.directory=*', ...parameters], { cwd: fileURLToPath(root), encoding: 'utf8' }).trim().split('\n');

/** The files of the repository, tracked or about to be. */
const files = git('ls-files', '--cached', '--others', '--exclude-standard').filter((path) => existsSync(new URL(path, root)));

const golden = (path) => JSON.parse(read(`protocol-schema/examples/${path}.json`));

/** What macro calls of the protocol list: `Name = a, b;`, with literals. */
const listed = (path, pattern) => [...read(path).matchAll(pattern)].map(([, ...groups]) => groups);

describe('with a gateway', () => {
  const shell = new Shell();

  before(() => shell.startGateway('cargo run\n'));
  after(() => shell.close());

  const call = async (method, path, body) => {
    const headers = shell.variables.TOKEN ? { authorization: `Bearer ${shell.variables.TOKEN}` } : {};
    return fetch(`http://${shell.address}${path}`, { method, headers, body: body && JSON.stringify(body) });
  };

  test('the table of settings is the one that the command line has', async () => {
    const help = await shell.run('roomcast serve --help');
    const inHelp = [...help.matchAll(/^ +--\S+ <VALUE>\n +(.*) \[env: (\w+)\] \[default: (.*)\]$/gm)];
    const rows = inHelp.map(([, meaning, name, value]) => `| \`${name}\` | ${value} | ${meaning.replace(/; rather by the environment.*/, '')} |`);
    assert.ok(rows.length > 30, help);
    const shown = readme.table('| setting | default | meaning |').map((cells) => `| ${cells.join(' | ')} |`);
    assert.deepEqual(shown, rows);
  });

  test('every event of the tables goes where they say', async () => {
    await shell.run("TOKEN=$(roomcast token mint --user test --grant '*=*')");
    const tables = [readme.table('| type | required fields of the payload | goes to |'), protocol.table('| type | payload | goes to |')];
    const schema = JSON.parse(read('protocol-schema/schema.json')).$defs;
    for (const table of tables) {
      const known = table.slice(0, -1);
      const names = readdirSync(new URL('protocol-schema/examples/events/', root)).map((name) => name.replace(/(--.*)?\.json$/, ''));
      const expected = [...new Set(names)].filter((name) => !name.startsWith('custom.'));
      assert.deepEqual(known.map(([type]) => code(type)).sort(), expected.sort());
      for (const [type, fields, rooms] of known) {
        const name = code(type);
        const { payload } = golden(`events/${name}`);
        const definition = schema[name.split('.').map((word) => word[0].toUpperCase() + word.slice(1)).join('')];
        assert.deepEqual(codes(fields).sort(), (definition.required ?? []).toSorted(), name);
        const answer = await call('POST', '/api/v1/events', { type: name, payload, ...(rooms.startsWith('the rooms') && { rooms: ['user:ann'] }) });
        assert.equal(answer.status, 200, name);
        if (name === 'user.typing' || rooms.startsWith('the rooms')) continue;
        const implied = codes(rooms).map((room) => room.replace(/<(\w+)>/, (_, field) => payload[field]));
        assert.deepEqual(Object.keys((await answer.json()).positions).sort(), implied.sort(), name);
      }
      const [custom] = table.at(-1);
      assert.equal((await call('POST', '/api/v1/events', { type: code(custom), payload: 7 })).status, 422);
      assert.equal((await call('POST', '/api/v1/events', { type: code(custom), payload: 7, rooms: ['team:a'] })).status, 200);
    }
  });

  test('the grants that the protocol shows are grants', async () => {
    const block = protocol.blocks.find(({ claim }) => claim === 'grants');
    const answer = await call('POST', '/dev/token', { userId: 'ann', grants: JSON.parse(block.text) });
    assert.equal(answer.status, 200, await answer.text());
  });

  test('the history of a room is answered as the protocol shows it', async () => {
    const block = protocol.blocks.find(({ claim }) => claim === 'history');
    const shown = JSON.parse(block.text);
    const [{ type, payload, positions }] = shown.events;
    const [room] = Object.keys(positions);
    assert.equal((await call('POST', '/api/v1/events', { type, payload, rooms: [room] })).status, 200);
    alike(await (await call('GET', `/api/v1/rooms/${room}/history?limit=1`)).json(), shown);
  });

  test('every call of the HTTP table is one, and needs what it says', async () => {
    delete shell.variables.TOKEN;
    for (const [name, needs] of protocol.table('| call | needs | answer |')) {
      const [method, path] = code(name).replace('{room}', 'team:a').replace(/\{\w+\}/, 'ann').split(' ');
      const { status } = await call(method, path, method === 'POST' ? { userId: 'ann' } : undefined);
      // Of a connection that is not there the answer is that it is not there.
      const open = method === 'DELETE' ? 404 : 200;
      assert.equal(status, /nothing/.test(needs) ? open : 401, code(name));
    }
  });

  test('every metric stands in the operations page under the name that the gateway gives it', async () => {
    const shown = operations.table('| name | kind | meaning |').map(([name, kind]) => [code(name), kind]);
    const source = read('crates/gateway/src/metrics.rs');
    const registered = [...source.matchAll(/\.register(_with_unit)?\(\s*"(\w+)"/g)].map(([, unit, name]) => `roomcast_${name}${unit ? '_bytes' : ''}`);
    assert.deepEqual(shown.map(([name]) => name.replace(/_total$/, '')), registered);
    const text = await (await call('GET', '/metrics')).text();
    const live = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)];
    assert.ok(live.length > 5, text);
    for (const [, name, kind] of live) {
      assert.ok(shown.some(([shown, as]) => as === kind && shown === (kind === 'counter' ? `${name}_total` : name)), `${name} ${kind}`);
    }
  });

  test('the user of the operations page is disconnected as it says', async () => {
    const { token } = await (await call('POST', '/dev/token', { userId: 'the_admin', grants: { '*': ['admin'] } })).json();
    shell.variables.ADMIN_TOKEN = token;
    const answer = await shell.run(operations.take('sh', 'curl -X POST -H "Authorization: Bearer $ADMIN_TOKEN"'));
    assert.deepEqual(JSON.parse(answer), { disconnected: 0 });
  });

  test('the back end is asked as the operations page shows it', async () => {
    const [head, body] = operations.take('text', 'POST <ACCESS_URL>').split('\n\n');
    const asked = [];
    const server = createServer(async (request, response) => {
      const text = (await request.toArray()).join('');
      asked.push({ method: request.method, headers: request.headers, text });
      response.end('{"allowed":true}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const secret = 'JWT_SECRET=0123456789abcdef0123456789abcdef';
      const url = `ACCESS_URL=http://127.0.0.1:${server.address().port}/access`;
      const serving = shell.start(`env ${secret} ${url} ACCESS_TOKEN=hush PORT=0 roomcast serve`);
      const said = await serving.said('roomcast listening on http://127.0.0.1:');
      const address = /http:\/\/\S+/.exec(said)[0];
      const { userId, room } = JSON.parse(body);
      const token = (await shell.run(`${secret} roomcast token mint --user ${userId}`)).trim();
      const answer = await fetch(`${address}/api/v1/rooms/${room}/history`, { headers: { authorization: `Bearer ${token}` } });
      assert.equal(answer.status, 200, await answer.text());
      serving.kill('SIGTERM');
      await serving.end();
    } finally {
      server.closeAllConnections();
      server.close();
    }
    assert.equal(asked.length, 1);
    const [{ method, headers, text }] = asked;
    assert.equal(text, body.trim().replace('"subscribe"', '"history"'));
    for (const line of head.split('\n').slice(1)) {
      const [name, value] = line.split(': ');
      assert.equal(headers[name.toLowerCase()], value.replace('<ACCESS_TOKEN>', 'hush'));
    }
    assert.equal(method, head.split(' ')[0]);
  });

  test('the file of settings that the operations page shows can be used, and its commands work', async () => {
    writeFileSync(`${shell.folder}/roomcast.toml`, operations.take('toml'));
    const told = await shell.run(operations.take('sh', 'JWT_SECRET=$(openssl rand -hex 32) roomcast check-config'));
    assert.match(told, /^PORT +3001 +file roomcast\.toml$/m);
    assert.match(told, /can run with this/);
    const token = await shell.run(operations.take('sh', 'JWT_SECRET=$(openssl rand -hex 32) roomcast token mint'));
    assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    // Port 3001 may be in use here: only the number is another one.
    const command = operations.take('sh', 'JWT_SECRET=$(openssl rand -hex 32) HOST=127.0.0.1 PORT=3001 roomcast serve');
    const serving = shell.start(`env ${command.replace('PORT=3001', 'PORT=0')}`);
    await serving.said('roomcast listening on http://127.0.0.1:');
    serving.kill('SIGTERM');
    assert.deepEqual(await serving.end(), { code: 0, signal: null });
  });
});

test('the proxies of the operations page and of compose pass on what the gateway needs', () => {
  // Run by hand with nginx itself; here their settings are only held against the ones that the text argues for.
  const needed = ['proxy_http_version 1.1;', 'Upgrade $http_upgrade;', 'Connection $connection_upgrade;', 'Host $http_host;', 'X-Forwarded-For $proxy_add_x_forwarded_for;'];
  for (const nginx of [operations.take('nginx'), read('docker-compose.proxy.conf')]) {
    for (const setting of needed) assert.ok(nginx.includes(setting), setting);
    assert.equal(nginx.split('{').length, nginx.split('}').length);
  }
  operations.assertAllTaken();
});

test('compose can start several gateways: the proxy has the port of the host, and looks for them where they listen', () => {
  const compose = read('docker-compose.yml');
  const service = (name) => new RegExp(`^  ${name}:\\n((?: {4}.*\\n|\\n)+)`, 'm').exec(compose)?.[1] ?? assert.fail(name);
  assert.doesNotMatch(service('gateway'), /^ {4}(ports|container_name|depends_on):/m);
  assert.match(service('gateway'), /^ {6}PORT: "3001"$/m);
  assert.match(service('gateway'), /^ {6}REDIS_URL: \$\{REDIS_URL-redis:\/\/redis:6379\}$/m);
  assert.match(service('proxy'), /^ {6}- "127\.0\.0\.1:\$\{PORT:-3001\}:3001"$/m);
  assert.doesNotMatch(service('proxy'), /^ {4}depends_on:/m);
  const proxy = read('docker-compose.proxy.conf');
  for (const setting of ['listen 3001;', 'resolver 127.0.0.11 valid=1s ipv6=off;', 'set $gateways gateway;', 'proxy_pass http://$gateways:3001;']) {
    assert.ok(proxy.includes(setting), setting);
  }
});

test('every example of the protocol page is the golden that it names, and every frame has one there', () => {
  const blocks = protocol.takeAll('json').filter(({ claim }) => claim.includes('/'));
  for (const { claim, text } of blocks) assert.deepEqual(JSON.parse(text), golden(claim), claim);
  const shown = new Set(blocks.map(({ claim }) => claim.replace(/--.*/, '')));
  for (const group of ['client', 'replies']) {
    for (const file of readdirSync(new URL(`protocol-schema/examples/${group}/`, root))) {
      const frame = `${group}/${file.replace(/(--.*)?\.json$/, '')}`;
      assert.ok(shown.has(frame), `${frame} has no example in the protocol page`);
    }
  }
  protocol.assertAllTaken();
});

test('the tables of error codes are the list of the protocol', () => {
  const expected = listed('crates/protocol/src/error.rs', /^ {4}\w+ = "(\w+)", (\d+);$/gm);
  for (const table of [readme.table('| code | HTTP | meaning | what to do |'), protocol.table('| code | HTTP | when |')]) {
    assert.deepEqual(table.map(([name, status]) => [code(name), status]), expected);
  }
});

test('the tables of close codes are the list of the protocol, and their advice is that of the range', () => {
  const expected = listed('crates/protocol/src/close.rs', /^ {4}\w+ = (\d+), "([^"]+)";$/gm);
  const advice = readme.table('| code | reason | what to do |');
  for (const table of [advice, protocol.table('| code | reason | when |')]) {
    assert.deepEqual(table.map(([number, reason]) => [number, reason]), expected);
  }
  for (const [number, , what] of advice) assert.equal(what.startsWith('stay away'), number >= 4500, number);
});

test('close codes that are said to be never sent are not in the gateway', () => {
  const names = Object.fromEntries(listed('crates/protocol/src/close.rs', /^ {4}(\w+) = (\d+), "/gm).map(([name, number]) => [number, name]));
  const later = protocol.table('| code | reason | when |').filter(([, , when]) => when === '**later**').map(([number]) => number);
  const told = later.length > 1 ? `${later.slice(0, -1).join(', ')} and ${later.at(-1)}` : later[0];
  assert.ok(readme.prose.replace(/\s+/g, ' ').includes(`never sends ${told}.`));
  const sources = files.filter((path) => path.startsWith('crates/gateway/src/')).map((path) => read(path).split('\n#[cfg(test)]\nmod tests')[0]);
  // What breaks a rule of WebSockets is closed with the number that the codec gives.
  const violation = read('crates/websocket/src/violation.rs');
  const sent = (number) => sources.some((source) => source.includes(`CloseCode::${names[number]}`)) || violation.includes(`=> ${number},`);
  assert.deepEqual(Object.keys(names).filter((number) => !sent(number) && number !== '1000').sort(), later.toSorted());
});

test('the programs of the pages about Rust are those that the tests of the client compile and run', () => {
  const source = read('crates/client/tests/it/documents.rs');
  const programs = [...source.matchAll(/^mod \w+ \{\n([\s\S]*?)^\}$/gm)].map(([, program]) => program.replace(/^ {4}/gm, ''));
  assert.deepEqual([...rust.takeAll('rust'), ...testing.takeAll('rust')].map(({ text }) => text), programs);
});

test('Cargo takes what the page about Rust says, and the fake gateway with it for tests only', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rust-page-'));
  try {
    // A clone beside the application, as the page has it.
    symlinkSync(fileURLToPath(root), join(folder, 'roomcast'));
    const application = join(folder, 'application');
    mkdirSync(join(application, 'src'), { recursive: true });
    const head = '[workspace]\n\n[package]\nname = "application"\nversion = "0.1.0"\nedition = "2024"\n\n';
    writeFileSync(join(application, 'Cargo.toml'), head + rust.take('toml'));
    writeFileSync(join(application, 'src/main.rs'), 'fn main() {}\n');
    writeFileSync(join(application, 'Cargo.lock'), read('Cargo.lock'));
    const features = (edges) => {
      const parameters = ['tree', '--offline', '--quiet', '--edges', edges, '--package', 'roomcast-client', '--depth', '0', '--format', '{p} with {f}'];
      return /^roomcast-client \S+ \S+ with (.*)$/m.exec(execFileSync('cargo', parameters, { cwd: application, encoding: 'utf8' }))?.[1];
    };
    assert.equal(features('normal'), '');
    assert.equal(features('normal,dev'), 'testing');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  rust.assertAllTaken();
});

/** The names of an enum's variants. */
const variants = (path, name) => {
  const [, body] = new RegExp(`^pub enum ${name} \\{\n([\\s\\S]*?)^\\}$`, 'm').exec(read(path)) ?? assert.fail(name);
  return [...body.matchAll(/^ {4}([A-Z]\w*)\b/gm)].map(([, variant]) => variant);
};

test('the tables of the page about Rust name every delivery, every kind of error and every default', () => {
  const shown = rust.table('| delivery | meaning |').flatMap(([names]) => codes(names));
  assert.deepEqual(shown.toSorted(), variants('crates/client/src/subscription.rs', 'Delivery').toSorted());
  const kinds = rust.table('| kind | meaning |').map(([name]) => code(name));
  assert.deepEqual(kinds, variants('crates/client/src/error.rs', 'ErrorKind'));
  const source = read('crates/client/src/options.rs');
  const builders = source + read('crates/client/src/publisher.rs');
  const units = { secs: 's', millis: 'ms' };
  const value = (name) => {
    const [, duration] = new RegExp(`^pub const ${name}: \\w+ = (.+);$`, 'm').exec(source) ?? assert.fail(name);
    const [, unit, count] = /^Duration::from_(\w+)\((\d+)\)$/.exec(duration) ?? [];
    return unit ? `${count} ${units[unit]}` : duration;
  };
  for (const [option, defaults] of rust.table('| option | default | meaning |')) {
    assert.match(builders, new RegExp(`pub fn ${code(option)}\\(mut self`), option);
    const said = [...defaults.matchAll(/`(\w+)` \(([^)]+)\)/g)].map(([, name, shown]) => [name, shown]);
    assert.ok(said.length > 0, option);
    for (const [name, shown] of said) assert.equal(shown, value(name), name);
  }
});

test('the page about tests names every call of the Rust fake gateway', () => {
  const sources = ['testing', 'testing/script', 'testing/connections', 'testing/identity', 'testing/builder'].map((name) => read(`crates/client/src/${name}.rs`));
  const calls = sources.flatMap((source) => [...source.matchAll(/^ {4}pub (?:async )?fn (\w+)/gm)].map(([, name]) => name));
  const usual = ['new', 'build', 'all'];
  const part = testing.text.slice(testing.text.indexOf('## In Rust'));
  assert.ok(calls.length > 40);
  assert.deepEqual(calls.filter((name) => !usual.includes(name) && !new RegExp(`\\b${name}\\b`).test(part)), []);
});

test('every path of the architecture exists, and every module of the gateway is on its map', () => {
  const paths = codes(architecture.prose).filter((text) => /^(crates|xtask|tests|web)\/\S+$/.test(text));
  assert.ok(paths.length > 50);
  for (const path of paths) assert.ok(existsSync(new URL(path, root)), path);
  const modules = files.filter((path) => /^crates\/gateway\/src\/\w+\.rs$/.test(path) && !path.endsWith('/lib.rs'));
  assert.deepEqual(modules.filter((path) => !paths.includes(path)), []);
  // What the picture names is a module too, but for its two ends: the socket, and the channel between broker and hub.
  const named = architecture.take('text').match(/\w+/g).filter((name) => name !== 'socket' && name !== 'deliver');
  for (const name of named) assert.ok(modules.includes(`crates/gateway/src/${name}.rs`), name);
  architecture.assertAllTaken();
});

test('every constant of the architecture has the value that it is said to have', () => {
  for (const [name, value, place] of architecture.table('| constant | value | place | over it |')) {
    const source = read(code(place));
    const found = new RegExp(`const ${code(name)}: [^=]+ = (.+);$`, 'm').exec(source);
    assert.equal(found?.[1], code(value), `${code(name)} in ${code(place)}`);
  }
});

test('every decision of the architecture is made where it says', () => {
  for (const [question, place] of architecture.table('| question | place |')) {
    const [path, ...names] = codes(place).filter((text) => !text.startsWith('crates/') || text === codes(place)[0]);
    for (const name of names) {
      const [last] = name.split('::').reverse();
      assert.match(read(path), new RegExp(`fn ${last}\\b`), question);
    }
  }
});

test('the tasks that are described exist', () => {
  const contributing = new Page('CONTRIBUTING.md');
  const source = read('xtask/src/main.rs');
  for (const [task] of contributing.table('| task | what it does |')) {
    const [, name, option] = /^cargo xtask (\w+)(?: --(\w+))?$/.exec(code(task)) ?? assert.fail(task);
    assert.match(source, new RegExp(`Task::${name[0].toUpperCase()}${name.slice(1)}\\b`), task);
    if (option) assert.match(source, new RegExp(`\\b${option}: bool`), task);
  }
  contributing.assertAllTaken();
});

test('every test that the security page names is one', () => {
  const named = new Page('SECURITY.md').table('| threat | defence | shown by |').map(([, , test]) => code(test));
  assert.ok(named.length > 20);
  const sources = files.filter((path) => path.endsWith('.rs')).map(read);
  const missing = named.filter((name) => !sources.some((source) => new RegExp(`#\\[(tokio::)?test[^\\]]*\\]\\s+(async )?fn ${name}\\(`).test(source)));
  assert.deepEqual(missing, []);
});

test('every relative link of every page leads somewhere', () => {
  const pages = files.filter((path) => path.endsWith('.md'));
  assert.ok(pages.length >= 8, pages.join());
  const dead = [];
  for (const path of pages) {
    for (const link of new Page(path).links().filter((link) => !/^[a-z]+:/.test(link))) {
      const [target, anchor] = link.split('#');
      const file = target ? posix.join(posix.dirname(path), target) : path;
      const exists = existsSync(new URL(file, root)) && (statSync(new URL(file, root)).isDirectory() || files.includes(file));
      const leads = exists && (!anchor || new Page(file).anchors().includes(anchor));
      if (!leads) dead.push(`${path}: ${link}`);
    }
  }
  assert.deepEqual(dead, []);
});

test('the changelog begins with the version of the workspace, and the licences are those of the workspace', () => {
  const cargo = read('Cargo.toml');
  const [, version] = /^version = "(.+)"$/m.exec(cargo);
  assert.match(read('CHANGELOG.md'), new RegExp(`^## ${version.replaceAll('.', '\\.')} \\(`, 'm'));
  assert.match(cargo, /^license = "MIT OR Apache-2.0"$/m);
  assert.ok(readFileSync(new URL('LICENSE-MIT', root), 'utf8').startsWith('MIT License'));
  assert.match(read('LICENSE-APACHE'), /Apache License\s+Version 2\.0/);
});
