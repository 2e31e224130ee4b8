/** Drawings for prompts of the user's, through the runtime and through the command line. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodePng, readPngText } from '../../core/io/image.ts';
import { Workplace, type Ended } from '../support/runs.ts';

const place = new Workplace();

interface Record {
  readonly file: string;
  readonly prompt: string;
  readonly rationale: string;
  readonly rationaleEnded: boolean;
  readonly codes: readonly number[];
  readonly seed: number;
}

async function generate(recipe: string, settings: readonly string[] = []): Promise<Ended> {
  const { directory } = await place.halfTaught();
  return place.run(place.preset('generate', `recipe: { use: generate, weights: ${directory}, imageTemperature: 1, rationaleTokens: 12, ${recipe} }\n`), { settings });
}

function records(directory: string): Record[] {
  return readFileSync(join(directory, 'drawings.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Record);
}

/** What the model drew, by prompt. */
function drawn(directory: string, prompt: string): string[] {
  return records(directory).filter((each) => each.prompt === prompt).map(({ rationale, codes }) => `${rationale} | ${codes.join(' ')}`);
}

const prompts = 'prompts: [a red picture, a blue picture, a white picture]';

test('writes a picture with everything that made it, and a line for each', async () => {
  const { directory } = await generate('prompts: [a red picture, a blue picture], samples: 3, scale: 4');
  const written = records(directory);
  expect(written.map(({ file, prompt }) => `${file} ${prompt}`)).toEqual([
    ...['00000.png', '00001.png', '00002.png'].map((file) => `${file} a red picture`),
    ...['00003.png', '00004.png', '00005.png'].map((file) => `${file} a blue picture`),
  ]);
  const model = (await place.halfTaught()).directory;
  for (const { file, prompt, rationale, codes } of written) {
    const png = readFileSync(join(directory, file));
    const weights = readFileSync(join(model, 'checkpoints/step-000028/weights.safetensors'));
    expect(readPngText(png)).toEqual({ prompt, rationale, seed: '3', model: createHash('sha256').update(weights).digest('hex'), guidance: '1' });
    expect(await decodePng(png)).toMatchObject({ width: 32, height: 32 });
    expect(codes).toHaveLength(4);
  }
  // Half taught is enough to have something to say.
  expect(written.some(({ rationale }) => rationale.startsWith('paint it'))).toBe(true);
});

describe('the same seed gives the same drawings', () => {
  test('however many are drawn at once, and however many of each', async () => {
    const all = (await generate(`${prompts}, samples: 4`)).directory;
    const oneByOne = (await generate(`${prompts}, samples: 4, batch: 4`)).directory;
    const two = (await generate(`${prompts}, samples: 2, batch: 5`)).directory;
    for (const prompt of ['a red picture', 'a blue picture', 'a white picture']) {
      expect(drawn(oneByOne, prompt)).toEqual(drawn(all, prompt));
      expect(drawn(two, prompt)).toEqual(drawn(all, prompt).slice(0, 2));
    }
    // Samples of one prompt, and prompts, have randomness of their own.
    expect(new Set(records(all).map(({ codes }) => codes.join())).size).toBeGreaterThan(6);
  });

  test('another seed gives others', async () => {
    const [one, other] = [await generate(`${prompts}, samples: 4`), await generate(`${prompts}, samples: 4`, ['seed=8'])];
    expect(records(other.directory).map(({ codes }) => codes)).not.toEqual(records(one.directory).map(({ codes }) => codes));
  });
});

test('guidance changes the drawings and nothing else', async () => {
  const [plain, guided] = [await generate(`${prompts}, samples: 4`), await generate(`${prompts}, samples: 4, guidance: 3`)];
  const [a, b] = [records(plain.directory), records(guided.directory)];
  expect(b.map(({ rationale }) => rationale)).toEqual(a.map(({ rationale }) => rationale));
  expect(b.map(({ codes }) => codes)).not.toEqual(a.map(({ codes }) => codes));
});

test('weights stored as f16 draw by the same rules', async () => {
  const [first, again] = [await generate(`${prompts}, samples: 4, storage: f16`), await generate(`${prompts}, samples: 4, batch: 4, storage: f16`)];
  expect(first.code).toBe(0);
  for (const prompt of ['a red picture', 'a blue picture', 'a white picture']) expect(drawn(again.directory, prompt)).toEqual(drawn(first.directory, prompt));
  expect(records(first.directory)).toHaveLength(12);
  expect(records(first.directory).some(({ rationale }) => rationale.startsWith('paint it'))).toBe(true);
});

test('prompts come from a file as well', async () => {
  const promptFile = place.write('prompts.txt', 'a green picture\n\n  a black picture  \r\n');
  const { directory } = await generate(`prompts: [a red picture], promptFile: ${promptFile}, rationale: false`);
  expect(records(directory).map(({ prompt, rationale }) => [prompt, rationale])).toEqual([['a red picture', ''], ['a green picture', ''], ['a black picture', '']]);
});

test('stopped between drawings and resumed, makes the same ones', async () => {
  const { directory } = await place.halfTaught();
  const file = place.preset('stopped', `recipe: { use: generate, weights: ${directory}, imageTemperature: 1, rationaleTokens: 12, batch: 1, ${prompts} }\n`);
  const whole = await place.run(file);
  const stopped = await place.run(file, { stopAtLine: /^00001\.png/ });
  expect(stopped.code).toBe(130);
  expect(records(stopped.directory)).toHaveLength(2);
  const resumed = await place.run('', { resume: stopped });
  expect(records(resumed.directory)).toEqual(records(whole.directory));
});

test('the command line draws with a run, or with the components of a preset and given weights', async () => {
  const { directory } = await place.halfTaught();
  const first = place.free();
  const common = ['--prompt', 'a red picture', '--n', '2', '--seed', '7', '--set', 'recipe.imageTemperature=1'];
  expect(await place.command('generate', '--preset', directory, ...common, '--out', first)).toMatchObject({ code: 0 });
  expect(readdirSync(first).filter((name) => name.endsWith('.png'))).toEqual(['00000.png', '00001.png']);
  expect(records(first).map(({ prompt, seed }) => [prompt, seed])).toEqual([['a red picture', 7], ['a red picture', 7]]);
  const second = place.free();
  const preset = place.preset('other', 'optimizer: { use: adamw, learningRate: 1 }\nrecipe: { use: sft, steps: 1 }\n');
  await place.command('generate', '--preset', preset, '--weights', directory, ...common, '--out', second);
  expect(records(second)).toEqual(records(first));
});
