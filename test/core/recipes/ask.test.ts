/** Questions about pictures through the command line, and drawing with a published model, on the golden fixtures' weights. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodePng, decodePicture, readPngText } from '../../../core/io/image.ts';
import { readSafetensors } from '../../support/safetensors.ts';
import { randomWords } from '../../../core/testing.ts';
import { janusBackbone } from '../../../plugins/janus/backbone.ts';
import { sizesOf } from '../../../plugins/janus/checkpoint.ts';
import { readJanusConfig } from '../../../plugins/janus/config.ts';
import { janusTokenizer, publishedQuestions } from '../../../plugins/huggingface-tokenizer/tokenizer.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import { JanusOracle, patchesOf, type OracleToken } from '../../support/janus-oracle.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();

interface AnswerRecord {
  readonly question: string;
  readonly pictures: readonly string[];
  readonly answer: string;
  readonly ended: boolean;
}

const answersOf = (directory: string): AnswerRecord[] =>
  readFileSync(join(directory, 'answers.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as AnswerRecord);

async function photo(name: string, seed: number, width: number, height: number): Promise<string> {
  return place.write(
    name,
    await encodePng({ width, height, data: Uint8Array.from(randomWords(width * height * 3, seed, 256)) }),
  );
}

/** The likeliest answer by the float64 model, token by token, and how sure it is of the least sure one. */
async function expectedAnswer(
  folder: string,
  paths: readonly string[],
  question: string,
  count: number,
): Promise<{ text: string; margin: number }> {
  const sizes = sizesOf(readJanusConfig(join(folder, 'config.json')));
  const stored = await readSafetensors(join(folder, 'model.safetensors'));
  const oracle = new JanusOracle(
    sizes,
    new Map(
      [...stored].map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data as Float32Array) }]),
    ),
  );
  const { vision } = janusBackbone('test', sizes);
  const tokenizer = janusTokenizer(join(folder, 'tokenizer.json'), publishedQuestions);
  if (vision === undefined) throw new Error('no vision');
  const pictures = await Promise.all(paths.map(async (path) => vision.fit(await decodePicture(readFileSync(path)))));
  const vectors = pictures.flatMap((picture) => oracle.features(patchesOf(vision, picture)));
  let next = 0;
  const turn = { question, pictures: pictures.map((picture) => vision.span(picture).vectors) };
  const sequence = (tokenizer.conversation?.([turn]) ?? []).map((id): OracleToken =>
    id === tokenizer.special.imagePlaceholder ? { vector: vectors[next++] ?? [] } : { text: id },
  );
  const ids: number[] = [];
  let margin = Infinity;
  while (ids.length < count) {
    const logits = oracle.textLogits(oracle.hidden([...sequence, ...ids.map((text) => ({ text }))]).at(-1) ?? []);
    const [best = 0, second = 0] = logits.toSorted((a, b) => b - a);
    margin = Math.min(margin, best - second);
    const id = logits.indexOf(best);
    if (id === tokenizer.special.eos) break;
    ids.push(id);
  }
  return { text: tokenizer.decode(ids), margin };
}

