/** Drawings for prompts of the user's, through the runtime and through the command line. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodePicture, readPngText } from '../../../core/io/image.ts';
import type { CommandEnd } from '../../support/command-line.ts';
import { Workplace, type Ended } from '../../support/runs.ts';

const place = new Workplace();

interface Record {
  readonly file: string;
  readonly prompt: string;
  readonly rationale: string;
  readonly rationaleEnded: boolean;
  readonly rationaleGiven: boolean;
  readonly codes: readonly number[];
  readonly settings: Readonly<globalThis.Record<string, unknown>>;
}

async function generate(recipe: string, settings: readonly string[] = []): Promise<Ended> {
  const { directory } = await place.halfTaught();
  return place.run(
    place.preset(
      'generate',
      `recipe: { use: generate, weights: ${directory}, imageTemperature: 1, rationaleTokens: 12, ${recipe} }\n`,
    ),
    { settings },
  );
}

function records(directory: string): Record[] {
  return readFileSync(join(directory, 'drawings.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record);
}

/** What the model drew, by prompt. */
function drawn(directory: string, prompt: string): string[] {
  return records(directory)
    .filter((each) => each.prompt === prompt)
    .map(({ rationale, codes }) => `${rationale} | ${codes.join(' ')}`);
}

const prompts = 'prompts: [a red picture, a blue picture, a white picture]';

test('writes a picture with everything that made it, and a line for each', async () => {
  const { directory } = await generate('prompts: [a red picture, a blue picture], samplesPerPrompt: 3, scale: 4');
  const written = records(directory);
  expect(written.map(({ file, prompt }) => `${file} ${prompt}`)).toEqual([
    ...['00000.png', '00001.png', '00002.png'].map((file) => `${file} a red picture`),
    ...['00003.png', '00004.png', '00005.png'].map((file) => `${file} a blue picture`),
  ]);
  const model = (await place.halfTaught()).directory;
  for (const { file, prompt, rationale, codes } of written) {
    const png = readFileSync(join(directory, file));
    const weights = readFileSync(join(model, 'checkpoints/step-000028/weights.safetensors'));
    expect(readPngText(png)).toMatchObject({
      prompt,
      rationale,
      seed: '3',
      model: createHash('sha256').update(weights).digest('hex'),
      guidance: '1',
      textTemperature: '1',
      imageTemperature: '1',
      rationaleTokens: '12',
    });
    expect(await decodePicture(png)).toMatchObject({ width: 32, height: 32 });
    expect(codes).toHaveLength(4);
  }
  // Half taught is enough to have something to say.
  expect(written.some(({ rationale }) => rationale.startsWith('paint it'))).toBe(true);
});

describe('the same seed gives the same drawings', () => {
  test('however many are drawn at once, and however many of each', async () => {
    const all = (await generate(`${prompts}, samplesPerPrompt: 4`)).directory;
    const oneByOne = (await generate(`${prompts}, samplesPerPrompt: 4, batch: 4`)).directory;
    const two = (await generate(`${prompts}, samplesPerPrompt: 2, batch: 5`)).directory;
    for (const prompt of ['a red picture', 'a blue picture', 'a white picture']) {
      expect(drawn(oneByOne, prompt)).toEqual(drawn(all, prompt));
      expect(drawn(two, prompt)).toEqual(drawn(all, prompt).slice(0, 2));
    }
    // Samples of one prompt, and prompts, have randomness of their own.
    expect(new Set(records(all).map(({ codes }) => codes.join())).size).toBeGreaterThan(6);
  });

  test('another seed gives others', async () => {
    const [one, other] = [
      await generate(`${prompts}, samplesPerPrompt: 4`),
      await generate(`${prompts}, samplesPerPrompt: 4`, ['seed=8']),
    ];
    expect(records(other.directory).map(({ codes }) => codes)).not.toEqual(
      records(one.directory).map(({ codes }) => codes),
    );
  });
});

