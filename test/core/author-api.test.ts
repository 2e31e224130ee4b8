/** What an author sees in the editor: everything that can be called has its documentation where it is declared, and ops say shapes and gradients. */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { root } from '../support/runs.ts';

interface Exported {
  readonly name: string;
  readonly file: string;
  readonly documentation: string;
}

const parse = (file: string): ts.SourceFile =>
  ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);

/** The functions, classes and constants that an entry exports, from the files that declare them; types are documented by their fields. */
function exportedBy(entry: string): Exported[] {
  const file = resolve(root, entry);
  return parse(file).statements.flatMap((statement): Exported[] => {
    const own = declared(statement);
    if (own !== undefined) return [own];
    if (!ts.isExportDeclaration(statement) || statement.isTypeOnly) return [];
    const { exportClause, moduleSpecifier } = statement;
    if (exportClause === undefined || !ts.isNamedExports(exportClause) || moduleSpecifier === undefined) return [];
    const from = resolve(dirname(file), (moduleSpecifier as ts.StringLiteral).text);
    return exportClause.elements
      .filter((element) => !element.isTypeOnly)
      .flatMap((element) => find((element.propertyName ?? element.name).text, from));
  });
}

function find(name: string, file: string): Exported[] {
  const found = parse(file).statements.flatMap((statement): Exported[] => {
    const own = declared(statement);
    if (own !== undefined) return own.name === name ? [own] : [];
    if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined) return [];
    const { exportClause } = statement;
    const isPassedOn =
      exportClause !== undefined &&
      ts.isNamedExports(exportClause) &&
      exportClause.elements.some((element) => element.name.text === name);
    return isPassedOn ? find(name, resolve(dirname(file), (statement.moduleSpecifier as ts.StringLiteral).text)) : [];
  });
  return found;
}

function declared(statement: ts.Statement): Exported | undefined {
  const isExported =
    ts.canHaveModifiers(statement) &&
    ts.getModifiers(statement)?.some((each) => each.kind === ts.SyntaxKind.ExportKeyword);
  if (isExported !== true) return undefined;
  const name = ts.isVariableStatement(statement)
    ? statement.declarationList.declarations[0]?.name.getText()
    : (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name?.text;
  if (typeof name !== 'string') return undefined;
  // The comment right above; what stands at the head of a file and has an import behind it is no documentation of a declaration.
  const documentation = ts
    .getJSDocCommentsAndTags(statement)
    .map((each) => each.getText())
    .join('\n');
  return { name, file: statement.getSourceFile().fileName, documentation };
}

const entries = ['core/plugin.ts', 'core/compute.ts', 'core/testing.ts'];

describe.each(entries)('%s', (entry) => {
  const exported = exportedBy(entry);

  test('documents what it exports, where it is declared', () => {
    expect(exported.length).toBeGreaterThan(5);
    expect(exported.filter(({ documentation }) => documentation === '').map(({ name }) => name)).toEqual([]);
  });
});

test('every op says its shapes, and its gradient or that it has none', () => {
  const ops = exportedBy('core/compute.ts').filter(({ file }) => file.includes(join('core', 'ops')));
  expect(ops.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['attention', 'rmsNorm', 'rotary', 'swiglu', 'add', 'softmax', 'embedding', 'linear']),
  );
  const sizes = ['attentionWidth', 'rotaryBase', 'rotaryWidth', 'gradientNorm'];
  const tensorOps = ops.filter(({ name }) => !sizes.includes(name));
  const lacking = (pattern: RegExp): string[] =>
    tensorOps.filter(({ documentation }) => !pattern.test(documentation)).map(({ name }) => name);
  expect(lacking(/\[|any shape|one shape/)).toEqual([]);
  expect(lacking(/backward|gradient|inference only|\bd[A-Z]\w* [=+]/i)).toEqual([]);
});
