/** Runs that could not teach anything stop by themselves: exit code 7, the cause named, the last good checkpoint kept. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadCheckpoint } from '../support/checkpoints.ts';
import type { CommandEnd } from '../support/command-line.ts';
import { checkpointOf, checkpoints, curve, metricsOf, Workplace } from '../support/runs.ts';
import { expectMessage } from './message.ts';

const place = new Workplace();

async function run(text: string, ...settings: string[]): Promise<{ end: CommandEnd; directory: string }> {
  const directory = place.free();
  const end = await place.command(
    'run',
    place.preset('guarded', text),
    '--run-dir',
    directory,
    ...settings.flatMap((setting) => ['--set', setting]),
  );
  return { end, directory };
}

const sft =
  'optimizer: { use: adamw, learningRate: 1e-3 }\nrecipe: { use: sft, steps: 6, batch: 8, examples: 8, saveEvery: 1, keep: 10 }\n';
const grpo =
  'optimizer: { use: adamw, learningRate: 1e-3 }\nrewards: [is-color]\nrecipe: { use: grpo, steps: 6, prompts: 4, groupSize: 4, rationaleTokens: 6, saveEvery: 1, keep: 10 }\n';

/** Every checkpoint that is left can be loaded and holds numbers. */
async function expectWhole(directory: string): Promise<void> {
  for (const name of checkpoints(directory)) {
    const { weights } = await loadCheckpoint(`${directory}/checkpoints/${name}`);
    for (const { data } of weights.values())
      expect(data instanceof Float32Array && data.every(Number.isFinite)).toBe(true);
  }
}

describe('numbers that are none', () => {
  const wild = ['optimizer.learningRate=1e30', 'recipe.guards.diverged=off'];

  test('in supervised fine-tuning: the update is skipped and the run stops', async () => {
    const { end, directory } = await run(sft, ...wild);
    expectMessage(end, {
      exit: 7,
      code: 'NOT_FINITE',
      says: [/step 2: the gradient norm is not finite/, /weights are unchanged/, /Lower optimizer.learningRate/],
    });
    expect(checkpoints(directory)).toEqual(['step-000001']);
    await expectWhole(directory);
  });

  test('in GRPO: the kernel that made the first of them is named', async () => {
    const { end, directory } = await run(grpo, ...wild, 'recipe.prompts=8');
    expectMessage(end, {
      exit: 7,
      code: 'NOT_FINITE',
      says: [/step 1: the gradient norm is not finite/, /the first such number: [a-z-]+\/[a-z-]+/],
    });
    expect(existsSync(`${directory}/checkpoints`)).toBe(false);
  });

  test('in a drawing: the sampler says so', async () => {
    const { end, directory } = await run(grpo, ...wild, 'recipe.prompts=8', 'recipe.miniBatches=1');
    expectMessage(end, { exit: 7, code: 'SAMPLE_NOT_FINITE', says: [/not finite/, /diverged/] });
    expect(checkpoints(directory)).toEqual(['step-000001']);
    await expectWhole(directory);
  });

  test('after good steps: the checkpoint before them is kept, and a sane rate goes on from there', async () => {
    const patient = place.preset('patient', sft.replace('saveEvery: 1', 'saveEvery: 100'));
    const whole = await place.run(patient);
    const { directory } = await place.run(patient, { stopAfter: 3 });
    const end = await place.command('resume', directory, ...wild.flatMap((setting) => ['--set', setting]));
    expectMessage(end, {
      exit: 7,
      code: 'NOT_FINITE',
      says: [/step 5: the gradient norm is not finite/, /resume from the last checkpoint/],
    });
    expect(checkpoints(directory)).toEqual(['step-000003']);
    // A resume keeps the settings of the one before: the rate is put right.
    const resumed = await place.command('resume', directory, '--set', 'optimizer.learningRate=1e-3');
    expect(resumed.code, resumed.errors).toBe(0);
    expect(checkpointOf(directory, 6).weights.equals(checkpointOf(whole.directory, 6).weights)).toBe(true);
  });
});

