/** `compare`: two runs, evaluations or folders; what is paired, what flipped, and what is said where nothing can be. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Evaluation, VerdictRecord } from '../../../core/contracts/evaluation.ts';
import { encodePng } from '../../../core/io/image.ts';
import { createRun, type RunDirectory } from '../../../core/io/run-directory.ts';
import { testImage } from '../../../core/testing.ts';
import { commandLine, type CommandEnd } from '../../support/command-line.ts';

const png = async (gray: number): Promise<Buffer> =>
  encodePng(testImage(() => [gray, gray, gray], { width: 2, height: 2 }));
const hostile = '<script>alert(1)</script> $& \\boxed{1}';

let root: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'reasongen-compare-'));
  // 40 prompts: of those A gets wrong B gets 15 right, of those A gets right B loses 2.
  await makeRun('a', (index) => index < 20);
  await makeRun('b', (index) => (index >= 2 && index < 20) || (index >= 20 && index < 35));
  await makeRun('warm', (index) => index < 20, {
    sampling: { guidance: 5 },
    judges: [{ capability: 'detect', title: 'Other', fingerprint: { model: 'x' }, isOfficial: false }],
  });
  await makeRun('other', () => true, { benchmark: 'geneval' });
  await makeRun('old', () => true, { verdicts: undefined });
  for (const [name, gray] of [
    ['drawn', 0],
    ['drawn-again', 255],
  ] as const) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, '00000.png'), await png(gray));
    const lines = [
      { index: 0, file: '00000.png', prompt: hostile, rationale: 'one' },
      { index: 1, file: '../outside.png', prompt: 'a boat', rationale: '' },
    ];
    writeFileSync(join(root, name, 'drawings.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
  mkdirSync(join(root, 'empty'));
  writeFileSync(join(root, 'outside.png'), await png(outsideGray));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Of a picture that no record may reach. */
const outsideGray = 77;

async function makeRun(name: string, passes: (index: number) => boolean, more: object = {}): Promise<void> {
  const run: RunDirectory = await createRun({
    directory: join(root, name),
    name,
    preset: `name: ${name}\n`,
    description: { versions: {}, adapter: {}, seeds: { run: 1 }, hashes: {} },
    command: ['npx', 'reasongen', 'run'],
  });
  mkdirSync(join(run.path, 'pictures'));
  writeFileSync(join(run.path, 'pictures/1.png'), await png(99));
  const verdicts = Array.from({ length: 40 }, (_, index): VerdictRecord => ({
    index,
    copy: 0,
    prompt: index === 0 ? hostile : `prompt ${index}`,
    task: index % 2 === 0 ? 'even' : 'odd',
    pass: passes(index),
    score: Number(passes(index)),
    why: passes(index) ? 'as asked' : 'something else',
    scores: { taste: { value: passes(index) ? 0.9 : 0.2 } },
    picture: index === 1 ? 'pictures/1.png' : '../outside.png',
  }));
  const count = (some: readonly VerdictRecord[]): { passes: number; total: number } => ({
    passes: some.filter(({ pass }) => pass).length,
    total: some.length,
  });
  const record: Evaluation = {
    label: 'after',
    benchmark: 'nano-geneval',
    step: 260,
    split: 'heldout',
    seed: 1000,
    count: 40,
    sampling: { guidance: 1 },
    overall: count(verdicts),
    tasks: {
      even: count(verdicts.filter(({ task }) => task === 'even')),
      odd: count(verdicts.filter(({ task }) => task === 'odd')),
    },
    extra: {},
    samples: [],
    verdicts,
    ...more,
  };
  await run.writeEvaluation({
    ...record,
    label: 'before',
    step: 0,
    overall: { passes: 0, total: 40 },
    verdicts: verdicts.map((verdict) => ({ ...verdict, pass: false, score: 0 })),
  });
  await run.writeEvaluation(record);
  await run.close('done');
}

function compare(...args: string[]): Promise<CommandEnd> {
  const paths = args.map((arg) => (arg.startsWith('--') ? arg : join(root, arg)));
  return commandLine(['compare', ...paths]);
}

