/** A chain of stages is a run to every command, and it comes to the same end wherever it was killed. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkpointOf, metricsOf, Workplace } from '../../support/runs.ts';

const place = new Workplace();

/** Two short trainings, the second from the weights of the first, then a measurement of what came of it. */
function chain(): string {
  place.preset(
    'teach',
    'optimizer: { use: adamw, learningRate: 2e-3 }\nrecipe: { use: sft, steps: 2, batch: 8, examples: 16, saveEvery: 1 }\n',
  );
  place.preset(
    'measure',
    'recipe: { use: evaluate, weights: random, splits: [heldout], count: 8, batch: 8, pictures: 0 }\n',
  );
  return place.write(
    'chain.yaml',
    [
      'stages:',
      '  - teach.yaml',
      '  - { preset: teach.yaml, name: go on, set: { seed: 5, recipe.weights: stage:teach } }',
      '  - { preset: measure.yaml, set: { recipe.weights: "stage:go on" } }',
    ].join('\n'),
  );
}

test('killed in a stage and between stages, ends as if nobody had', async () => {
  const whole = await place.run(chain());
  const directory = place.free();
  const kills = [
    [['run', chain(), '--run-dir', directory], 'go on', 'at: plan'],
    [['resume', directory], 'go on', 'at: batch, step: 2'],
    [['resume', directory], 'measure', 'at: plan'],
  ] as const;
  for (const [start, stage, kill] of kills) {
    const settings = ['teach', 'go on', 'measure'].map(
      (each) => `${each}.extensions=[${each === stage ? `{ use: interrupter, signal: SIGKILL, ${kill} }` : ''}]`,
    );
    expect((await place.program([...start, ...setting(settings)])).code, kill).toBe(null);
    if (kill === 'at: plan') expect(existsSync(join(directory, stage, 'run.json'))).toBe(false);
  }
  const undisturbed = ['teach.extensions=[]', 'go on.extensions=[]', 'measure.extensions=[]'];
  const end = await place.command('resume', directory, ...setting(undisturbed));
  expect(end.code, end.errors).toBe(0);
  for (const stage of ['teach', 'go on']) {
    const [mine, reference] = [directory, whole.directory].map((each) => join(each, stage)) as [string, string];
    expect(metricsOf(mine)).toEqual(metricsOf(reference));
    expect(checkpointOf(mine, 2)).toEqual(checkpointOf(reference, 2));
  }
  const record = (run: string): string =>
    readFileSync(join(run, 'measure', 'evaluations', 'swatches.heldout.evaluation.json'), 'utf8');
  expect(record(directory)).toBe(record(whole.directory));
});

test('a later stage never begins from what an earlier one was some steps before its end', async () => {
  const whole = await place.run(chain());
  const directory = place.free();
  const kill = setting(['go on.extensions=[{ use: interrupter, signal: SIGKILL, at: plan }]']);
  expect((await place.program(['run', chain(), '--run-dir', directory, ...kill])).code).toBe(null);
  const last = join(directory, 'teach', 'checkpoints', 'step-000002', 'weights.safetensors');
  const bytes = readFileSync(last);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(last, bytes);
  const end = await place.command('resume', directory, ...setting(['go on.extensions=[]']));
  expect(end.code, end.errors).toBe(0);
  expect(end.errors).toMatch(
    /teach is done already\n[^]*the last checkpoint of teach is damaged: its last steps are taken again before go on/,
  );
  for (const stage of ['teach', 'go on']) {
    const [mine, reference] = [directory, whole.directory].map((each) => join(each, stage)) as [string, string];
    expect(metricsOf(mine)).toEqual(metricsOf(reference));
    expect(checkpointOf(mine, 2)).toEqual(checkpointOf(reference, 2));
  }
});

test('every command takes the directory of a chain for that of a run', async () => {
  const { directory } = await place.run(chain());
  const last = join(directory, 'go on');

  const verified = await place.command('checkpoint', 'verify', directory);
  expect(verified.output).toMatch(/all 4 checkpoints are as saved/);
  const hurt = join(directory, 'teach', 'checkpoints', 'step-000001', 'weights.safetensors');
  const bytes = readFileSync(hurt);
  writeFileSync(hurt, bytes.subarray(8));
  const damaged = await place.command('checkpoint', 'verify', directory);
  expect(damaged).toMatchObject({ code: 6 });
  expect(damaged.errors).toMatch(
    /teach\/step-000001: damaged: weights\.safetensors\. A resume passes over it and goes on from step 2/,
  );
  writeFileSync(hurt, bytes);

  const out = place.free('drawn');
  const drawn = await place.command('generate', '--preset', directory, '--prompt', 'red', '--out', out);
  expect(drawn.code, drawn.errors).toBe(0);
  expect(readFileSync(join(out, 'preset.yaml'), 'utf8')).toContain(
    `weights: ${join('..', last.slice(place.folder.length + 1))}`,
  );

  const graded = place.free('graded');
  const settings = [
    'recipe.splits=[heldout]',
    'recipe.count=8',
    'recipe.batch=8',
    'recipe.pictures=0',
    'recipe.label=evaluation',
  ];
  const evaluated = await place.command('evaluate', directory, '--run-dir', graded, ...setting(settings));
  expect(evaluated.code, evaluated.errors).toBe(0);
  const [own, theirs] = [join(graded, 'evaluations'), join(directory, 'measure', 'evaluations')].map(
    (folder) =>
      JSON.parse(readFileSync(join(folder, 'swatches.heldout.evaluation.json'), 'utf8')) as { overall: unknown },
  );
  expect(own?.overall).toEqual(theirs?.overall);

  expect((await place.command('report', directory)).output).toBe(`${join(directory, 'report.html')}\n`);
  // Its stages are found, and none was made from a published model.
  const exported = await place.command('export', directory, '--out', place.free('exported'));
  expect(exported.errors).toMatch(/NO_BASE[^]*was not made from a published model/);
  const resumed = await place.command('resume', directory);
  expect(resumed).toMatchObject({ code: 7 });
  expect(resumed.errors).toMatch(/every stage of this run is done/);
});

function setting(texts: readonly string[]): string[] {
  return texts.flatMap((text) => ['--set', text]);
}
