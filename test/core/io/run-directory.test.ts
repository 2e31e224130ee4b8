import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Evaluation } from '../../../core/contracts/evaluation.ts';
import { writeSamples } from '../../../core/io/sample-folder.ts';
import { MetricsFile, readMetrics } from '../../../core/io/metrics.ts';
import { describeProgram } from '../../../core/io/software.ts';
import { readRunRecord, readRunRecords } from '../../../core/io/records.ts';
import { createRun, evaluationName, openRun, type RunDirectory } from '../../../core/io/run-directory.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'reasongen-run-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const description = { versions: { reasongen: '1.2.3' }, adapter: {}, seeds: { sampling: 7 }, hashes: {} };
const start = (directory = join(root, 'runs', 'quick')): Promise<RunDirectory> => {
  return createRun({
    directory,
    name: 'quick',
    preset: 'steps: 3\n',
    description,
    command: ['npx', 'reasongen', 'run'],
  });
};

describe('creating', () => {
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
    await expect(start(mine)).rejects.toMatchObject({ code: 'DIRECTORY_NOT_EMPTY' });
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

describe('lock', { timeout: 30_000 }, () => {
  test('two at a time is one too many', async () => {
    const run = await start();
    await expect(openRun(run.path, [])).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      exitCode: 6,
      message: `process ${process.pid} on ${hostname()} is writing this run`,
    });
    await run.close('done');
    await (await openRun(run.path, [])).close('done');
    expect(await readdir(run.path)).not.toContain('lock');
  });

  test('of a process that is gone is taken over, of a living one or another machine not', async () => {
    const run = await start();
    await run.close('done');
    const lock = join(run.path, 'lock');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8').catch(() => '');
    const processStart = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    const holder = { id: 'other', pid: child.pid, host: hostname(), processStart };
    await writeFile(lock, JSON.stringify(holder));
    await expect(openRun(run.path, [])).rejects.toMatchObject({ code: 'RUN_LOCKED' });
    if (stat !== '') {
      // The number is in use again, by a later process.
      await writeFile(lock, JSON.stringify({ ...holder, processStart: '1' }));
      await (await openRun(run.path, [])).close('done');
    }
    child.kill('SIGKILL');
    await once(child, 'close');
    await writeFile(lock, JSON.stringify(holder));
    await (await openRun(run.path, [])).close('done');
    await writeFile(lock, JSON.stringify({ ...holder, host: 'elsewhere' }));
    await expect(openRun(run.path, [])).rejects.toThrow('on elsewhere is writing this run');
    expect((await readdir(run.path)).filter((name) => /^lock./.test(name))).toEqual([]);
  });

  test('of another machine or container is taken over after minutes without a sign of life', async () => {
    const run = await start();
    await run.close('done');
    const lock = join(run.path, 'lock');
    const others = [
      { host: 'elsewhere' },
      { boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), processSpace: 'pid:[1]' },
    ];
    for (const other of others) {
      const holder = { id: 'other', pid: 1, host: hostname(), processStart: '1', ...other };
      await writeFile(lock, JSON.stringify(holder));
      const recent = new Date(Date.now() - 60_000);
      await utimes(lock, recent, recent);
      await expect(openRun(run.path, [])).rejects.toMatchObject({
        code: 'RUN_LOCKED',
        hint: expect.stringMatching(
          /last sign of life was (59|60|61) s ago, and after 300 s it counts as gone/,
        ) as string,
      });
      const old = new Date(Date.now() - 301_000);
      await utimes(lock, old, old);
      await (await openRun(run.path, [])).close('done');
    }
  });

  test('of an earlier start of this system is taken over at once', async () => {
    const run = await start();
    await run.close('done');
    const holder = { id: 'x', pid: process.pid, host: hostname(), processStart: '1', boot: 'earlier' };
    await writeFile(join(run.path, 'lock'), JSON.stringify(holder));
    const opened = await openRun(run.path, []);
    expect(opened.path).toBe(run.path);
    await opened.close('done');
  });

  test.each(['', '{', '{"pid":7', 'null', '[]', '{"pid":-1,"host":"x"}', '{"pid":"7"}', '\0\0\0\0', 'x'.repeat(5000)])(
    'that a kill left empty or torn shuts nothing for ever: %j',
    async (content) => {
      const run = await start();
      await run.close('done');
      for (const name of ['lock', 'lock.takeover']) {
        await writeFile(join(run.path, name), content);
        // Old enough, so that nobody is about to write it.
        await utimes(join(run.path, name), new Date(0), new Date(0));
      }
      await (await openRun(run.path, [])).close('done');
      expect((await readdir(run.path)).filter((name) => name.startsWith('lock'))).toEqual([]);
    },
  );

  test('that was torn a moment ago is looked at twice', async () => {
    const run = await start();
    await run.close('done');
    const lock = join(run.path, 'lock');
    await writeFile(lock, '');
    const opening = openRun(run.path, []);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await writeFile(lock, JSON.stringify({ id: 'y', pid: 1, host: 'elsewhere', processStart: '' }));
    await expect(opening).rejects.toThrow('on elsewhere is writing this run');
    await writeFile(lock, '');
    await (await openRun(run.path, [])).close('done');
  });

  test('a torn lock goes to exactly one of many, and so does one whose guard is torn, too', async () => {
    const run = await start();
    await run.close('done');
    for (const names of [['lock'], ['lock', 'lock.takeover']]) {
      for (const name of names) {
        await writeFile(join(run.path, name), '');
        await utimes(join(run.path, name), new Date(0), new Date(0));
      }
      const opened = await Promise.allSettled(Array.from({ length: 6 }, () => openRun(run.path, [])));
      const winners = opened.filter((result) => result.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const result of opened)
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'RUN_LOCKED' });
      await winners[0]?.value.close('done');
    }
  });

  test('a kill at its birth leaves no torn lock: it has its content from the first moment on', async () => {
    const run = await start();
    const seen = new Set<string>();
    await run.close('done');
    const lock = join(run.path, 'lock');
    for (let round = 0; round < 20; round++) {
      const opening = openRun(run.path, []);
      const state = { isOpen: false };
      void opening.then(() => (state.isOpen = true));
      while (!state.isOpen) {
        if (existsSync(lock)) seen.add(readFileSync(lock, 'utf8').slice(-2));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await (await opening).close('done');
    }
    expect([...seen]).toEqual(['}\n']);
  });

  test('whoever gets it removes what killed processes were writing, and leaves what living ones write', async () => {
    const run = await start();
    await run.close('done');
    const dead = 2 ** 22 + 1;
    const left = [
      `.tmp-run.json-${dead}`,
      `.tmp-metrics.ndjson-${dead}`,
      `.tmp-run.json-${process.pid}`,
      `evaluations/.tmp-a.json-${dead}`,
      `checkpoints/.tmp-step-000010-${dead}/weights.safetensors`,
      'checkpoints/.tmp-delete-step-000001/weights.safetensors',
      `lock.${randomUUID()}`,
    ];
    const alive = `.tmp-report.html-${process.ppid}`;
    for (const name of [...left, alive]) {
      await mkdir(join(run.path, name, '..'), { recursive: true });
      await writeFile(join(run.path, name), 'half');
    }
    await (await openRun(run.path, [])).close('done');
    const names = await readdir(run.path, { recursive: true });
    expect(names.filter((name) => /\.tmp-|lock/.test(name))).toEqual([alive]);
  });

  test('of a dead process goes to exactly one of many', async () => {
    const run = await start();
    await run.close('done');
    await writeFile(
      join(run.path, 'lock'),
      JSON.stringify({ id: 'x', pid: 2 ** 22 + 1, host: hostname(), processStart: '1' }),
    );
    const opened = await Promise.allSettled(Array.from({ length: 6 }, () => openRun(run.path, [])));
    const winners = opened.filter((result) => result.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    await winners[0]?.value.close('done');
  });
});

