/** What a run writes down gives the same run again, whatever texts and names are in it, and no name leads out of its directory. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ProblemsError } from '../../../core/errors.ts';
import { definePlugin, defineReward, z } from '../../../core/plugin.ts';
import { type LoadedPreset, loadPreset } from '../../../core/preset/load.ts';
import { nameFault } from '../../../core/preset/names.ts';
import { showPreset } from '../../../core/preset/show.ts';
import { resolvedPreset, writeChain } from '../../../core/run.ts';
import components from '../../cases/components.ts';

let above: string;
let folder: string;
beforeAll(() => {
  // Other tests make folders beside that of this one.
  above = mkdtempSync(join(tmpdir(), 'reasongen-repeatable-'));
  folder = mkdtempSync(join(above, 'presets-'));
});
afterAll(() => {
  rmSync(above, { recursive: true });
});

const plugin = definePlugin({
  name: 'texts',
  provides: [
    defineReward({
      name: '1',
      summary: 'a name that YAML reads as a number',
      options: z.strictObject({
        instruction: z.string().default('').describe('a text'),
        table: z.record(z.string(), z.json()).default({}).describe('any names'),
        numbers: z.array(z.number()).default([]).describe('any numbers'),
      }),
      create: () => ({ score: (samples) => samples.map(() => 0) }),
    }),
    defineReward({
      name: 'converts',
      summary: 'an option that does not accept what it gives',
      options: z.strictObject({ pattern: z.string().transform((text) => new RegExp(text)) }),
      create: () => ({ score: (samples) => samples.map(() => 0) }),
    }),
  ],
});

const builtIn = [components, plugin].map((each) => ({ plugin: each, source: 'test', place: 'test' }));
const load = (file: string, runDirectory?: string): Promise<LoadedPreset> =>
  loadPreset(file, { builtIn, ...(runDirectory !== undefined && { runDirectory }) });

const base = { dataset: 'colors', tokenizer: 'words', recipe: 'practice' };

/** Texts that YAML could read as something else, beside any at all. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(
      ...Array.from(' \n\r\t#:,-?&*!|>%@`"\'{}[]\\~=<'),
      'a',
      '1',
      '\u0085',
      '\u2028',
      '\ufeff',
      '\ud83d',
    ),
  }),
  fc.constantFrom('true', 'null', '~', '1', '1e3', '0x10', '2026-01-01', '.nan', '<<', '---', '...', '__proto__'),
  fc.constantFrom(
    ' \n',
    '  \n\n',
    'first line\nsecond line',
    'ends\n',
    '\n\nbegins',
    '  indented\n less\n\n',
    'a #\u0001b\n',
  ),
);

/** No schema lets the one name through that JavaScript takes for itself. */
const key = text.filter((name) => name !== '__proto__');

/** A preset whose texts stand in values, lists, keys, the name and the name of a component. */
const preset = fc.record({
  name: text.filter((name) => nameFault(name) === undefined),
  tokenizer: fc.record({ use: fc.constant('words'), special: fc.record({ begin: text, end: text }) }),
  rewards: fc.uniqueArray(
    fc.record({
      use: fc.constant('1'),
      name: text.filter((name) => name !== ''),
      instruction: text,
      table: fc.dictionary(key, fc.oneof(text, fc.array(text), fc.dictionary(key, text, { noNullPrototype: true })), {
        noNullPrototype: true,
      }),
      numbers: fc.array(fc.double({ noNaN: true, noDefaultInfinity: true })),
    }),
    { selector: ({ name }) => name, maxLength: 3 },
  ),
});

