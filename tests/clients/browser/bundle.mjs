// The page's script: the original's hook with React, in one file.
//
// The hook's text is not touched but for its address: the original hard-codes port 3001.

import { build } from 'esbuild';
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** The script, for a gateway at this address. */
export async function bundle(address) {
  const original = {
    name: 'original',
    setup({ onLoad, onResolve }) {
      onResolve({ filter: /^@\/stores\// }, () => ({ path: here('stores.mjs') }));
      onLoad({ filter: /original-hook\.ts$/ }, async ({ path }) => {
        const parts = (await readFile(path, 'utf8')).split('localhost:3001');
        assert.equal(parts.length, 2, 'the address stands once in the original');
        return { contents: parts.join(address), loader: 'ts' };
      });
    },
  };
  const { outputFiles } = await build({
    entryPoints: [here('application.mjs')],
    bundle: true,
    write: false,
    format: 'iife',
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'silent',
    plugins: [original],
  });
  return outputFiles[0].text;
}