describe('metrics', { timeout: 30_000 }, () => {
  test('come back as written, NaN and infinity included', async () => {
    const value = fc.oneof(
      fc.double(),
      fc.string().filter((text) => !/^(NaN|-?Infinity)$/.test(text)),
    );
    let index = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.dictionary(
            fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
            value,
          ),
          { maxLength: 5 },
        ),
        async (lines) => {
          const file = new MetricsFile(join(root, `${index++}.ndjson`));
          for (const line of lines) file.append(line);
          file.close();
          // JSON writes -0 as 0.
          const expected = lines.map((line) =>
            Object.fromEntries(Object.entries(line).map(([key, entry]) => [key, entry === 0 ? 0 : entry])),
          );
          expect((await readMetrics(file.path)).map((line) => ({ ...line }))).toEqual(expected);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('go back to the position of a checkpoint', async () => {
    const run = await start();
    run.metrics.append({ step: 1, loss: 2 });
    const position = run.metrics.position();
    run.metrics.append({ step: 2, loss: 1, note: 'größer' });
    await run.close('stopped');
    // A kill in the middle of a line.
    appendFileSync(join(run.path, 'metrics.ndjson'), '{"step":3,"lo');
    expect(await readMetrics(run.metrics.path)).toHaveLength(2);
    const again = await openRun(run.path, []);
    again.metrics.truncate(position);
    again.metrics.append({ step: 2, loss: 1.5 });
    expect(() => again.metrics.truncate(10_000)).toThrow(
      /the metrics end at byte \d+, but the checkpoint was saved at byte 10000/,
    );
    await again.close('done');
    expect(await readMetrics(run.metrics.path)).toEqual([
      { step: 1, loss: 2 },
      { step: 2, loss: 1.5 },
    ]);
    appendFileSync(run.metrics.path, 'broken\n{}\n');
    await expect(readMetrics(run.metrics.path)).rejects.toMatchObject({
      code: 'BAD_METRICS',
      place: `${run.metrics.path}:3`,
    });
  });

  test('a full disk is told as such', { skip: process.platform !== 'linux' }, async () => {
    await symlink('/dev/full', join(root, 'full.ndjson'));
    const file = new MetricsFile(join(root, 'full.ndjson'));
    expect(() => file.append({ step: 1 })).toThrow('there is no space left on the disk while writing metrics');
    file.close();
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
    await writeSamples(run.path, 10, [drawn, drawn]);
    await writeSamples(run.path, 20, [drawn, drawn]);
    await writeSamples(run.path, 20, [drawn]);
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
