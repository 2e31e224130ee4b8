/** What a preset may be made of is bounded, and so is what is said about it: a hostile or broken one is refused in a moment, in words. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { formatError, type PresetError, ProblemsError, ReasongenError } from '../../../core/errors.ts';
import { loadPreset } from '../../../core/preset/load.ts';
import { parseLocated } from '../../../core/preset/located.ts';
import components from '../../cases/components.ts';

const folder = mkdtempSync(join(tmpdir(), 'reasongen-limits-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What is wrong with a text, read as YAML alone. */
function faults(text: string): PresetError[] {
  const problems: PresetError[] = [];
  parseLocated(text, '/preset.yaml', problems);
  return problems;
}

async function refusal(files: Readonly<Record<string, string>>): Promise<ProblemsError> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const builtIn = [{ plugin: components, source: 'components', place: 'components' }];
  try {
    await loadPreset(join(folder, Object.keys(files)[0] ?? ''), { builtIn });
  } catch (error) {
    if (error instanceof ProblemsError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const minimal = 'dataset: colors\ntokenizer: words\nrecipe: practice\n';

describe('YAML', () => {
  test.each([
    [
      'a text of more than a MiB',
      `name: "${'x'.repeat(2 ** 20)}"`,
      /at most 1048576 characters/,
      /check that it is the file/i,
    ],
    ['brackets without end', `a: ${'['.repeat(20_000)}`, /nested too deeply/, /at most 50 levels/],
    ['maps without end', `a: ${'{b: '.repeat(20_000)}`, /nested too deeply/, /at most 50 levels/],
    ['lists without end', '- '.repeat(20_000), /nested too deeply/, /at most 50 levels/],
    [
      '51 levels',
      `${Array.from({ length: 51 }, (_, level) => `${' '.repeat(level)}a:`).join('\n')} 1`,
      /nested too deeply/,
      /50 levels/,
    ],
    ['an alias', 'a: &x [1]\nb: *x', /anchors and aliases/, /extends/],
    ['a merge key', 'a: &x { b: 1 }\nc: { <<: *x }', /anchors and aliases/, /extends/],
    ['a tag', 'a: !!js/function x', /tag/i, /begins with !/],
    ['bytes', 'a: !!binary aGVsbG8=', /./, /./],
    ['tabs', 'a:\n\tb: 1', /tab/i, /spaces/],
    ['a text with a colon', 'a: b: c', /./, /quote/],
    ['two documents', 'a: 1\n---\nb: 2', /document/i, /one preset/],
    ['a key twice', 'a: 1\na: 2', /unique/, /once/],
    ['a key that is a list', '? [a]\n: 1', /plain name/, /name: value/],
  ])('%s', (_, text, says, hints) => {
    const found = faults(text);
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThan(3);
    expect(found[0]).toMatchObject({
      code: 'BAD_YAML',
      place: expect.stringMatching(/^\/preset\.yaml:\d+:\d+$/) as string,
    });
    expect(found[0]?.message).toMatch(says);
    expect(found[0]?.hint).toMatch(hints);
  });

  test('aliases that would unfold to millions are never unfolded', () => {
    const levels = Array.from(
      { length: 40 },
      (_, level) =>
        `a${level}: &a${level} [${Array(9)
          .fill(`*a${level - 1}`)
          .join()}]`,
    );
    const started = performance.now();
    expect(faults(['a: &a-1 [x]', ...levels].join('\n')).length).toBeGreaterThan(0);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test('50 levels and a MiB of text are read', () => {
    expect(faults(`${Array.from({ length: 49 }, (_, level) => `${' '.repeat(level)}a:`).join('\n')} 1`)).toEqual([]);
    expect(faults(`a: "${'x '.repeat(2 ** 19 - 10)}"`)).toEqual([]);
  });
});

test('files that extend each other over and over are not read millions of times', async () => {
  const files = Object.fromEntries(
    Array.from({ length: 30 }, (_, index) => [
      `${index}.yaml`,
      index === 29 ? minimal : `extends: [${index + 1}.yaml, ${index + 1}.yaml]\n`,
    ]),
  );
  const { problems } = await refusal({ '0.yaml': files['0.yaml'] ?? '', ...files });
  expect(problems[0]).toMatchObject({
    code: 'BAD_PRESET',
    message: expect.stringMatching(/more than 200 files/) as string,
  });
});

test('a chain of thousands of stages is refused', async () => {
  const { problems } = await refusal({
    'chain.yaml': `stages: [${Array(5000).fill('first.yaml').join()}]`,
    'first.yaml': minimal,
  });
  expect(problems.map(({ message }) => message)).toEqual(['stages must be a list of at most 100 preset files']);
});

describe('what is said', () => {
  test('of thousands of mistakes some are shown and the others counted', async () => {
    const keys = Array.from({ length: 500 }, (_, index) => `key${index}: 1\n`).join('');
    const error = await refusal({ 'many.yaml': minimal + keys });
    expect(error.problems).toHaveLength(500);
    const text = formatError(error);
    expect(text.match(/UNKNOWN_OPTION/g)).toHaveLength(25);
    expect(text).toMatch(/and 475 more mistakes$/);
    expect(error.message).toBe(text);
  });

  test('of a list of thousands of wrong values likewise, without looking through the list for each', async () => {
    const started = performance.now();
    const error = await refusal({
      'list.yaml': `dataset: colors\ntokenizer: { use: letters, keep: [${Array(20_000).fill('1').join()}] }\nrecipe: practice\n`,
    });
    expect(error.problems).toHaveLength(101);
    expect(error.problems.map(({ message }) => message)).toContain('tokenizer: 19900 further options are wrong');
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test('a value, a key or a name of any length is shown in short', async () => {
    const long = 'x'.repeat(50_000);
    const words = 'some words '.repeat(5000);
    for (const wrong of [
      `${long}: 1\n`,
      `"${words}": 1\n`,
      `rewards: ["${words}"]\n`,
      `rewards: [{ use: warmth, gain: "${words}" }]\n`,
      `rewards: [{ use: warmth, mode: ${long} }]\n`,
      `rewards: [{ use: warmth, ${long}: 1 }]\n`,
      `rewards: [{ use: warmth, gain: [${Array(5000).fill('1').join()}] }]\n`,
      `name: "${words}"\n`,
      `seed: "${words}"\n`,
      `extends: ${long}\n`,
      `plugins: ["./${long}.ts"]\n`,
    ]) {
      const text = formatError(await refusal({ 'long.yaml': minimal + wrong }));
      expect(text.length, wrong.slice(0, 60)).toBeLessThan(20_000);
      expect(text).not.toMatch(/\S{400}/);
    }
  });

  test('no message of any error carries data', () => {
    const data = Buffer.alloc(9000, 7).toString('base64');
    const error = new ReasongenError({
      code: 'X',
      message: `cannot read ${data}`,
      place: data,
      hint: `give ${data} back`,
    });
    expect(formatError(error).length).toBeLessThan(1000);
  });
});