describe('two runs', () => {
  test('their last evaluations, paired: difference with interval, McNemar, tasks, rewards, the prompts that flipped', async () => {
    const { code, output, errors } = await compare('a', 'b');
    expect(code, errors).toBe(0);
    const text = output.replaceAll('\u00a0', ' ');
    expect(text).toMatch(
      /^A: .*a \(after, step 260\)\nB: .*b \(after, step 260\)\n\nnano-geneval, held-out, pass rate, 40 pictures\n/,
    );
    expect(text).toMatch(
      /all tasks +\.50 \[\.\d+, \.\d+\] +\.82 \[\.\d+, \.\d+\] +\+\.\d+ \[\+\.\d+, \+\.\d+\] +rose, McNemar p \.002/,
    );
    expect(text).toMatch(/even +\.50 .*\n +odd +\.50/);
    expect(text).toMatch(/reward taste +\+\.2\d \[\+\.\d+, \+\.\d+\] +rose/);
    expect(text).toContain('flipped: 15 from fail to pass, 2 from pass to fail');
    expect(text).toContain('  + prompt 20: something else → as asked');
    expect(text).toContain(`  - ${hostile}: as asked → something else`);
    expect(text).not.toContain('differ in more');
  });

  test('the other way round is the other way round', async () => {
    const { output } = await compare('b', 'a', '--json');
    const there = JSON.parse((await compare('a', 'b', '--json')).output) as Data;
    const back = JSON.parse(output) as Data;
    expect(there.comparisons[0]?.overall.paired).toMatchObject({ rose: 15, fell: 2, pairs: 40 });
    expect(back.comparisons[0]?.overall.paired).toMatchObject({ rose: 2, fell: 15 });
    expect(back.comparisons[0]?.overall.paired.difference).toBeCloseTo(
      -(there.comparisons[0]?.overall.paired.difference ?? 0),
      12,
    );
    expect(there.comparisons[0]?.flips).toHaveLength(17);
  });

  test('one against itself: no difference, and nothing flips', async () => {
    const { output } = await compare('a', 'a');
    expect(output.replaceAll('\u00a0', ' ')).toMatch(/±\.00 \[−\.\d+, \+\.\d+\] +within noise, McNemar p 1\.000/);
    expect(output).toContain('flipped: 0 from fail to pass, 0 from pass to fail');
  });

  test('drawn or judged otherwise: compared all the same, and it is said', async () => {
    const { output } = await compare('a', 'warm');
    expect(output).toContain('they differ in more than their weights: guidance: 1 and 5');
    expect(output).toContain('judge (detect): none and Other');
  });

  test('a record that does not tell of every picture is not paired, and that is said', async () => {
    const { code, output } = await compare('a', 'old');
    expect(code).toBe(0);
    expect(output).toContain('not paired');
    expect(output).toContain('one of the records does not tell of every picture');
  });

  test('the page holds all it shows, with pictures of the flipped; nothing in a record becomes markup or a path', async () => {
    const { errors } = await compare('a', 'b', '--html', 'page.html');
    expect(errors).toMatch(/page: .*page\.html/);
    const page = readFileSync(join(root, 'page.html'), 'utf8');
    expect(page.match(/<article class="card pair" data-flipped="(true|false)">/g)).toHaveLength(17);
    expect(page).toContain(`data:image/png;base64,${(await png(99)).toString('base64')}`);
    expect(page).not.toContain((await png(outsideGray)).toString('base64'));
    expect(page).not.toContain('<script>');
    expect(page).toContain('&lt;script&gt;');
    expect(page).not.toMatch(/(src|href)="(?!data:|#)/);
  });
});

interface Data {
  readonly comparisons: readonly {
    readonly overall: { readonly paired: { readonly difference: number } };
    readonly flips: readonly unknown[];
  }[];
}

test('a file names one evaluation: before and after of one run', async () => {
  const { output } = await compare('a/evaluations/nano-geneval.heldout.before.json', 'a');
  expect(output).toContain('flipped: 20 from fail to pass, 0 from pass to fail');
});

test('folders of drawings: side by side, without a verdict; a path in a record leads nowhere', async () => {
  const { code, output, errors } = await compare('drawn', 'drawn-again', '--html', 'drawn.html');
  expect(code, errors).toBe(0);
  expect(output).toMatch(/^2 drawings of the same prompts; nobody has judged them/);
  const page = readFileSync(join(root, 'drawn.html'), 'utf8');
  expect(page.match(/<img /g)).toHaveLength(2);
  expect(page.match(/not there/g)).toHaveLength(2);
  expect(page).not.toContain((await png(outsideGray)).toString('base64'));
});

describe('nothing to compare: one clear message', () => {
  test.each([
    [
      'nothing at the path',
      ['absent', 'a'],
      /^NOTHING_TO_COMPARE {2}.*absent\n {2}there is nothing at this path\. Name the directory/,
    ],
    ['an empty folder', ['a', 'empty'], /it holds neither evaluations nor drawings/],
    ['a file that is none', ['a', 'drawn/drawings.jsonl'], /it is no evaluation of a run/],
    [
      'different benchmarks',
      ['a', 'other'],
      /no evaluation in common: .*a has nano-geneval \(heldout\), .*other has geneval \(heldout\)/,
    ],
    ['a run and drawings', ['a', 'drawn'], /drawn has drawings only/],
  ])('%s', async (_, args, message) => {
    const { code, errors } = await compare(...args);
    expect(errors).toMatch(message);
    expect(code).toBe(2);
  });
});
