/** The main flow on components without kernels and on Dawn's null back end, which needs no adapter. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Device } from '../../core/gpu/device.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { readRunRecord } from '../../core/io/records.ts';
import { type Log, silentLog } from '../../core/log.ts';
import { type LoadedPreset, loadPreset } from '../../core/preset/load.ts';
import { planStage } from '../../core/plan-stage.ts';
import { defineExtension, definePlugin, z } from '../../core/plugin.ts';
import { runPreset } from '../../core/runtime.ts';
import { createStop, type RunStop } from '../../core/stop.ts';
import components from '../cases/components.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-runtime-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const base = 'dataset: colors\ntokenizer: words\nextensions: [witness]\n';

function write(text: string, name = 'preset.yaml'): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function load(file: string, runDirectory: string): Promise<LoadedPreset> {
  const builtIn = [{ plugin: components, source: 'test', place: 'test' }];
  return loadPreset(file, { builtIn, runDirectory });
}

interface Story {
  readonly lines: string[];
  readonly devices: Device[];
  readonly run: (file: string, directory: string, resume?: boolean, stop?: RunStop) => Promise<number>;
}

/** Runs presets and notes what is said. */
function story(): Story {
  const lines: string[] = [];
  const devices: Device[] = [];
  const log: Log = { ...silentLog(), info: (line) => void lines.push(line) };
  return {
    lines,
    devices,
    run: async (file, directory, resume = false, stop = createStop()) =>
      runPreset(await load(file, directory), {
        runDirectory: directory,
        resume,
        command: ['npx', 'reasongen', 'run', file],
        log,
        stop,
        signal: new AbortController().signal,
        openDevice: async () => {
          const device = await openDevice({ nullBackend: true });
          devices.push(device);
          return device;
        },
      }),
  };
}

test('extensions are handed the settings of the run, and each warning with the step that follows it or with the end', async () => {
  const heard: [string, readonly string[] | undefined][] = [];
  let settings: object | undefined;
  const listener = defineExtension({
    name: 'listener',
    summary: 'hears what a run warns of, and warns itself',
    options: z.strictObject({}),
    create: (_options, { log }) => ({
      start: (event) => {
        settings = event.settings;
        log.warn('before the first');
      },
      step: ({ step, warnings }) => {
        heard.push([`step ${step}`, warnings]);
        if (step === 2) log.warn('after the last');
      },
      finish: ({ warnings }) => void heard.push(['finish', warnings]),
    }),
  });
  const builtIn = [components, definePlugin({ name: 'ears', provides: [listener] })];
  const file = write(
    'dataset: colors\ntokenizer: words\nextensions: [listener]\nseed: 4\nrecipe: { use: practice, steps: 2 }\n',
  );
  const loaded = await loadPreset(file, {
    builtIn: builtIn.map((plugin) => ({ plugin, source: 'test', place: 'test' })),
  });
  await runPreset(loaded, {
    runDirectory: join(folder, 'run'),
    resume: false,
    command: [],
    log: silentLog(),
    stop: createStop(),
    signal: new AbortController().signal,
    openDevice: () => openDevice({ nullBackend: true }),
  });
  expect(settings).toMatchObject({ seed: 4, recipe: 'practice', 'recipe.steps': 2, dataset: 'colors' });
  expect(heard).toEqual([
    ['step 1', ['before the first']],
    ['step 2', []],
    ['finish', ['after the last']],
  ]);
});

