/** Checkpoints that are damaged, missing, or belong to another model. */
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readRunRecord } from '../../core/io/records.ts';
import { checkpointOf, checkpoints, metricsOf, Workplace } from '../support/runs.ts';
import { expectMessage } from './message.ts';

const place = new Workplace();

const sft =
  'optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 4, batch: 8, examples: 8, saveEvery: 1, keep: 10 }\n';

let trained = '';
/** A copy of a run with four checkpoints. */
async function copy(): Promise<string> {
  if (trained === '') trained = (await place.run(place.preset('sft', sft))).directory;
  const directory = place.free('copy');
  cpSync(trained, directory, { recursive: true });
  return directory;
}

function checkpoint(directory: string, step: number, file: string): string {
  return join(directory, 'checkpoints', `step-00000${step}`, file);
}

/** Changes one byte in the middle. */
function corrupt(path: string): void {
  const bytes = readFileSync(path);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

/** `evaluate` with weights. */
function evaluate(weights: string, ...settings: string[]): ReturnType<Workplace['command']> {
  const given = ['count=4', 'splits=[seen]', 'batch=4', ...settings].flatMap((setting) => ['--set', setting]);
  return place.command(
    'evaluate',
    place.preset('evaluate', sft),
    '--weights',
    weights,
    '--run-dir',
    place.free(),
    ...given,
  );
}

describe('a resumed run', () => {
  test('passes over damaged checkpoints, says so, and comes to the same end', async () => {
    const directory = await copy();
    corrupt(checkpoint(directory, 4, 'weights.safetensors'));
    truncateSync(checkpoint(directory, 3, 'optimizer.safetensors'), 100);
    // The last session did not end by itself: otherwise nothing were left to do.
    const record = join(directory, 'run.json');
    writeFileSync(record, readFileSync(record, 'utf8').replace('"outcome": "done"', '"outcome": "failed"'));
    const end = await place.command('resume', directory);
    expect(end.code, end.errors).toBe(0);
    expect(end.errors).toMatch(
      /warning: checkpoint .*step-000004 is passed over: the content of weights\.safetensors has changed/,
    );
    expect(end.errors).toMatch(
      /warning: checkpoint .*step-000003 is passed over: optimizer\.safetensors has 100 bytes instead of/,
    );
    expect((await readRunRecord(directory)).sessions.at(-1)?.warnings).toEqual([
      expect.stringMatching(/step-000004 is passed over: .*; step-000002 is used instead/),
      expect.stringMatching(/step-000003 is passed over: .*; step-000002 is used instead/),
    ]);
    expect(checkpointOf(directory, 4).weights.equals(checkpointOf(trained, 4).weights)).toBe(true);
    expect(metricsOf(directory)).toEqual(metricsOf(trained));
  });

  test('without any whole checkpoint names every damage', async () => {
    const directory = await copy();
    for (const name of checkpoints(directory)) rmSync(join(directory, 'checkpoints', name, 'manifest.json'));
    const record = join(directory, 'run.json');
    writeFileSync(record, readFileSync(record, 'utf8').replace('"outcome": "done"', '"outcome": "failed"'));
    const end = await place.command('resume', directory);
    expectMessage(end, {
      exit: 6,
      code: 'NO_CHECKPOINT',
      place: join(directory, 'checkpoints'),
      says: [/no checkpoint is whole \(.*step-000004: it has no manifest\.json/, /start the run anew/i],
    });
  });

  test('with another optimizer is refused', async () => {
    const directory = await copy();
    // A run that is done may be trained further, but not by an optimizer that knows nothing of its state.
    const again = await place.command(
      'resume',
      directory,
      '--set',
      'optimizer={ use: sgd, learningRate: 0.1 }',
      '--set',
      'recipe.steps=5',
    );
    expectMessage(again, {
      exit: 2,
      code: 'CHECKPOINT_OPTIMIZER',
      says: [/has no state "velocity\.0"/, /preset the run was started with/],
    });
    expect(checkpoints(directory)).toHaveLength(4);
  });
});

describe('weights for another command', () => {
  test('a damaged checkpoint is refused with the file and what is wrong with it', async () => {
    const directory = await copy();
    corrupt(checkpoint(directory, 4, 'weights.safetensors'));
    const path = join(directory, 'checkpoints/step-000004');
    expectMessage(await evaluate(path), {
      exit: 6,
      code: 'BAD_CHECKPOINT',
      place: path,
      says: [/content of weights\.safetensors has changed/, /earlier checkpoint/],
    });
    // The run as a whole still has a good one, and says that it is older: on the screen and in the record.
    const end = await evaluate(directory);
    expect(end.code).toBe(0);
    const said =
      /checkpoint .*step-000004 is passed over: the content of weights\.safetensors has changed.*; step-000003 is used instead/;
    expect(end.errors).toMatch(said);
    const record = await readRunRecord(/run directory: (.*)/.exec(end.errors)?.[1] ?? '');
    expect(record.sessions.at(-1)?.warnings).toEqual([expect.stringMatching(said)]);
  });

  test('drawing from a run with a damaged newest checkpoint says which one it draws from', async () => {
    const directory = await copy();
    corrupt(checkpoint(directory, 4, 'state.json'));
    const out = place.free();
    const end = await place.command('generate', '--preset', directory, '--out', out, '--prompt', 'a red picture');
    expect(end.code, end.errors).toBe(0);
    const said = /checkpoint .*step-000004 is passed over: .*; step-000003 is used instead/;
    expect(end.errors).toMatch(said);
    expect((await readRunRecord(out)).sessions.at(-1)?.warnings).toEqual([expect.stringMatching(said)]);
  });

  test('a torn safetensors file', async () => {
    const directory = await copy();
    const file = checkpoint(directory, 4, 'weights.safetensors');
    truncateSync(file, 5000);
    expectMessage(await evaluate(file), { exit: 6, code: 'BAD_SAFETENSORS', place: file, says: [/./] });
  });

  test('a directory without weights, and a path that is not there', async () => {
    expectMessage(await evaluate(place.folder), {
      exit: 6,
      code: 'BAD_WEIGHTS',
      says: [/there are no weights in this folder/, /model\.safetensors/],
    });
    const { code, errors } = await evaluate(place.path('nowhere'));
    expect(code).toBe(2);
    expect(errors).toContain('nowhere');
    expect(errors).not.toMatch(/^\s+at /m);
  });

  test('a model of another shape: every tensor that does not fit', async () => {
    await copy();
    const end = await evaluate(trained, 'backbone={ use: janus, hidden: 16, layers: 1, heads: 2, mlp: 64 }');
    expectMessage(end, {
      exit: 2,
      code: 'CHECKPOINT_SHAPE',
      says: [/embed_tokens\.weight is \[\d+,32\], the model needs \[\d+,16\]/, /use the backbone and sizes/i],
    });
  });

  test('a model of another family', async () => {
    await copy();
    const end = await evaluate(trained, 'backbone={ use: unified, hidden: 32, layers: 1, heads: 2, mlp: 64 }');
    expectMessage(end, { exit: 2, code: 'CHECKPOINT_SHAPE', says: [/missing: /, /unexpected: /] });
  });
});

test('a directory that is no run cannot be resumed, one that is a run is not overwritten', async () => {
  const end = await place.command('resume', place.folder);
  expectMessage(end, { exit: 2, code: 'NOT_A_RUN', place: place.folder, says: [/no preset\.yaml/] });
  await copy();
  const before = readFileSync(join(trained, 'metrics.ndjson'), 'utf8');
  const again = await place.command('run', place.preset('again', sft), '--run-dir', trained);
  expectMessage(again, { exit: 2, code: 'RUN_EXISTS', place: trained, says: [/holds a run already/, /resume/] });
  expect(readFileSync(join(trained, 'metrics.ndjson'), 'utf8')).toBe(before);
  expect(existsSync(join(trained, 'lock'))).toBe(false);
});

describe('checkpoint verify', () => {
  test('a whole run: a table of every file, exit code 0', async () => {
    const directory = await copy();
    const end = await place.command('checkpoint', 'verify', directory);
    expect(end.code, end.errors).toBe(0);
    expect(end.output).toMatch(/all 4 checkpoints are as saved/);
    expect(end.output.match(/weights\.safetensors +[\d.]+ \w+ +ok/g)).toHaveLength(4);
    expect((await place.command('checkpoint', 'verify', join(directory, 'checkpoints/step-000002'))).output).toMatch(
      /step 2\n[\s\S]*the checkpoint is as saved/,
    );
  });

  test('damage: every damaged file, and where a resume goes on, exit code 6', async () => {
    const directory = await copy();
    corrupt(checkpoint(directory, 4, 'weights.safetensors'));
    rmSync(checkpoint(directory, 4, 'state.json'));
    truncateSync(checkpoint(directory, 2, 'optimizer.safetensors'), 100);
    const end = await place.command('checkpoint', 'verify', directory);
    expectMessage(end, {
      exit: 6,
      code: 'BAD_CHECKPOINT',
      place: directory,
      says: [
        /step-000002: damaged: optimizer\.safetensors; step-000004: damaged: weights\.safetensors, state\.json/,
        /goes on from step 3/,
      ],
    });
    expect(end.output).toMatch(/weights\.safetensors +[\d.]+ \w+ +its content has changed/);
    expect(end.output).toMatch(/state\.json +[\d.]+ \w+ +is missing/);
    expect(end.output).toMatch(/optimizer\.safetensors +[\d.]+ \w+ +has 100 bytes/);
    const one = await place.command('checkpoint', 'verify', join(directory, 'checkpoints/step-000004'));
    expectMessage(one, { exit: 6, code: 'BAD_CHECKPOINT', says: [/damaged: weights/, /copy this one again/] });
  });

  test('what is no checkpoint', async () => {
    expectMessage(await place.command('checkpoint', 'verify', place.folder), {
      exit: 6,
      code: 'BAD_CHECKPOINT',
      says: [/it has no manifest\.json/],
    });
    expectMessage(await place.command('checkpoint', 'verify', place.path('nowhere')), {
      exit: 6,
      code: 'BAD_CHECKPOINT',
      says: [/./],
    });
  });
});
