// Builds the package: what TypeScript makes of `src/`, and the licences.
//
// Owns `dist/`, which it makes anew, so that nothing of an earlier build is shipped.

import { execFileSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

rmSync(here('dist'), { recursive: true, force: true });
execFileSync(process.execPath, [compiler, '--project', here('tsconfig.json')], { stdio: 'inherit' });
for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(here(`../../${licence}`), here(licence));