describe('updates', () => {
  test('one that throws the weights away', async () => {
    const { end, directory } = await run(grpo, 'optimizer.learningRate=1e6', 'recipe.prompts=8');
    expectMessage(end, {
      exit: 7,
      code: 'DIVERGED',
      says: [/step 1: one update made the trained weights \S+ times as large/, /Lower optimizer.learningRate/],
    });
    expect(existsSync(`${directory}/checkpoints`)).toBe(false);
  });

  test('one that moves nothing', async () => {
    const { end } = await run(grpo, 'optimizer.learningRate=1e-30', 'recipe.prompts=8');
    expectMessage(end, {
      exit: 7,
      code: 'NOT_MOVED',
      says: [/step 1: the gradient has norm/, /Raise optimizer.learningRate/],
    });
  });

  test('in GRPO without a gradient', async () => {
    const { end } = await run(grpo, 'recipe.train=["*generation_head*"]', 'recipe.imageWeight=0', 'recipe.prompts=8');
    expectMessage(end, { exit: 7, code: 'ZERO_GRADIENT', says: [/step 1: every gradient is exactly zero/] });
  });
});

test('a loss that teaches nothing', async () => {
  const { end } = await run(sft, 'recipe.textWeight=0', 'recipe.imageWeight=0');
  expectMessage(end, { exit: 7, code: 'ZERO_GRADIENT', says: [/exactly zero/, /loss weights/] });
});

describe('rewards', () => {
  test('one that is always the same', async () => {
    const { end, directory } = await run(grpo, 'rewards=[{ use: faulty, fault: constant }]', 'recipe.guardWindow=3');
    expectMessage(end, {
      exit: 7,
      code: 'CONSTANT_REWARD',
      says: [/for 3 steps every drawing got the reward 0\.5/i, /graded rewards/],
    });
    expect(curve(directory, 'reward')).toEqual([0.5, 0.5]);
    // It goes on from there with a reward that tells drawings apart.
    const resumed = await place.command('resume', directory, '--set', 'rewards=[is-color]', '--set', 'recipe.steps=3');
    expect(resumed.code, resumed.errors).toBe(0);
  });

  test('one that tells prompts apart, but not the drawings of a prompt', async () => {
    const { end } = await run(grpo, 'rewards=[{ use: faulty, fault: by-prompt }]', 'recipe.guardWindow=2');
    expectMessage(end, {
      exit: 7,
      code: 'ALL_FILTERED',
      says: [/for 2 steps no group has had variance/i, /a larger group/],
    });
  });

  test('one that judges nothing is not taken for one that is always 0', async () => {
    const reward = 'rewards=[{ use: faulty, fault: throws, onError: drop }]';
    const { end, directory } = await run(grpo, reward, 'recipe.guardWindow=2', 'recipe.refillRounds=0');
    expectMessage(end, {
      exit: 7,
      code: 'ALL_FILTERED',
      says: [/for 2 steps .* \(no drawing of the last one was judged\)/i, /rewards that failed/],
    });
    for (const step of metricsOf(directory)) expect(step).not.toHaveProperty('reward');
  });

  test('a judge that mumbles', async () => {
    const { end } = await run(grpo, 'rewards=[{ use: faulty, fault: mumbles, name: oracle }]');
    expectMessage(end, {
      exit: 7,
      code: 'JUDGE_UNPARSED',
      place: 'reward "oracle"',
      says: [/step 1: no usable answer for 16 of 32 drawings, e\.g\. "I see a picture"/, /answer format/],
    });
    const { end: tolerated } = await run(
      grpo,
      'rewards=[{ use: faulty, fault: mumbles }]',
      'recipe.unparsedShare=0.5',
      'recipe.steps=1',
    );
    expect(tolerated.code, tolerated.errors).toBe(0);
  });
});

describe('policies', () => {
  test.each(['sampler', 'scorer'])(
    'a sampler that draws from another distribution than the one trained (old log-probabilities of the %s)',
    async (whose) => {
      const { end } = await run(
        grpo,
        'recipe.logitClamp=1e-3',
        `recipe.oldLogProbability=${whose}`,
        'recipe.prompts=8',
      );
      expectMessage(end, {
        exit: 7,
        code: 'SAMPLER_DISAGREES',
        says: [/step 1: sampler and scorer/, /before any update/, /one distribution/],
      });
    },
  );

  test('one that has lost its entropy', async () => {
    const { end } = await run(grpo, 'recipe.entropyFloor=50', 'recipe.prompts=8');
    expectMessage(end, {
      exit: 7,
      code: 'ENTROPY_COLLAPSED',
      says: [/step 1: the mean entropy of text tokens is/, /hold the entropy with recipe.textEntropy/],
    });
  });

  test('one that runs away', async () => {
    const { end } = await run(grpo, 'recipe.driftLimit=1e-12', 'recipe.prompts=8', 'recipe.epochs=2');
    expectMessage(end, {
      exit: 7,
      code: 'POLICY_DRIFT',
      says: [/step 1: the policy is \S+ nats per token away from the one that drew/, /raise the KL coefficient/],
    });
  });
});

