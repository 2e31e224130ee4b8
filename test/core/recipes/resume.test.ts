/** Runs that go on: trained further than they were to be, elsewhere than before, and drawings that are looked at again. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RunRecord } from '../../../core/io/records.ts';
import { checkpointOf, metricsOf, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const recordOf = (directory: string): RunRecord =>
  JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as RunRecord;

const sft = (more: string): string =>
  `optimizer: { use: adamw, learningRate: 2e-3 }\nrecipe: { use: sft, steps: 2, batch: 8, examples: 16, saveEvery: 1, ${more} }\n`;

test('a finished run is trained on: exactly where the schedule allows, and said where not', async () => {
  const preset = place.preset('further', sft('schedule: constant'));
  const whole = await place.run(preset, { settings: ['recipe.steps=4'] });
  const first = await place.run(preset);
  const further = await place.command('resume', first.directory, '--set', 'recipe.steps=4');
  expect(further.code, further.errors).toBe(0);
  expect(further.errors).toContain('4 steps instead of 2: the end will be that of a run begun with as many');
  expect(metricsOf(first.directory)).toEqual(metricsOf(whole.directory));
  expect(checkpointOf(first.directory, 4)).toEqual(checkpointOf(whole.directory, 4));
  // What it was resumed with is what it is now.
  expect(readFileSync(join(first.directory, 'preset.yaml'), 'utf8')).toMatch(/steps: 4\b/);
  expect((await place.command('resume', first.directory)).errors).toMatch(/NOTHING_TO_TRAIN[^]*--set recipe\.steps=N/);

  const falling = await place.run(place.preset('falling', sft('schedule: linear')));
  const stretched = await place.command('resume', falling.directory, '--set', 'recipe.steps=4');
  expect(stretched.errors).toMatch(/4 steps instead of 2 stretch the schedule: from step 2 on/);
});

test('a run that goes on another adapter says so, and its record names both', async () => {
  const preset = place.preset('elsewhere', sft('schedule: constant'));
  const stopped = await place.run(preset, { stopAfter: 1 });
  const file = join(stopped.directory, 'run.json');
  const { adapter } = recordOf(stopped.directory);
  const now = adapter['description'] ?? '';
  writeFileSync(file, readFileSync(file, 'utf8').replace(JSON.stringify(now), '"Some GPU"'));
  const moved = await place.run(preset, { resume: stopped });
  expect(moved.lines.join('\n')).toContain(`warning: the run went on Some GPU so far and goes on ${now} now`);
  const record = recordOf(stopped.directory);
  expect(record.adapter['description']).toBe(now);
  expect(record.sessions.at(-1)?.warnings?.join()).toContain('Some GPU');
});

test('drawing again draws what is missing, damaged or new, and refuses pictures of newer weights', async () => {
  const taught = await place.run(place.preset('taught', sft('schedule: constant')));
  const prompts = place.write('prompts.txt', 'red\nblue\n');
  const out = place.free('drawn');
  const draw = () =>
    place.command('generate', '--preset', taught.directory, '--out', out, '--set', `recipe.promptFile=${prompts}`);
  expect((await draw()).code).toBe(0);
  const pictures = ['00000.png', '00001.png'].map((name) => join(out, name));
  const before = pictures.map((path) => readFileSync(path));
  writeFileSync(pictures[0] ?? '', before[0]?.subarray(0, 40) ?? '');
  appendFileSync(prompts, 'green\n');
  const again = await draw();
  expect(again.code, again.errors).toBe(0);
  expect(pictures.map((path) => readFileSync(path))).toEqual(before);
  expect(existsSync(join(out, '00002.png'))).toBe(true);

  expect((await place.command('resume', taught.directory, '--set', 'recipe.steps=3')).code).toBe(0);
  const newer = await draw();
  expect(newer).toMatchObject({ code: 2 });
  expect(newer.errors).toMatch(/OTHER_DRAWINGS[^]*model is/);
});

test('neither drawing nor evaluating makes rewards or fires extensions of the training', async () => {
  const trained = await place.run(place.preset('trained', sft('schedule: constant')));
  const file = join(trained.directory, 'preset.yaml');
  writeFileSync(
    file,
    `${readFileSync(file, 'utf8')}rewards: [{ use: faulty, fault: half-blind }]\nextensions: [{ use: saboteur, step: 1 }]\n`,
  );
  const graded = place.free('graded');
  const evaluate = (...more: string[]) =>
    place.command(
      'evaluate',
      trained.directory,
      '--run-dir',
      graded + more.join(''),
      ...more,
      '--set',
      'recipe.splits=[heldout]',
      '--set',
      'recipe.count=4',
      '--set',
      'recipe.batch=4',
    );
  const plain = await evaluate();
  expect(plain.code, plain.errors).toBe(0);
  expect(readFileSync(join(graded, 'preset.yaml'), 'utf8')).not.toMatch(/rewards|extensions/);
  expect(plain.output).toMatch(/^swatches, heldout: \d of 4 pass\n$/);
  const judged = await evaluate('--judge', '--json');
  expect(judged.code, judged.errors).toBe(0);
  expect(JSON.parse(judged.output)).toMatchObject({
    directory: `${graded}--judge--json`,
    evaluations: [{ benchmark: 'swatches', split: 'heldout', overall: { total: 4 } }],
  });
  expect(readFileSync(join(`${graded}--judge--json`, 'preset.yaml'), 'utf8')).toMatch(/rewards:/);
});
