// The controls of the page: which there are in its sources, which a test has had before it, and which were pressed.
//
// Owns the marks. The page of the tests is built from the same sources as the served one, with one attribute more: every
// control is marked with its place in the sources. So the list is the sources' and nobody's to keep, and one that no test
// brings up is missed like one that no test presses.

import { readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import ts from 'typescript';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** What can be pressed, chosen or typed into. */
const CONTROLS = new Set(['a', 'button', 'input', 'select', 'summary', 'textarea']);

/** The source with a mark on each control, and the marks: `views/events.tsx:61 <button>`. */
function marked(path, marks) {
  const text = readFileSync(path, 'utf8');
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found = [];
  const visit = (node) => {
    if ((ts.isJsxOpeningElement(node) || ts.isJsxSelfClosingElement(node)) && CONTROLS.has(node.tagName.getText())) {
      const line = source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      const place = relative(here('../src'), path).split(sep).join('/');
      found.push([node.tagName.getEnd(), `${place}:${line} <${node.tagName.getText()}>`]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  let [contents, end] = ['', 0];
  for (const [at, mark] of found) {
    contents += `${text.slice(end, at)} data-control="${mark.replace('<', '&lt;')}"`;
    end = at;
    marks.add(mark);
  }
  return contents + text.slice(end);
}

/** Runs in the page: tells each control that is there, and each that is pressed, with the panel that it is in. */
function watch() {
  // Drawn together with what is in it, unlike the address.
  const panelOf = (control) => control.closest('main')?.ariaLabel ?? 'every panel';
  const tell = (kind, control) => window.tellControl(kind, control.dataset.control, panelOf(control));
  const told = new Set();
  const look = () => {
    for (const control of document.querySelectorAll('[data-control]')) {
      const key = `${control.dataset.control} ${panelOf(control)}`;
      if (!told.has(key)) tell('shown', control);
      told.add(key);
    }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
  const isTyped = ({ tagName }) => ['INPUT', 'SELECT', 'TEXTAREA'].includes(tagName);
  for (const event of ['click', 'input']) {
    const hear = ({ target }) => {
      const control = target.closest?.('[data-control]');
      if (control && isTyped(control) === (event === 'input')) tell('pressed', control);
    };
    document.addEventListener(event, hear, { capture: true });
  }
}

/** What the tests of one process have seen and pressed. */
export class Controls {
  #marks = new Set();
  #shown = new Set();
  #pressed = new Set();
  #script;

  static async of(entry) {
    const controls = new Controls();
    const mark = {
      name: 'mark',
      setup: (build) => build.onLoad({ filter: /\.tsx$/ }, ({ path }) => ({ contents: marked(path, controls.#marks), loader: 'tsx' })),
    };
    const { outputFiles } = await build({
      absWorkingDir: here('..'),
      entryPoints: [entry],
      bundle: true,
      write: false,
      format: 'iife',
      plugins: [mark],
    });
    controls.#script = outputFiles[0].text;
    return controls;
  }

  /** Has the page run the marked script in the place of the served one, and keeps what it tells. */
  async watch(page) {
    await page.exposeFunction('tellControl', (kind, mark, panel) => {
      (kind === 'pressed' ? this.#pressed : this.#shown).add(`${mark} in ${panel}`);
    });
    await page.addInitScript(watch);
    await page.route('**/console/console.js', (route) => route.fulfill({ contentType: 'text/javascript', body: this.#script }));
  }

  /** How many controls the sources have. */
  get count() {
    return this.#marks.size;
  }

  /** Controls of the sources that no test has brought up. */
  get unseen() {
    return [...this.#marks].filter((mark) => ![...this.#shown].some((shown) => shown.startsWith(`${mark} in `))).sort();
  }

  /** Controls that were there in a panel, and that no test has pressed there. */
  get unpressed() {
    return [...this.#shown].filter((shown) => !this.#pressed.has(shown)).sort();
  }
}