describe('the preset of a run', () => {
  test('is read back as it was, with and without the places of its values', async () => {
    const plain = await load(join(folder, writeJson('plain.yaml', base)));
    const [stage] = plain.stages;
    if (stage === undefined) throw new Error('no stage');
    fc.assert(
      fc.property(preset, (written) => {
        const filled = {
          ...stage.preset.components,
          tokenizer: [choice('tokenizer', written.tokenizer)],
          reward: written.rewards.map((reward) => choice('reward', reward)),
        };
        const changed = { ...stage, preset: { ...stage.preset, name: written.name, components: filled } };
        // Throws when anything differs.
        const again = resolvedPreset(changed, { ...plain, stages: [changed] }, folder);
        const shown = showPreset(changed, plain.catalog, { directory: folder, origins: true });
        expect(parse(shown)).toEqual(parse(again));
      }),
      { numRuns: 300 },
    );
  });

  test('is not begun with when an option would change in it', async () => {
    const file = join(folder, writeJson('converts.yaml', { ...base, rewards: [{ use: 'converts', pattern: 'a.' }] }));
    const loaded = await load(file);
    expect(() => resolvedPreset(firstOf(loaded), loaded, folder)).toThrow(/read again, .*rewards\[0\]\.pattern/);
  });

  test.each(['1', 'true', '2026-01-01', 'my preset', 'a, b', 'x #1', 'preset', 'null', '~', '- a', 'ключ', 'a: b'])(
    'called by its file %s is that of a run and of a stage',
    async (name) => {
      const home = mkdtempSync(join(folder, 'names-'));
      writeFileSync(join(home, `${name}.yaml`), JSON.stringify(base));
      const single = await load(join(home, `${name}.yaml`));
      expect(single.name).toBe(name);
      writeFileSync(join(home, 'one.yaml'), resolvedPreset(firstOf(single), single, home));
      expect((await load(join(home, 'one.yaml'))).name).toBe(name);

      const run = join(home, 'run');
      const second = { preset: './one.yaml', name: 'second', set: { 'recipe.weights': `stage:${name}` } };
      writeFileSync(join(home, 'all.yaml'), JSON.stringify({ stages: [`./${name}.yaml`, second] }));
      const chain = await load(join(home, 'all.yaml'), run);
      const texts = chain.stages.map((stage) => resolvedPreset(stage, chain, run));
      await writeChain(chain, run, texts, new Map());
      const again = await load(join(run, 'preset.yaml'), run);
      expect(again.stages.map((stage) => ({ ...stage.preset, file: '' }))).toEqual(
        chain.stages.map((stage) => ({ ...stage.preset, file: '' })),
      );
      expect(again.stages.map((stage) => stage.name)).toEqual([name, 'second']);
    },
  );
});

describe('a name', () => {
  const bad = [
    '../evil',
    '..',
    '.',
    '',
    'a/b',
    'a\\b',
    '/tmp/x',
    '.hidden',
    ' a',
    'a ',
    'a\nb',
    'a\0',
    '\u202egpj',
    'x'.repeat(201),
  ];

  test.each(bad)('%j names neither a run nor a stage', async (name) => {
    const before = readdirSync(above);
    const single = join(folder, writeJson('single.yaml', { ...base, name }));
    await expect(load(single)).rejects.toMatchObject({ code: 'BAD_NAME', exitCode: 2 });
    const stages = [{ preset: './plain.yaml', name }];
    const refused = load(join(folder, writeJson('stages.yaml', { stages })));
    await expect(refused).rejects.toThrow(name === '' ? /must be a text/ : /stages\[0\]: a stage cannot be called/);
    expect(readdirSync(above)).toEqual(before);
    await expect(load(join(folder, writeJson('chain.yaml', { name, stages: ['./plain.yaml'] })))).rejects.toThrow(
      /cannot be called/,
    );
  });

  test.each(['checkpoints', 'run.json', 'Samples', 'lock'])('%s is taken within a run', async (name) => {
    const file = join(folder, writeJson('taken.yaml', { stages: [{ preset: './plain.yaml', name }] }));
    await expect(load(file)).rejects.toThrow(/every run has a file or folder of that name/);
  });

  test('of a file that can name no folder is refused with the way out', async () => {
    const error = await load(join(folder, writeJson('..yaml', base))).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ProblemsError);
    expect(String(error)).toMatch(/a run cannot be called ".": it begins with a dot\. Give it another `name`/);
  });

  test('of two stages may not differ by capitals alone', async () => {
    const stages = [
      { preset: './plain.yaml', name: 'a' },
      { preset: './plain.yaml', name: 'A' },
    ];
    await expect(load(join(folder, writeJson('capitals.yaml', { stages })))).rejects.toMatchObject({
      code: 'DUPLICATE_NAME',
    });
  });
});

function writeJson(name: string, value: unknown): string {
  writeFileSync(join(folder, name), JSON.stringify(value));
  if (!existsSync(join(folder, 'plain.yaml'))) writeFileSync(join(folder, 'plain.yaml'), JSON.stringify(base));
  return name;
}

function firstOf({ stages }: LoadedPreset): LoadedPreset['stages'][number] {
  const [stage] = stages;
  if (stage === undefined) throw new Error('a preset has a stage');
  return stage;
}

function choice(
  slot: string,
  { use, name = use, ...options }: { use: string; name?: string; [option: string]: unknown },
) {
  // fast-check's objects have no prototype; a preset's have.
  return { slot, use, name, weight: 1, options: structuredClone(options) };
}
