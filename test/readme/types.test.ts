/** The TypeScript of all pages, checked as strictly as the program itself, in one pass: what a reader copies compiles. */
import { join, relative } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { root } from '../support/runs.ts';
import { filesOf, mainPages, pluginPages } from './pages.ts';

/** What the compiler says of files that lie nowhere, as if they lay in the root; `place: message`. */
function complaints(files: ReadonlyMap<string, string>): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  const host = ts.createCompilerHost(options);
  const given = new Map([...files].map(([name, text]) => [join(root, name), text]));
  const [readFile, fileExists] = [host.readFile.bind(host), host.fileExists.bind(host)];
  const folders = new Set([...given.keys()].map((path) => join(path, '..')));
  const directoryExists = host.directoryExists?.bind(host);
  Object.assign(host, {
    readFile: (path: string) => given.get(path) ?? readFile(path),
    fileExists: (path: string) => given.has(path) || fileExists(path),
    directoryExists: (path: string) => folders.has(path) || (directoryExists?.(path) ?? true),
    getSourceFile: (path: string, version: ts.ScriptTarget | ts.CreateSourceFileOptions) => {
      const text = given.get(path) ?? readFile(path);
      return text === undefined ? undefined : ts.createSourceFile(path, text, version);
    },
  });
  const program = ts.createProgram([...given.keys()], options, host);
  return [...given.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    if (source === undefined) throw new Error(`${path} was not read`);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return found.map(({ start = 0, messageText }) => {
      const line = source.getLineAndCharacterOfPosition(start).line + 1;
      return `${relative(root, path)}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    });
  });
}

test('every example of the pages has no error, and one that is wrong has', () => {
  const { written } = filesOf([...mainPages, ...pluginPages]);
  const files = new Map(written.filter(({ name }) => name.endsWith('.ts')).map(({ name, text }) => [name, text]));
  expect(files.size).toBeGreaterThan(5);
  files.set(
    'mine/wrong.ts',
    "import { defineReward } from 'reasongen/plugin';\nexport const x: number = defineReward.name;\n",
  );
  expect(complaints(files)).toEqual(["mine/wrong.ts:2: Type 'string' is not assignable to type 'number'."]);
});
