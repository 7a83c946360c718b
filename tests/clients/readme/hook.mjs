// The page's React hook: compiled as strictly as it can be, and bundled so that it can be run.

import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import ts from 'typescript';

import { root } from './page.mjs';

/** As much of React's types as the hook uses; the package itself brings none. */
const REACT = `
declare module 'react' {
  export function useEffect(effect: () => void | (() => void), dependencies?: readonly unknown[]): void;
  export function useRef<T>(initial: T): { current: T };
  export function useState<T>(initial: T): [T, (value: T) => void];
}
`;

/** What the strictest compiler says of the source, which lies where a reader would put it: beside protocol-schema. */
export function diagnose(source) {
  const files = new Map([
    [fileURLToPath(new URL('readme-hook.tsx', root)), source],
    [fileURLToPath(new URL('readme-react.d.ts', root)), REACT],
  ]);
  const options = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noEmit: true,
    verbatimModuleSyntax: true,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    jsx: ts.JsxEmit.ReactJSX,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => files.has(file) || fileExists(file);
  host.readFile = (file) => files.get(file) ?? readFile(file);
  host.getSourceFile = (file, ...rest) =>
    files.has(file) ? ts.createSourceFile(file, files.get(file), options.target) : getSourceFile(file, ...rest);
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([...files.keys()], options, host));
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/** The hook, with the stand-in for React. */
export async function load(source) {
  const standIn = fileURLToPath(new URL('react.mjs', import.meta.url));
  const bundle = await build({
    stdin: { contents: source + "\nexport { unmount } from 'react';\n", resolveDir: fileURLToPath(root), loader: 'tsx' },
    alias: { react: standIn },
    bundle: true,
    format: 'esm',
    write: false,
  });
  return import(`data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString('base64')}`);
}
