/** What somebody at the live page asks of a run: it does so between two steps, and its steps are those of a run that nobody asked. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { writeRequest, type RunRequest } from '../../../../core/io/requests.ts';
import { readPlayground } from '../../../../core/watch/control.ts';
import { metricsOf, Workplace } from '../../../support/runs.ts';

const place = new Workplace();
beforeAll(async () => void (await place.halfTaught()));

async function preset(): Promise<string> {
  const { directory } = await place.halfTaught();
  return place.preset(
    'asked',
    `rewards: [is-color]\noptimizer: { use: adamw, learningRate: 2e-3 }\nrecipe: { use: grpo, weights: ${directory}, steps: 2, prompts: 4, groupSize: 4, rationaleTokens: 12, samplesEvery: 1, samplesShown: 2 }\n`,
  );
}

/** Everything that a step measured but how long it took. */
function measured(directory: string): object[] {
  return metricsOf(directory).map((line) =>
    Object.fromEntries(Object.entries(line).filter(([name]) => !/seconds/i.test(name))),
  );
}

const askAt =
  (at: number, ...requests: RunRequest[]) =>
  async (step: number, directory: string): Promise<void> => {
    if (step === at) for (const request of requests) await writeRequest(directory, request);
  };

test('it saves, and draws prompts with its newest weights, and its steps stay the same to the last bit', async () => {
  const quiet = await place.run(await preset());
  const asked = await place.run(await preset(), {
    atStep: askAt(
      1,
      { kind: 'save' },
      { kind: 'draw', prompts: ['a red square', 'x'.repeat(400), 'a blue square'] },
      { kind: 'draw', prompts: ['a red square'] },
    ),
  });
  expect(measured(asked.directory)).toEqual(measured(quiet.directory));
  expect(readFileSync(join(asked.directory, 'checkpoints/step-000002/weights.safetensors'))).toEqual(
    readFileSync(join(quiet.directory, 'checkpoints/step-000002/weights.safetensors')),
  );
  expect(readdirSync(join(asked.directory, 'checkpoints'))).toEqual(['step-000001', 'step-000002']);
  expect(readdirSync(join(quiet.directory, 'checkpoints'))).toEqual(['step-000002']);
  expect(readdirSync(join(asked.directory, 'requests'))).toEqual([]);
  // One prompt is too long for the run: it says so, and draws the others.
  expect(asked.lines.filter((line) => /^warning: "x+" was asked for and could not be drawn/.test(line))).toHaveLength(
    1,
  );
  expect((await readPlayground(asked.directory)).map(({ prompt }) => prompt)).toEqual(
    ['a red square', 'a blue square', 'a red square'].flatMap((prompt) => new Array(4).fill(prompt) as string[]),
  );
});

test('drawings of the playground lie where the page finds them, with their tokens', async () => {
  const { directory } = await place.run(await preset(), {
    atStep: askAt(2, { kind: 'draw', prompts: ['a red square', 'a blue square'] }),
  });
  const drawn = await readPlayground(directory);
  expect(drawn.map(({ prompt, step }) => `${prompt}, step ${step}`)).toEqual([
    ...new Array<string>(4).fill('a red square, step 2'),
    ...new Array<string>(4).fill('a blue square, step 2'),
  ]);
  const { tokens, rationale } = drawn[0]!;
  expect(tokens?.text.join('').trim()).toBe(rationale);
  expect(tokens?.logProbability).toHaveLength(tokens?.entropy.length ?? 0);
  const samples = readFileSync(join(directory, 'samples/step-000002/samples.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { tokens: { text: string[] }; rationale: string });
  for (const sample of samples) expect(sample.tokens.text.join('').trim()).toBe(sample.rationale);
});

test('it stops after the step, saved, with the reason in its record', async () => {
  const { directory, code } = await place.run(await preset(), { atStep: askAt(1, { kind: 'stop' }) });
  expect(code).toBe(130);
  expect(readdirSync(join(directory, 'checkpoints'))).toEqual(['step-000001']);
  const { sessions } = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')) as { sessions: object[] };
  expect(sessions.at(-1)).toMatchObject({ outcome: 'stopped', note: 'asked for on the live page' });
});