test('guidance changes the drawings and nothing else', async () => {
  const [plain, guided] = [
    await generate(`${prompts}, samplesPerPrompt: 4`),
    await generate(`${prompts}, samplesPerPrompt: 4, guidance: 3`),
  ];
  const [a, b] = [records(plain.directory), records(guided.directory)];
  expect(b.map(({ rationale }) => rationale)).toEqual(a.map(({ rationale }) => rationale));
  expect(b.map(({ codes }) => codes)).not.toEqual(a.map(({ codes }) => codes));
});

test('weights stored as f16 draw by the same rules', async () => {
  const [first, again] = [
    await generate(`${prompts}, samplesPerPrompt: 4, storage: f16`),
    await generate(`${prompts}, samplesPerPrompt: 4, batch: 4, storage: f16`),
  ];
  expect(first.code).toBe(0);
  for (const prompt of ['a red picture', 'a blue picture', 'a white picture'])
    expect(drawn(again.directory, prompt)).toEqual(drawn(first.directory, prompt));
  expect(records(first.directory)).toHaveLength(12);
  expect(records(first.directory).some(({ rationale }) => rationale.startsWith('paint it'))).toBe(true);
});

test('prompts outside of the world of the dataset are drawn, with one line that they are', async () => {
  const said = async (wanted: string): Promise<string[]> =>
    (await generate(`prompts: [${wanted}], rationale: false`)).lines.filter((line) => line.includes('outside of'));
  expect(await said('a red picture')).toEqual([]);
  expect(await said('a red picture, an Astronaut, a red horse')).toEqual([
    expect.stringMatching(/2 of 3 prompts are outside of the world .* no word for: an, astronaut, horse;/) as string,
  ]);
});

test('prompts come from a file as well', async () => {
  const promptFile = place.write('prompts.txt', 'a green picture\n\n  a black picture  \r\n');
  const { directory } = await generate(`prompts: [a red picture], promptFile: ${promptFile}, rationale: false`);
  expect(records(directory).map(({ prompt, rationale }) => [prompt, rationale])).toEqual([
    ['a red picture', ''],
    ['a green picture', ''],
    ['a black picture', ''],
  ]);
});

test('stopped between drawings and resumed, makes the same ones', async () => {
  const { directory } = await place.halfTaught();
  const file = place.preset(
    'stopped',
    `recipe: { use: generate, weights: ${directory}, imageTemperature: 1, rationaleTokens: 12, batch: 1, ${prompts} }\n`,
  );
  const whole = await place.run(file);
  const stopped = await place.run(file, { stopAtLine: /^00001\.png/ });
  expect(stopped.code).toBe(130);
  expect(records(stopped.directory)).toHaveLength(2);
  const resumed = await place.run('', { resume: stopped });
  expect(records(resumed.directory)).toEqual(records(whole.directory));
});

describe('rationales', () => {
  test('are taken as given, per prompt, from the preset or behind a tab in the file', async () => {
    const promptFile = place.write('prompts.txt', 'a green picture\tpaint\na black picture\n');
    const { directory, code } = await generate(
      `prompts: [a red picture, { prompt: a blue picture, rationale: it }], promptFile: ${promptFile}, samplesPerPrompt: 2`,
    );
    expect(code).toBe(0);
    const given = records(directory).filter(({ rationaleGiven }) => rationaleGiven);
    expect(given.map(({ prompt, rationale }) => `${prompt}: ${rationale}`)).toEqual([
      ...new Array<string>(2).fill('a blue picture: it'),
      ...new Array<string>(2).fill('a green picture: paint'),
    ]);
    // Prompts beside them are drawn as if they were alone.
    const alone = (await generate('prompts: [a red picture], samplesPerPrompt: 2')).directory;
    expect(drawn(directory, 'a red picture')).toEqual(drawn(alone, 'a red picture'));
  });

  test('left out and given at once is a mistake', async () => {
    await expect(
      generate('prompts: [{ prompt: a blue picture, rationale: paint it white }], rationale: false'),
    ).rejects.toThrow(/"a blue picture" comes with a rationale/);
    const { directory } = await place.halfTaught();
    const end = await place.command(
      'generate',
      '--preset',
      directory,
      '--prompt',
      'a',
      '--prompt',
      'b',
      '--prompt',
      'c',
      '--rationale',
      'd',
      '--rationale',
      'e',
    );
    expect([end.code, end.errors]).toEqual([2, expect.stringContaining('2 rationales are given for 3 prompt(s)')]);
  });
});