describe('a run', () => {
  test('starts, runs the recipe, finishes, disposes, and leaves its record', async () => {
    const { lines, run } = story();
    const directory = join(folder, 'run');
    expect(await run(write(`${base}seed: 4\nrecipe: { use: practice, steps: 3 }\n`), directory)).toBe(0);
    expect(lines).toEqual([
      'start preset',
      'finish done',
      'disposed',
      '3 training steps, no evaluation recorded. Loss 1.00 → 0.333.',
      `report: ${join(directory, 'report.html')}`,
    ]);
    expect(existsSync(join(directory, 'report.html'))).toBe(true);
    const record = await readRunRecord(directory);
    expect(record.sessions.at(-1)?.outcome).toBe('done');
    expect(record.seeds).toEqual({ run: 4 });
    expect(readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n')).toHaveLength(3);
  });

  test('leaves a preset that gives the same run again', async () => {
    const directory = join(folder, 'run');
    const file = write(`${base}rewards: [{ use: warmth, file: table.txt, weight: 3 }]\nrecipe: practice\n`);
    writeFileSync(join(folder, 'table.txt'), '');
    await story().run(file, directory);
    const [first, second] = [await load(file, directory), await load(join(directory, 'preset.yaml'), directory)];
    expect(second.stages[0]?.preset).toEqual({ ...first.stages[0]?.preset, file: join(directory, 'preset.yaml') });
  });

  test('that fails fires finish with the error, closes everything and says why in its record', async () => {
    const { lines, devices, run } = story();
    const directory = join(folder, 'run');
    const failing = run(write(`${base}recipe: { use: practice, failAt: 2 }\n`), directory);
    await expect(failing).rejects.toThrow('out of paint');
    expect(lines).toEqual([
      'start preset',
      'finish failed: out of paint',
      'disposed',
      '1 training step, no evaluation recorded.',
      `report: ${join(directory, 'report.html')}`,
    ]);
    expect((await readRunRecord(directory)).sessions.at(-1)).toMatchObject({
      outcome: 'failed',
      note: 'out of paint',
      error: { message: 'out of paint' },
    });
    expect(readFileSync(join(directory, 'report.html'), 'utf8')).toMatch(/Why it failed[^]*out of paint/);
    const kept = readFileSync(join(directory, 'log.txt'), 'utf8');
    expect(kept).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z COMPONENT_FAILED {2}recipe "practice" of plugin "test-components" \(test\/cases\/components\.ts:\d+:\d+\)\n {2}out of paint/m,
    );
    expect(devices).toHaveLength(1);
    expect(existsSync(join(directory, 'lock'))).toBe(false);
  });

  test('that fails again while ending keeps both reasons', async () => {
    const text = `${base.replace('[witness]', '[{ use: witness, failAtFinish: true }]')}recipe: { use: practice, failAt: 1 }\n`;
    const failing = story().run(write(text), join(folder, 'run'));
    await expect(failing).rejects.toThrow(/out of paint\nthen, while ending the run: no ink for the last word/);
  });

  test('that a guard stops returns its exit code and is not done', async () => {
    const { lines, run } = story();
    const directory = join(folder, 'run');
    expect(await run(write(`${base}recipe: { use: practice, steps: 9, stopAt: 2 }\n`), directory)).toBe(7);
    expect(lines).toContain('finish stopped');
    expect((await readRunRecord(directory)).sessions.at(-1)).toMatchObject({ outcome: 'stopped', note: 'enough' });
  });

  test('that is stopped before its recipe starts does not start it', async () => {
    const { run } = story();
    const directory = join(folder, 'run');
    const stop = createStop();
    const file = write(`${base}recipe: { use: practice, failAt: 1 }\n`);
    const running = run(file, directory, false, stop);
    stop.request('SIGINT', 130);
    expect(await running).toBe(130);
    expect(
      existsSync(join(directory, 'metrics.ndjson')) && readFileSync(join(directory, 'metrics.ndjson'), 'utf8'),
    ).toBeFalsy();
  });

  test('with a plan that the adapter cannot hold is refused before anything is written', async () => {
    const directory = join(folder, 'run');
    const failing = story().run(write(`${base}recipe: { use: practice, binding: 1e15 }\n`), directory);
    await expect(failing).rejects.toMatchObject({ code: 'DOES_NOT_FIT', exitCode: 4 });
    expect(existsSync(directory)).toBe(false);
  });

  test('resumed before its first checkpoint starts over with empty metrics', async () => {
    const { lines, run } = story();
    const directory = join(folder, 'run');
    const file = write(`${base}recipe: { use: practice, steps: 3, stopAt: 1 }\n`);
    await run(file, directory);
    await run(join(directory, 'preset.yaml'), directory, true);
    expect(lines).toContain('no checkpoint had been saved yet: starting from the beginning');
    expect(readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n')).toHaveLength(1);
    expect((await readRunRecord(directory)).sessions).toHaveLength(2);
  });
});

test('two runs in one process do not know of each other', async () => {
  const [one, two] = [story(), story()];
  const first = write(
    'name: first\ndataset: colors\ntokenizer: words\nextensions: [witness]\nrecipe: { use: practice, pause: 5 }\n',
    'first.yaml',
  );
  const second = write(
    'name: second\nseed: 2\ndataset: colors\ntokenizer: letters\nextensions: [witness]\nrecipe: { use: practice, steps: 9, stopAt: 3 }\n',
    'second.yaml',
  );
  const codes = await Promise.all([one.run(first, join(folder, 'one')), two.run(second, join(folder, 'two'))]);
  expect(codes).toEqual([0, 7]);
  expect(one.lines.slice(0, 3)).toEqual(['start first', 'finish done', 'disposed']);
  expect(two.lines.slice(0, 3)).toEqual(['start second', 'finish stopped', 'disposed']);
});

describe('a chain of stages', () => {
  const chain = 'stages:\n  - one.yaml\n  - { preset: one.yaml, name: two, set: { recipe.weights: stage:one } }\n';

  test('runs each in a directory of its own; a later one gets the directory of an earlier one', async () => {
    const { run } = story();
    write(`${base}recipe: practice\n`, 'one.yaml');
    const directory = join(folder, 'run');
    expect(await run(write(chain), directory)).toBe(0);
    expect((await readRunRecord(join(directory, 'one'))).sessions.at(-1)?.outcome).toBe('done');
    expect(readFileSync(join(directory, 'two', 'preset.yaml'), 'utf8')).toContain('weights: ../one');
    expect(readFileSync(join(directory, 'preset.yaml'), 'utf8')).toContain('preset: ./two/preset.yaml');
  });

  test('resumed, leaves out what is done', async () => {
    const { lines, run } = story();
    const directory = join(folder, 'run');
    write(`${base}recipe: { use: practice, steps: 2 }\n`, 'one.yaml');
    const stopping = chain.replace('stage:one }', 'stage:one, recipe.stopAt: 1 }');
    expect(await run(write(stopping), directory)).toBe(7);
    lines.length = 0;
    await run(join(directory, 'preset.yaml'), directory, true);
    expect(lines.slice(0, 3)).toEqual([
      'one is done already',
      'stage 2 of 2: two',
      'no checkpoint had been saved yet: starting from the beginning',
    ]);
  });

  test('resumed before a stage was started, starts it', async () => {
    const { lines, run } = story();
    const directory = join(folder, 'run');
    write(`${base}recipe: { use: practice, stopAt: 1 }\n`, 'one.yaml');
    expect(await run(write(chain), directory)).toBe(7);
    expect(existsSync(join(directory, 'two', 'run.json'))).toBe(false);
    writeFileSync(
      join(directory, 'one', 'preset.yaml'),
      readFileSync(join(directory, 'one', 'preset.yaml'), 'utf8').replaceAll(/.*stopAt.*\n|# sha256.*\n/g, ''),
    );
    expect(await run(join(directory, 'preset.yaml'), directory, true)).toBe(7);
    expect(lines).toContain('stage 2 of 2: two');
  });
});

test('a plan is made without a device', async () => {
  const loaded = await load(write(`${base}recipe: { use: practice, steps: 6 }\n`), folder);
  const [stage] = loaded.stages;
  expect(stage && (await planStage(loaded, stage, silentLog())).lines).toEqual(['6 steps']);
});

test('a checked preset cannot be changed', async () => {
  const loaded = await load(write(`${base}recipe: practice\n`), folder);
  const choice = loaded.stages[0]?.preset.components['tokenizer']?.[0];
  expect(() => Object.assign(choice?.options['special'] as object, { begin: 'x' })).toThrow(TypeError);
  expect(() => Object.assign(loaded.stages[0]?.preset as object, { seed: 2 })).toThrow(TypeError);
});

test('a program that gives the path of a preset instead of what it holds is told which call is missing', async () => {
  await expect(runPreset('preset.yaml' as never, { runDirectory: folder } as never)).rejects.toMatchObject({
    code: 'NOT_LOADED',
    hint: expect.stringContaining('loadPreset(') as string,
    exitCode: 2,
  });
});
