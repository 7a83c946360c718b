// Pages of Markdown, as far as the tests look into them: code blocks, tables, headings and links.
//
// Owns the reading, and the memory of which code blocks a test has taken: what nobody took is untested.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export const root = new URL('../../../', import.meta.url);

export const read = (path) => readFileSync(new URL(path, root), 'utf8');

const FENCE = /^```(.*)\n([\s\S]*?)^```$/gm;

export class Page {
  #taken = new Set();

  constructor(path) {
    this.path = path;
    this.text = read(path);
    /** The page without its code. */
    this.prose = this.text.replace(FENCE, '');
    this.blocks = [...this.text.matchAll(FENCE)].map(([, info, text]) => {
      const [language, ...claims] = info.trim().split(/\s+/);
      return { language, claim: claims.join(' '), text };
    });
  }

  /** The block of the language whose text begins like this; there is exactly one. */
  take(language, start = '') {
    const found = this.blocks.filter((block) => block.language === language && block.text.startsWith(start));
    assert.equal(found.length, 1, `${this.path} has one ${language} block that begins with ${JSON.stringify(start)}`);
    this.#taken.add(found[0]);
    return found[0].text;
  }

  /** Every block of the language. */
  takeAll(language) {
    const found = this.blocks.filter((block) => block.language === language);
    assert.ok(found.length > 0, `${this.path} has ${language} blocks`);
    found.forEach((block) => this.#taken.add(block));
    return found;
  }

  /** Fails for a block that no test has taken. */
  assertAllTaken() {
    const left = this.blocks.filter((block) => !this.#taken.has(block));
    assert.deepEqual(left.map(({ language, text }) => `${language}: ${text}`), [], `${this.path}: blocks that no test knows`);
  }

  /** The rows of the table with this head, cells without their backticks. */
  table(head) {
    const lines = this.prose.split('\n');
    const start = lines.indexOf(head);
    assert.ok(start >= 0, `${this.path} has a table with the head ${head}`);
    const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
    return lines.slice(start + 2, end < 0 ? undefined : end).map((line) => cells(line));
  }

  /** The names by which its headings can be linked to, as GitHub makes them. */
  anchors() {
    const headings = [...this.prose.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading);
    return headings.map((heading) => heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-'));
  }

  /** Where its links lead. */
  links() {
    const prose = this.prose.replace(/`[^`\n]*`/g, '');
    return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link);
  }
}

/** The cells of a row of a table. A pipe in a cell is written with a backslash. */
function cells(row) {
  const inner = row.trim().replace(/^\||\|$/g, '');
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
}

/** What stands in backticks in a cell. */
export const codes = (cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

/** A cell that is one code. */
export const code = (cell) => {
  const found = codes(cell);
  assert.equal(found.length, 1, `one code in ${cell}`);
  return found[0];
};