describe("what a guard does is the preset's choice", () => {
  test('warn says it and goes on', async () => {
    const { end, directory } = await run(
      grpo,
      'recipe.entropyFloor=50',
      'recipe.guards.entropy=warn',
      'recipe.prompts=8',
      'recipe.steps=2',
    );
    expect(end.code, end.errors).toBe(0);
    expect(end.errors).toMatch(/warning: step 1: the mean entropy of text tokens .* \(guard entropy\); go back/);
    expect(curve(directory, 'reward')).toHaveLength(2);
  });

  test('off says nothing', async () => {
    const { end } = await run(
      grpo,
      'recipe.entropyFloor=50',
      'recipe.guards.entropy=off',
      'recipe.prompts=8',
      'recipe.steps=1',
    );
    expect([end.code, end.errors.includes('entropy')]).toEqual([0, false]);
  });
});

describe('what could not teach anything in any step is refused before one is taken', () => {
  test.each([
    ['weight=0', /the weight of is-color is 0 at every step/, /heldOut: true/],
    ['heldOut=true', /every reward is held out/, /take heldOut away/i],
  ])('rewards[0].%s, by check and run', async (setting, message, hint) => {
    const expected = { exit: 2, code: 'NO_REWARD', place: 'rewards', says: [message, hint] };
    const settings = ['--set', `rewards[0].${setting}`];
    expectMessage(await place.command('check', place.preset('guarded', grpo), ...settings), expected);
    expectMessage((await run(grpo, settings[1] ?? '')).end, expected);
  });

  test.each([
    ['imageWeight', 'textWeight=0', 'imageWeight=0'],
    ['imageTemperature', 'textTemperature=0', 'imageTemperature=0'],
    ['imageTemperature', 'rationale=false', 'imageTemperature=0'],
  ])('tokens that a reward does not reach: recipe.%s is named', async (name, ...settings) => {
    const { end } = await run(grpo, ...settings.map((setting) => `recipe.${setting}`));
    const says = [new RegExp(`recipe.${name}: 0: no token is left for the reward to teach`)];
    expectMessage(end, { exit: 2, code: 'BAD_OPTION', says });
  });
});

test('a warm-up that does not end within the run is told by check and run, once', async () => {
  const said = ({ output, errors }: CommandEnd): string[] =>
    `${output}${errors}`.match(/recipe\.warmup takes .*/g) ?? [];
  const settings = ['recipe.warmup=400', 'recipe.steps=1', 'recipe.refillRounds=0'];
  const check = await place.command('check', place.preset('slow', grpo), '--set', settings[0] ?? '');
  expect(check.code).toBe(0);
  expect(said(check)).toEqual([expect.stringContaining('takes 400 steps and recipe.steps is 6')]);
  expect(said((await run(grpo, ...settings)).end)).toHaveLength(1);
});

test('a key nobody reads', async () => {
  const { end } = await run(grpo, 'recipe.refilRounds=2', 'recipe.guards.entropi=off');
  expect(end.code).toBe(2);
  expect(end.errors).toMatch(/UNKNOWN_OPTION[^\n]*refilRounds[^\n]*\n[^\n]*Did you mean "recipe\.refillRounds"/);
  expect(end.errors).toMatch(
    /recipe\.guards\.entropi is not an option of recipe "grpo"\. Did you mean "recipe\.guards\.entropy"/,
  );
});

test('a resume that would train nothing', async () => {
  const { directory } = await place.run(place.preset('short', grpo.replace('steps: 6', 'steps: 3')), { stopAfter: 2 });
  const end = await place.command('resume', directory, '--set', 'recipe.steps=1');
  expectMessage(end, {
    exit: 7,
    code: 'NOTHING_TO_TRAIN',
    says: [/2 steps are done and recipe\.steps is 1/, /set recipe\.steps above 2/i],
  });
});