describe('ask', () => {
  test('the answer about two pictures is that of the float64 model, streamed and recorded, under either naming, in f32 and near it', async () => {
    const pictures = [await photo('a.png', 1, 31, 17), await photo('b.png', 2, 9, 40)];
    for (const [original, precision] of [
      [false, 'f32'],
      [true, 'f32-split'],
    ] as const) {
      const folder = janusFolder(place.path(`model-${original}`), 'tiny-a', original);
      const out = place.free('asked');
      const { code, output, errors } = await place.command(
        'ask',
        '--model',
        folder,
        ...pictures.flatMap((path) => ['--image', path]),
        'What is it?',
        '--out',
        out,
        '--set',
        'recipe.answerTokens=12',
        '--set',
        `recipe.precision=${precision}`,
      );
      expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
      expect(errors.includes(`products asked for in ${precision}`) || errors.includes(`products in ${precision}`)).toBe(
        precision !== 'f32',
      );
      const [answer] = answersOf(out);
      expect(answer).toMatchObject({ question: 'What is it?', pictures });
      const expected = await expectedAnswer(
        janusFolder(place.path('model-port'), 'tiny-a'),
        pictures,
        'What is it?',
        answer?.ended === true ? 12 : 11,
      );
      expect(expected.margin).toBeGreaterThan(1e-3);
      expect(output).toBe(`${expected.text}\n`);
      expect(answer?.answer).toBe(expected.text.trim());
    }
  });

  test('a further turn follows the answer before it', async () => {
    const folder = janusFolder(place.path('turns'), 'tiny-b');
    const [out, alone] = [place.free('asked'), place.free('asked')];
    const image = await photo('c.png', 3, 20, 20);
    const short = ['--set', 'recipe.answerTokens=8'];
    const asked = await place.command(
      'ask',
      '--model',
      folder,
      '--image',
      image,
      'What?',
      '--turn',
      'Why?',
      '--out',
      out,
      ...short,
    );
    expect(asked.code).toBe(0);
    const [first, second] = answersOf(out);
    expect(asked.output.split('\n').length).toBeGreaterThanOrEqual(3);
    expect(second).toMatchObject({ question: 'Why?', pictures: [] });
    // The same conversation with its first answer given.
    const turns = JSON.stringify([
      { question: 'What?', pictures: [image], answer: first?.answer },
      { question: 'Why?' },
    ]);
    const given = await place.command(
      'ask',
      '--model',
      folder,
      'unused',
      '--out',
      alone,
      '--set',
      `recipe.turns=${turns}`,
      ...short,
    );
    expect(given.code).toBe(0);
    expect(answersOf(alone)[1]?.answer).toBe(second?.answer);
  });

  test('questions need no picture; sampling follows the seed', async () => {
    const folder = janusFolder(place.path('text'), 'tiny-a');
    const answer = async (seed: string): Promise<string> => {
      const out = place.free('asked');
      expect(
        (
          await place.command(
            'ask',
            '--model',
            folder,
            'Hello',
            '--seed',
            seed,
            '--out',
            out,
            '--set',
            'recipe.answerTokens=24',
            '--set',
            'recipe.temperature=1',
          )
        ).code,
      ).toBe(0);
      return answersOf(out)[0]?.answer ?? '';
    };
    const [one, again, other] = [await answer('1'), await answer('1'), await answer('2')];
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });

  test('mistakes are named: no picture there, a file that is none, a model that cannot look, no model', async () => {
    const folder = janusFolder(place.path('mistakes'), 'tiny-a');
    const fail = async (...args: string[]): Promise<string> => {
      const { code, errors } = await place.command('ask', ...args, '--out', place.free('failed'));
      expect({ code, errors: code === 2 ? '' : errors }).toEqual({ code: 2, errors: '' });
      return errors;
    };
    expect(await fail('What?', '--model', folder, '--image', place.path('absent.png'))).toContain('MISSING_FILE');
    expect(await fail('What?', '--model', folder, '--image', place.write('text.png', 'no picture'))).toContain(
      'BAD_PICTURE',
    );
    expect(
      await fail(
        'What?',
        '--preset',
        'presets/nano/generate.yaml',
        '--weights',
        'plugins/janus/nano/model.safetensors',
        '--image',
        await photo('d.png', 4, 8, 8),
      ),
    ).toContain('CANNOT_LOOK');
    expect(await fail('What?')).toContain('WHICH_MODEL');
    expect(await fail('What?', '--model', place.folder)).toContain('BAD_TOKENIZER_FILE');
  });
});

describe('generate --model', () => {
  test.each([false, true])(
    'draws with guidance, by the tokenizer, codec and sizes of the folder (original names: %s)',
    async (original) => {
      const folder = janusFolder(place.path(`draw-${original}`), 'tiny-a', original);
      const out = place.free('drawn');
      const { code, errors } = await place.command(
        'generate',
        '--model',
        folder,
        '--prompt',
        'a cat',
        '--count',
        '2',
        '--no-rationale',
        '--seed',
        '5',
        '--out',
        out,
        '--set',
        'recipe.imageTemperature=0',
      );
      expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
      const png = readFileSync(join(out, '00000.png'));
      expect(await decodePicture(png)).toMatchObject({ width: 8, height: 8 });
      expect(readPngText(png)).toMatchObject({ prompt: 'a cat', guidance: '5' });
      drawn.push(png.toString('base64').slice(-100));
      expect(new Set(drawn).size).toBe(1);
    },
  );
});

/** The ends of the pictures drawn under both namings. */
const drawn: string[] = [];
