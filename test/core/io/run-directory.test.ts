/** The directory of a run: how it comes into being, and what is written there. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { writeSamples } from '../../../core/io/sample-folder.ts';
import { describeProgram } from '../../../core/io/software.ts';
import { readRunRecord, readRunRecords } from '../../../core/io/records.ts';
import { createRun, evaluationName, openRun } from '../../../core/io/run-directory.ts';
import { description, root, start, useRuns } from '../../support/quick-run.ts';

useRuns();

describe('creating', () => {
  test.each([
    ['that has its preset.yaml already keeps it', true],
    ['that had nothing is left with nothing', false],
  ])('a directory %s when the run cannot be made', async (_, isStage) => {
    const directory = join(root, 'runs', 'stage');
    await mkdir(directory, { recursive: true });
    const left = isStage ? ['preset.yaml'] : [];
    if (isStage) await writeFile(join(directory, 'preset.yaml'), 'steps: 3\n');
    const options = { directory, name: 'stage', preset: 'steps: 3\n', origins: 'where\n', description, command: [] };
    let seen: string[] = [];
    const fill = async (path: string): Promise<void> => {
      seen = (await readdir(path)).filter((name) => name !== 'lock');
      throw new Error('no room');
    };
    await expect(createRun({ ...options, fill })).rejects.toThrow('no room');
    expect(seen).toEqual(left);
    expect(await readdir(directory)).toEqual(left);
    const run = await createRun(options);
    await run.close('done');
  });

  test('of two at the same time one wins', async () => {
    const runs = await Promise.allSettled([start(), start()]);
    const [winner, ...others] = runs.flatMap((run) => (run.status === 'fulfilled' ? [run.value] : []));
    expect(others).toEqual([]);
    expect(await readFile(join(winner?.path ?? '', 'preset.yaml'), 'utf8')).toBe('steps: 3\n');
    await winner?.close('done');
  });

  test('takes an empty directory and no other', async () => {
    const directory = join(root, 'mine');
    await mkdir(directory);
    await (await start(directory)).close('done');
    await expect(start(directory)).rejects.toMatchObject({
      code: 'RUN_EXISTS',
      exitCode: 2,
      hint: expect.stringContaining('resume') as string,
    });
    const full = join(root, 'full');
    await mkdir(full);
    await writeFile(join(full, 'thesis.txt'), 'mine');
    await expect(start(full)).rejects.toMatchObject({ code: 'DIRECTORY_NOT_EMPTY', place: full });
    expect(await readdir(full)).toEqual(['thesis.txt']);
    await expect(start(join(full, 'thesis.txt'))).rejects.toMatchObject({ exitCode: 6 });
    await expect(openRun(full, [])).rejects.toMatchObject({ code: 'NOT_A_RUN' });
  });

  test('goes on where a process was killed in the middle of it, and takes nothing of a user for that', async () => {
    const leftovers: readonly Readonly<Record<string, string>>[] = [
      { '.tmp-preset.yaml-77': 'ste' },
      { 'preset.yaml': 'steps: 3\n' },
      { 'preset.yaml': 'steps: 3\n', 'metrics.ndjson': '', '.tmp-run.json-77': '{"format' },
    ];
    for (const [index, files] of leftovers.entries()) {
      const directory = join(root, `killed-${index}`);
      await mkdir(directory);
      for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
      await (await start(directory)).close('done');
      expect((await readdir(directory)).sort()).toEqual(['metrics.ndjson', 'preset.yaml', 'run.json']);
    }
    const mine = join(root, 'presets');
    await mkdir(mine);
    await writeFile(join(mine, 'preset.yaml'), 'steps: 4\n');
    await expect(start(mine)).rejects.toMatchObject({ code: 'INPUTS_CHANGED', place: join(mine, 'preset.yaml') });
    expect(await readFile(join(mine, 'preset.yaml'), 'utf8')).toBe('steps: 4\n');
  });

  test('run.json tells what ran, also after a resume', async () => {
    const run = await start();
    await run.describe({ adapter: { description: 'llvmpipe' }, hashes: { checkpoint: 'abc' } });
    await run.close('stopped', 'interrupted');
    const again = await openRun(run.path, ['npx', 'reasongen', 'resume']);
    again.log('went on');
    await again.close('done');
    await again.close('failed');
    const record = await readRunRecord(run.path);
    expect(record).toMatchObject({
      name: 'quick',
      versions: { reasongen: '1.2.3' },
      seeds: { sampling: 7 },
      adapter: { description: 'llvmpipe' },
      hashes: { checkpoint: 'abc' },
    });
    expect(record.sessions.map(({ outcome, note, command }) => [outcome, note, command[2]])).toEqual([
      ['stopped', 'interrupted', 'run'],
      ['done', undefined, 'resume'],
    ]);
    expect(await readFile(join(run.path, 'log.txt'), 'utf8')).toMatch(/^\d{4}-.*Z went on\n$/);
  });

  test('the program knows its versions', () => {
    const { versions } = describeProgram();
    expect(versions).toMatchObject({
      node: process.versions.node,
      webgpu: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    });
    expect(versions['reasongen']).toMatch(/^\d+\.\d+\.\d+/);
  });
});

describe('samples and evaluations', () => {
  const evaluation = (label: string, step: number): Evaluation => ({
    label,
    step,
    split: 'heldout',
    benchmark: 'nano-geneval',
    sampling: { imageTemperature: 0.7 },
    seed: 3,
    count: 2,
    overall: { passes: 1, total: 2 },
    tasks: { counting: { passes: 1, total: 2 } },
    extra: { distinctLayouts: 4 },
    samples: [
      {
        prompt: 'two cakes',
        task: 'counting',
        rationale: 'plan',
        image: 'iVBORw0KGgo=',
        pass: true,
        why: 'two cakes',
        scores: { verdict: { value: 1 } },
      },
    ],
  });

  test('are read back', async () => {
    const run = await start();
    const sample = {
      prompt: 'a “cat”',
      task: 'single',
      rationale: 'draw',
      scores: { detector: { value: 1, why: 'a cat' } },
      total: 1,
      advantage: 0.5,
      seed: 9,
    };
    const drawn = { ...sample, png: Uint8Array.of(1, 2, 3) };
    await writeSamples(run.path, 'samples/step-000010', [drawn, drawn]);
    await writeSamples(run.path, 'samples/step-000020', [drawn, drawn]);
    await writeSamples(run.path, 'samples/step-000020', [drawn]);
    await run.writeEvaluation(evaluation('later', 20));
    await run.writeEvaluation({ ...evaluation('later', 20), split: 'seen' });
    await run.writeEvaluation(evaluation('before', 0));
    await run.close('done');
    const records = await readRunRecords(run.path);
    expect(records.sampleStep).toBe(20);
    expect(records.samples).toEqual([{ ...sample, image: join('samples', 'step-000020', '000.png') }]);
    expect(await readFile(join(run.path, records.samples[0]?.image ?? ''))).toEqual(Buffer.of(1, 2, 3));
    expect(await readdir(join(run.path, 'samples', 'step-000020'))).toEqual(['000.png', 'samples.jsonl']);
    expect(records.evaluations.map(({ label, split }) => [label, split])).toEqual([
      ['before', 'heldout'],
      ['later', 'heldout'],
      ['later', 'seen'],
    ]);
    expect(records.evaluations[0]).toEqual(evaluation('before', 0));
  });

  test('of other names have other files, whatever the names hold and wherever capitals are one with small letters', async () => {
    const names = ['a b', 'a_b', 'a-b', 'A b', 'a.b', 'a%20b', 'ä', 'a/b', '', 'x'.repeat(300), `${'x'.repeat(299)}y`];
    const files = names.map((label) => evaluationName({ benchmark: 'b', split: 's', label }).toLowerCase());
    expect(new Set(files).size).toBe(names.length);
    expect(evaluationName({ benchmark: 'a', split: 'b.c', label: 'd' })).not.toBe(
      evaluationName({ benchmark: 'a.b', split: 'c', label: 'd' }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (one, other) => {
        const [first, second] = [one, other].map((label) => evaluationName({ benchmark: 'b', split: 's', label }));
        expect(first).toMatch(/^[a-z0-9_%+.-]{1,200}$/);
        expect(first?.toLowerCase() === second?.toLowerCase()).toBe(one === other);
      }),
    );
    const run = await start();
    for (const label of names) await run.writeEvaluation(evaluation(label, 0));
    await run.close('done');
    expect((await readRunRecords(run.path)).evaluations.map(({ label }) => label)).toEqual(
      names.map((label) => (label.length > 200 ? `${label.slice(0, 200)}…` : label)).toSorted(),
    );
  });

  test('every verdict is kept, in a file of its own', async () => {
    const run = await start();
    const verdict = { index: 0, copy: 1, prompt: 'two cakes', task: 'counting', pass: false, score: 0.5, why: 'one' };
    const more = {
      ...verdict,
      index: 1,
      atoms: [{ id: 'cake', kind: 'count', score: 0.5 }],
      failure: 'judge' as const,
    };
    await run.writeEvaluation({ ...evaluation('before', 0), verdicts: [verdict, more] });
    const lines = join(run.path, 'evaluations', 'nano-geneval.heldout.before.jsonl');
    expect(
      (await readFile(lines, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([verdict, more]);
    expect((await readRunRecords(run.path)).evaluations[0]?.verdicts).toEqual([verdict, more]);
    await writeFile(lines, `${JSON.stringify(verdict)}\n{"index":-1}\n`);
    expect((await readRunRecords(run.path)).evaluations[0]).not.toHaveProperty('verdicts');
    await run.close('done');
  });

  test('names cannot leave the directory, a broken record is named', async () => {
    const run = await start();
    await run.writeEvaluation({ ...evaluation('../../x', 0), overall: { passes: 3, total: 2 } });
    const path = join(run.path, 'evaluations', 'nano-geneval.heldout.%2e%2e%2f%2e%2e%2fx.json');
    await expect(readRunRecords(run.path)).rejects.toMatchObject({ code: 'BAD_RECORD', place: path });
    await writeFile(path, '{');
    await expect(readRunRecords(run.path)).rejects.toMatchObject({
      code: 'BAD_RECORD',
      message: 'it is not a JSON object',
    });
    await run.close('failed');
  });
});
