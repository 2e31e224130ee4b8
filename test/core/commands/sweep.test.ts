/** A sweep is stopped between and within its runs, and comes to the same end; a run that fails leaves the others alone. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { checkpointOf, metricsOf, root, Workplace } from '../../support/runs.ts';

const place = new Workplace();

const axis = ['--sweep', 'optimizer.learningRate=1e-3,2e-3', '--seeds', '2'];

function preset(): string {
  return place.preset(
    'swept',
    'optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 2, batch: 8, examples: 16, saveEvery: 1 }\n',
  );
}

const folders = [1e-3, 2e-3].flatMap((rate) =>
  [0, 1].map((seed) => `learningRate=${rate === 1e-3 ? '1e-3' : '2e-3'},seed=${seed}`),
);

test('stopped again and again, it goes on where it was and comes to the same end', async () => {
  const [whole, stopped] = [place.free('whole'), place.free('stopped')];
  const reference = await place.command('run', preset(), ...axis, '--run-dir', whole);
  expect(reference.code, reference.errors).toBe(0);
  expect(readdirSync(whole).sort()).toEqual([...folders, 'results.json', 'sweep.json'].sort());
  expect(reference.output).toMatch(/No run has an evaluation/);

  // Every run is interrupted after its first step, whatever else is to be done.
  const interrupted = ['--set', 'extensions=[{ use: interrupter, at: step, step: 1 }]'];
  const first = await place.program(['run', preset(), ...axis, ...interrupted, '--run-dir', stopped]);
  expect([first.code, first.errors]).toEqual([130, expect.stringContaining(`reasongen resume ${stopped}`)]);
  expect(existsSync(join(stopped, folders[1] ?? ''))).toBe(false);
  let resumes = 0;
  for (let code: number | null = 130; code === 130; resumes++) code = (await place.program(['resume', stopped])).code;
  expect(resumes).toBe(4);
  for (const folder of folders) {
    expect(metricsOf(join(stopped, folder))).toEqual(metricsOf(join(whole, folder)));
    expect(checkpointOf(join(stopped, folder), 2).weights).toEqual(checkpointOf(join(whole, folder), 2).weights);
  }
}, 120_000);

test('two processes share a sweep: each run is done by one of them, as one alone would have', async () => {
  const [alone, shared, opened] = [place.free('alone'), place.free('shared'), place.free('opened')];
  const reference = await place.command('run', preset(), ...axis, '--run-dir', alone);
  expect(reference.code, reference.errors).toBe(0);
  // Nobody takes a step before each of them has a run.
  const held = ['--set', `extensions=[{ use: gate, file: ${JSON.stringify(opened)} }]`];
  const first = place.program(['run', preset(), ...axis, ...held, '--run-dir', shared]);
  const begun = (count: number): Promise<void> =>
    vi.waitFor(() => expect(folders.filter((folder) => existsSync(join(shared, folder)))).toHaveLength(count), {
      timeout: 60_000,
    });
  await begun(1);
  const second = place.program(['resume', shared]);
  await begun(2);
  writeFileSync(opened, '');
  const ended = await Promise.all([first, second]);
  expect(ended.map(({ code }) => code)).toEqual([0, 0]);
  const done = ended.map(({ errors }) => [...errors.matchAll(/run (\d) of 4: /g)].map(([, run]) => Number(run)));
  expect(done.flat().toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4]);
  expect(done.filter((runs) => runs.length > 0)).toHaveLength(2);
  expect(ended.map(({ errors }) => errors).join('\n')).toMatch(/passed over \d of 4 runs, which other processes do/);
  expect(readdirSync(shared).sort()).toEqual(readdirSync(alone).sort());
  for (const folder of folders)
    expect(checkpointOf(join(shared, folder), 2).weights).toEqual(checkpointOf(join(alone, folder), 2).weights);
}, 120_000);

test('a preset that says something else than when the sweep began is refused, and so is a second sweep in its place', async () => {
  const directory = place.free('changed');
  const stopped = await place.command('run', preset(), '--sweep', 'steps=1,2', '--run-dir', directory);
  expect(stopped.code, stopped.errors).toBe(0);
  const again = await place.command('run', preset(), '--sweep', 'steps=1,2', '--run-dir', directory);
  expect(again.errors).toMatch(/RUN_EXISTS/);
  const changed = await place.command('resume', directory, '--set', 'recipe.steps=9');
  expect(changed.errors).toMatch(/BAD_SETTING {2}--set recipe\.steps=9\n {2}the runs of a sweep keep/);
  const watched = await place.command('resume', directory, '--watch');
  expect([watched.code, watched.errors]).toEqual([2, expect.stringMatching(/--watch is of a single run/)]);
  place.preset(
    'swept',
    'optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 2, batch: 4, examples: 16 }\n',
  );
  const resumed = await place.command('resume', directory);
  expect(resumed.errors).toMatch(/INPUTS_CHANGED/);
});

test('without --seeds the runs have the seed of the preset', async () => {
  const directory = place.free('own-seed');
  const end = await place.command(
    ...['run', preset(), '--set', 'seed=7', '--sweep', 'recipe.batch=4,8', '--set', 'recipe.steps=1'],
    ...['--run-dir', directory],
  );
  expect(end.code, end.errors).toBe(0);
  expect(readdirSync(directory)).toEqual(expect.arrayContaining(['batch=4,seed=7', 'batch=8,seed=7']));
  expect(readFileSync(join(directory, 'batch=4,seed=7', 'preset.yaml'), 'utf8')).toMatch(/^seed: 7/m);
});

test('what has changed is accepted for the runs that have begun, as by the resume of each', async () => {
  const directory = place.free('accepted');
  const held = ['--set', 'extensions=[{ use: interrupter, at: step, step: 1 }]'];
  const begun = await place.program(['run', preset(), '--seeds', '1', ...held, '--run-dir', directory]);
  expect(begun.code, begun.errors).toBe(130);
  const file = join(directory, 'as_it_is,seed=0', 'preset.yaml');
  writeFileSync(file, `${readFileSync(file, 'utf8')}\n# edited\n`);
  expect((await place.command('resume', directory)).errors).toMatch(/failed: .*is not as the run wrote it/);
  const accepted = await place.command('resume', directory, '--accept-changes');
  expect(accepted.code, accepted.errors).toBe(0);
});

test('a plugin that was edited since the sweep began is refused before a run is done with it', async () => {
  const directory = place.free('edited');
  const plugin = place.write(
    'edited.mjs',
    `export { default } from ${JSON.stringify(join(root, 'test/cases/components.ts'))};\n`,
  );
  const options = ['--set', 'recipe.steps=1', '--set', `plugins+=${plugin}`, '--seeds', '2', '--run-dir', directory];
  const end = await place.command('run', preset(), ...options);
  expect(end.code, end.errors).toBe(0);
  // As if it had not begun.
  rmSync(join(directory, 'as_it_is,seed=1'), { recursive: true });
  writeFileSync(plugin, `${readFileSync(plugin, 'utf8')}// edited\n`);
  expect((await place.command('resume', directory)).errors).toMatch(/INPUTS_CHANGED/);
  expect(existsSync(join(directory, 'as_it_is,seed=1'))).toBe(false);
  expect((await place.command('resume', directory, '--accept-changes')).code).toBe(0);
});

test('a run that fails is named, the others go on, and the exit code says so', async () => {
  const directory = place.free('failing');
  const end = await place.command(
    'run',
    preset(),
    '--sweep',
    'optimizer.learningRate=1e-3,1e30',
    '--run-dir',
    directory,
  );
  expect(end.code).not.toBe(0);
  expect(end.errors).toMatch(/learningRate=1e30,seed=3 failed: /);
  expect(metricsOf(join(directory, 'learningRate=1e-3,seed=3'))).toHaveLength(2);
  expect(end.output).toMatch(/learningRate=1e-3/);
  expect(JSON.parse(readFileSync(join(directory, 'results.json'), 'utf8'))).toMatchObject({ seeds: [3] });
});