describe('a folder that holds drawings already', () => {
  async function into(out: string, ...more: readonly string[]): Promise<CommandEnd> {
    const { directory } = await place.halfTaught();
    return place.command(
      'generate',
      '--preset',
      directory,
      '--prompt',
      'a red picture',
      '--prompt',
      'a blue picture',
      '--count',
      '2',
      '--seed',
      '7',
      ...more,
      '--out',
      out,
    );
  }

  /** A run that is killed cannot note how it ended. */
  function forgetEnd(directory: string): void {
    const file = join(directory, 'run.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as { sessions: { command: string[]; startedAt: string }[] };
    writeFileSync(
      file,
      JSON.stringify({
        ...record,
        sessions: record.sessions.map(({ command, startedAt }) => ({ command, startedAt })),
      }),
    );
  }

  test('is gone on with where it was killed: only what is missing is drawn, and the end is the same', async () => {
    const [whole, killed] = [place.free(), place.free()];
    await into(whole);
    await into(killed);
    // As a kill leaves it: the second picture is there without its line, the third has a line that was cut off, the fourth nothing.
    const [first = '', , third = ''] = readFileSync(join(killed, 'drawings.jsonl'), 'utf8').split('\n');
    writeFileSync(join(killed, 'drawings.jsonl'), `${first}\n${third.slice(0, 40)}`);
    rmSync(join(killed, '00003.png'));
    forgetEnd(killed);
    const untouched = statSync(join(killed, '00000.png')).mtimeMs;
    const again = await into(killed);
    expect(again.code).toBe(0);
    expect(again.errors).toContain('1 of 4 drawings are there already');
    expect(records(killed)).toEqual(records(whole));
    expect(statSync(join(killed, '00000.png')).mtimeMs).toBe(untouched);
    for (const { file } of records(whole))
      expect(readFileSync(join(killed, file))).toEqual(readFileSync(join(whole, file)));
    expect((await into(killed)).errors).toContain('4 of 4 drawings are there already');
  });

  test('refuses other settings and says which', async () => {
    const out = place.free();
    await into(out);
    const before = readFileSync(join(out, 'drawings.jsonl'), 'utf8');
    const other = await into(out, '--set', 'seed=8');
    expect(other.code).toBe(2);
    expect(other.errors).toMatch(/OTHER_SETTINGS[^]*There: seed: 7\. Now: seed: 8/);
    expect(readFileSync(join(out, 'drawings.jsonl'), 'utf8')).toBe(before);
    forgetEnd(out);
    const resumed = await place.command('resume', out, '--set', 'recipe.guidance=2');
    expect(resumed.code).toBe(2);
    expect(resumed.errors).toMatch(/OTHER_DRAWINGS[^]*guidance is 1 there and 2 now/);
  });
});

test('the command line draws with a run, or with the components of a preset and given weights', async () => {
  const { directory } = await place.halfTaught();
  const first = place.free();
  const common = ['--prompt', 'a red picture', '--count', '2', '--seed', '7', '--set', 'recipe.imageTemperature=1'];
  expect(await place.command('generate', '--preset', directory, ...common, '--out', first)).toMatchObject({ code: 0 });
  expect(readdirSync(first).filter((name) => name.endsWith('.png'))).toEqual(['00000.png', '00001.png']);
  expect(records(first).map(({ prompt, settings }) => [prompt, settings['seed']])).toEqual([
    ['a red picture', 7],
    ['a red picture', 7],
  ]);
  const second = place.free();
  const preset = place.preset('other', 'optimizer: { use: adamw, learningRate: 1 }\nrecipe: { use: sft, steps: 1 }\n');
  await place.command('generate', '--preset', preset, '--weights', directory, ...common, '--out', second);
  expect(records(second)).toEqual(records(first));
  // A run may be called a model, as for `evaluate`.
  const third = place.free();
  await place.command('generate', '--model', directory, ...common, '--out', third);
  expect(records(third)).toEqual(records(first));
  const both = await place.command('generate', '--model', directory, '--preset', preset, ...common);
  expect(both.errors).toContain('WHICH_MODEL');
});
