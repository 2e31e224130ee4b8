/** presets/ERRORS.md is that of the sources, every code has one exit code, and the reader of sources reads what it should. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../support/runs.ts';
import { ambiguousCodes, codesWithoutExit, errorPage, renderErrorPage } from './error-page.ts';
import { readErrors, type RaisedError } from './error-sites.ts';

describe('the program', () => {
  let found: ReturnType<typeof readErrors>;
  beforeAll(() => {
    found = readErrors(root);
  });

  test('every code ends it with one exit code', () => {
    expect(ambiguousCodes(found.errors)).toEqual([]);
    expect(codesWithoutExit(found.errors)).toEqual([]);
  });

  test('every error it raises could be read', () => {
    expect(found.unread).toEqual([]);
    const read = new Set(found.errors.map(({ code }) => code));
    const written = ['core', 'plugins'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.(ts|mjs)$/.test(name))
        .flatMap((name) => [...readFileSync(join(root, folder, name), 'utf8').matchAll(/\bcode: '([A-Z][A-Z_]+)'/g)])
        .map(([, code = '']) => code),
    );
    expect(written.length).toBeGreaterThan(100);
    expect([...new Set(written)].filter((code) => !read.has(code))).toEqual([]);
  });

  test('the page is up to date', () => {
    expect(readFileSync(errorPage, 'utf8'), 'run `npm run docs:errors`').toBe(renderErrorPage(found.errors));
  });
});

describe('reading', () => {
  const folders: string[] = [];
  afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

  /** What is read of a program with this body; its errors are like ours. */
  function read(body: string): ReturnType<typeof readErrors> {
    const folder = mkdtempSync(join(tmpdir(), 'reasongen-errors-'));
    folders.push(folder);
    mkdirSync(join(folder, 'core'));
    mkdirSync(join(folder, 'plugins'));
    writeFileSync(
      join(folder, 'tsconfig.json'),
      '{ "compilerOptions": { "target": "es2023", "lib": ["es5"], "types": [] } }',
    );
    const fields = '{ code: string; message: string; hint?: string; exitCode?: number }';
    const errors = `class ReasongenError extends Error { code = ''; constructor(fields: ${fields}) { super(''); } }`;
    writeFileSync(
      join(folder, 'core/a.ts'),
      `${errors}\nconst exits = { file: 6, preset: 2 } as const;\ndeclare const what: string;\n${body}`,
    );
    return readErrors(folder);
  }
  const short = ({ errors }: ReturnType<typeof readErrors>): string[] =>
    errors.map(({ code, exitCode, message, hint }) => [code, exitCode, message, hint ?? '-'].join(' | ')).sort();

  test.each([
    ['plain fields', `throw new ReasongenError({ code: 'A_B', message: 'no', hint: 'try' });`, ['A_B | 1 | no | try']],
    [
      'a constant exit code, and words of the moment',
      `throw new ReasongenError({ code: 'AB', message: \`no \${what} here\`, exitCode: exits.file });`,
      ['AB | 6 | no … here | -'],
    ],
    [
      'a condition, alike in every field',
      `throw new ReasongenError({ code: what ? 'AA' : 'BB', message: what ? 'a' : 'b', exitCode: what ? exits.file : exits.preset });`,
      ['AA | 6 | a | -', 'BB | 2 | b | -'],
    ],
    [
      'parameters, by the calls of the function, also through another one',
      `const refuse = (code: string, message: string): never => { throw new ReasongenError({ code, message, exitCode: 2 }); };
       function more(text: string): void { refuse('BB', text); }
       refuse('AA', 'a'); more('b'); more('c');`,
      ['AA | 2 | a | -', 'BB | 2 | b | -', 'BB | 2 | c | -'],
    ],
    [
      'what a function returns, each return by itself',
      `function explain(): { code: string; message: string } { if (what) return { code: 'AA', message: 'a' }; return { code: 'BB', message: 'b' }; }
       const { code, message } = explain();
       throw new ReasongenError({ code, message: \`\${message}!\` });`,
      ['AA | 1 | a! | -', 'BB | 1 | b! | -'],
    ],
    [
      'an object given to a method, with more around it',
      `class Guard { trip(finding: { code: string; message: string; hint: string }): void {
         throw new ReasongenError({ ...finding, hint: \`\${finding.hint}; or not\`, exitCode: 7 }); } }
       new Guard().trip({ code: 'AA', message: 'a', hint: 'h' });`,
      ['AA | 7 | a | h; or not'],
    ],
    [
      'a caught error with another place is none of its own',
      `function again(error: ReasongenError): void { throw new ReasongenError({ code: error.code, message: error.message }); }`,
      [],
    ],
    [
      'a code that its type lists',
      `type Kind = 'AA' | 'BB';
       declare function kind(): Kind;
       throw new ReasongenError({ code: kind(), message: 'a', exitCode: 2 });`,
      ['AA | 2 | a | -', 'BB | 2 | a | -'],
    ],
    [
      'the exit code of a cause',
      `declare const cause: { exitCode: number };
       throw new ReasongenError({ code: 'AA', message: 'a', exitCode: cause.exitCode });`,
      ['AA | cause | a | -'],
    ],
  ])('%s', (_name, body, expected) => {
    const found = read(body);
    expect(found.unread).toEqual([]);
    expect(short(found)).toEqual(expected);
  });

  test('a code that cannot be read is named', () => {
    const { errors, unread } = read(`throw new ReasongenError({ code: what, message: 'a' });`);
    expect(errors).toEqual([]);
    expect(unread).toMatchObject([{ place: 'core/a.ts:4' }]);
  });

  test('two exit codes of one code are named with their places', () => {
    const error = (exitCode: RaisedError['exitCode'], place: string): RaisedError => ({
      ...{ code: 'AA', message: '', exitCode, place },
    });
    expect(ambiguousCodes([error(2, 'x:1'), error(6, 'y:2'), error('cause', 'z:3')])).toEqual([
      'AA has two exit codes: 2 at x:1, 6 at y:2, cause at z:3',
    ]);
    expect(ambiguousCodes([error(2, 'x:1'), error(2, 'y:2'), error('cause', 'z:3')])).toEqual([]);
  });

  test('a code whose exit code cannot be read anywhere is named', () => {
    const error = (exitCode: RaisedError['exitCode']): RaisedError => ({
      code: 'AA',
      message: '',
      exitCode,
      place: 'x:1',
    });
    expect(codesWithoutExit([error('cause')])).toEqual(['AA: its exit code cannot be read at x:1']);
    expect(codesWithoutExit([error('cause'), error(2)])).toEqual([]);
  });

  test('a cell of the page breaks no table', () => {
    const page = renderErrorPage([
      { code: 'AA', exitCode: 2, message: 'a | b\n  <c> * `d*|e`', hint: 'x … …', place: 'p' },
    ]);
    expect(page).toContain('| `AA` | a \\| b \\<c> \\* `d*\\|e` | x … |');
  });
});
