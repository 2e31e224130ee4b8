/** `check --cluster`: the table, the same as JSON, and what cannot be simulated. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { commandLine } from '../../support/command-line.ts';
import { root, Workplace } from '../../support/runs.ts';

const place = new Workplace();
const nano = join(root, 'presets/clusters/nano.yaml');
const preset = join(root, 'presets/nano/grpo.yaml');
const check = (...args: string[]): ReturnType<typeof commandLine> =>
  commandLine(['check', ...args], { ...process.env, REASONGEN_NO_DRIVER: '1' });
const small = ['prompts=6', 'promptsAtOnce=1', 'miniBatches=2'].flatMap((each) => ['--set', `recipe.${each}`]);

test('says what a step asks for, how long it takes on each number of devices, and what nobody has measured', async () => {
  const { code, output, errors } = await check(preset, '--cluster', nano, ...small);
  expect(code, errors).toBe(0);
  expect(output).toContain('a step is 6 jobs of up to 8 drawings, 48 calls, 2 updates on up to 24, 5.1 MiB of weights');
  expect(output).toMatch(
    /^ {4}1 +1 +trainers +elsewhere +0 +49 s +1\.0 x .* drawing 68 %, training 30 %, judging 2 %$/m,
  );
  expect(output).toMatch(/^ {4}4 +1 +3 +elsewhere +0 +30 s +1\.6 x/m);
  expect(output).toMatch(/assumed, not measured: network\.roundTrip 0\.0005 \(/);
});

test('the same for programs', async () => {
  const { output } = await check(preset, '--cluster', nano, '--json', ...small);
  const { stages } = JSON.parse(output) as {
    readonly stages: readonly { readonly cluster: { readonly predictions: readonly unknown[] } }[];
  };
  expect(stages[0]?.cluster.predictions).toHaveLength(4);
  expect(stages[0]?.cluster.predictions[3]).toMatchObject({
    ...{ devices: 4, split: { trainers: 1, workers: 3, judges: 0 } },
    parts: { gradients: 0, failures: 0 },
  });
});

test('weights that are trained are counted: adapters, or those that a pattern leaves', async () => {
  const bytesOf = async (...settings: string[]): Promise<string | undefined> =>
    / ([\d.]+ \w+) of weights that change/.exec(
      (await check(preset, '--cluster', nano, ...settings.flatMap((each) => ['--set', each]))).output,
    )?.[1];
  expect(await bytesOf()).toBe('5.1 MiB');
  // Rank 2 beside q, k, v, o (128 x 128), gate, up and down (128 x 336) of six layers, f32.
  const adapters = 6 * 2 * (4 * (128 + 128) + 3 * (128 + 336)) * 4;
  expect(await bytesOf('recipe.lora={rank: 2}')).toBe(`${Math.round(adapters / 1024)} KiB`);
  expect(await bytesOf("recipe.freeze=['*proj*', '*emb*']")).not.toBe('5.1 MiB');
});

test('a recipe that has no such schedule, and too few devices, are named', async () => {
  const other = await check(join(root, 'presets/nano/vq.yaml'), '--cluster', nano);
  expect(other.errors).toMatch(
    /NOTHING_TO_SIMULATE {2}preset nano-vq\n {2}a schedule on a cluster is known of sft and grpo/i,
  );
  expect(other.code).toBe(2);
  const few = place.write('few.yaml', `extends: ${nano}\ntrainers: 3\ndevices: 2\n`);
  const refused = await check(preset, '--cluster', few);
  expect(refused.errors).toMatch(
    /TOO_FEW_DEVICES {2}cluster nano world.*\n {2}2 devices cannot be split into trainers: 3/,
  );
  expect(refused.code).toBe(2);
});
