// The TypeScript in the page that introduces the schema compiles word for word.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = new URL("../../", import.meta.url);

test("every TypeScript block of protocol-schema/README.md compiles", () => {
  const page = readFileSync(new URL("protocol-schema/README.md", root), "utf8");
  const blocks = [...page.matchAll(/```typescript\n([\s\S]*?)```/g)].map(([, block]) => block);
  assert.ok(blocks.length > 0);
  // The blocks stand where a reader would put them: beside protocol-schema, with a token from elsewhere.
  const source = blocks.join("\n") + "\ndeclare const token: string;\n";
  const name = fileURLToPath(new URL("readme-block.ts", root));
  const options = { strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, types: [] };
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (file) => file === name || fileExists(file);
  host.readFile = (file) => (file === name ? source : readFile(file));
  host.getSourceFile = (file, ...rest) =>
    file === name ? ts.createSourceFile(file, source, options.target) : getSourceFile(file, ...rest);
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([name], options, host));
  assert.deepEqual(diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")), []);
});
