/** `ask` with the folder of a Qwen model, as a user types it: pictures of any size, several of them, several turns. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { encodePng } from '../../../core/io/image.ts';
import { writeSafetensors, type TensorToStore } from '../../../core/io/safetensors.ts';
import { readChatLayout } from '../../../plugins/qwen-vl/chat.ts';
import { qwenTokenizer } from '../../../plugins/qwen-vl/tokenizer.ts';
import { readSafetensors } from '../../support/safetensors.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();
const fixtures = fileURLToPath(new URL('../../golden/qwen-vl/', import.meta.url));
const short = ['--set', 'recipe.answerTokens=13'];

interface AnswerRecord {
  readonly question: string;
  readonly answer: string;
  readonly ended: boolean;
}

function answersOf(directory: string): AnswerRecord[] {
  const lines = readFileSync(join(directory, 'answers.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as AnswerRecord);
}

async function asked(...args: string[]): Promise<{ output: string; errors: string; answers: AnswerRecord[] }> {
  const out = place.free('asked');
  const { code, output, errors } = await place.command('ask', ...args, '--out', out, ...short);
  expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
  return { output, errors, answers: answersOf(out) };
}

/** As a terminal is told it: random weights write control characters as well. */
function shown(text: string): string {
  const escaped = (each: string): string => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return Array.from(text, (each) => (each < ' ' ? escaped(each) : each)).join('');
}

describe('ask', () => {
  test.each(['qwen2.5-tiny-b', 'qwen3-tiny-a'])(
    '%s: the answer about a picture file is that of the reference, streamed and recorded',
    async (name) => {
      const folder = join(fixtures, name);
      const golden = await readSafetensors(join(folder, 'golden.safetensors'));
      const tokenizer = qwenTokenizer(join(folder, 'tokenizer.json'), await readChatLayout(folder, {}));
      const expected = tokenizer.decode(Array.from(golden.get('generate.ids')?.data ?? [], Number));
      const { output, answers } = await asked('--model', folder, '--image', join(folder, 'picture0.png'), 'Is it red?');
      expect(output).toBe(`${shown(expected)}\n`);
      expect(answers).toMatchObject([{ question: 'Is it red?', answer: expected.trim() }]);
      // The reference of this one ends by itself.
      expect(answers[0]?.ended).toBe(name === 'qwen2.5-tiny-b');
    },
  );

  test('pictures of several sizes in several turns: each answer is that to the conversation with the ones before it given', async () => {
    const folder = join(fixtures, 'qwen2.5-tiny-a');
    const pictures = [0, 1, 2].map((index) => join(folder, `picture${index}.png`));
    const turns = [
      { question: 'Compare.', pictures: pictures.slice(0, 2) },
      { question: 'And this?', pictures: pictures.slice(2) },
      { question: 'Why?' },
    ];
    const converse = (given: readonly object[]): Promise<{ answers: AnswerRecord[] }> =>
      asked('--model', folder, 'unused', '--set', `recipe.turns=${JSON.stringify(given)}`);
    const { answers } = await converse(turns);
    expect(answers).toHaveLength(3);
    const given = turns.map((turn, index) => (index === 2 ? turn : { ...turn, answer: answers[index]?.answer }));
    expect((await converse(given)).answers[2]).toMatchObject({ answer: answers[2]?.answer });
    // The order of the pictures is part of what is asked.
    const [first, ...others] = turns;
    const swapped = await converse([{ ...first, pictures: pictures.slice(0, 2).toReversed() }, ...others]);
    expect(swapped.answers[0]?.answer).not.toBe(answers[0]?.answer);
  });

  test('what is exported in several files answers as the original does', async () => {
    const [folder, out] = [join(fixtures, 'qwen3-tiny-a'), place.path('exported')];
    const made = await place.command('export', folder, '--out', out, '--max-shard-size', '200kB');
    expect({ code: made.code, errors: made.code === 0 ? '' : made.errors }).toEqual({ code: 0, errors: '' });
    expect(readdirSync(out).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(3);
    const question = ['--image', join(folder, 'picture1.png'), 'Is it red?'];
    const [original, copy] = [await asked('--model', folder, ...question), await asked('--model', out, ...question)];
    expect(copy.answers[0]?.answer).toBe(original.answers[0]?.answer);
  });

  test('a text model answers as the decoder of the one that looks does', async () => {
    const [folder, text] = [join(fixtures, 'qwen2.5-tiny-b'), place.path('text-model')];
    mkdirSync(text);
    cpSync(join(folder, 'tokenizer.json'), join(text, 'tokenizer.json'));
    const { text_config: own } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as {
      text_config: Readonly<Record<string, unknown>>;
    };
    const { rope_parameters: _rope, ...sizes } = own;
    place.write(
      'text-model/config.json',
      JSON.stringify({ ...sizes, model_type: 'qwen2', rope_theta: 10_000, tie_word_embeddings: false }),
    );
    const tensors = await readSafetensors(join(folder, 'model.safetensors'));
    const decoder = [...tensors].filter(([name]) => !name.startsWith('visual.')) as [string, TensorToStore][];
    await writeSafetensors(join(text, 'model.safetensors'), new Map(decoder));
    const system = ['--set', 'tokenizer.system=You are a helpful assistant.'];
    const original = await asked('--model', folder, 'Is 7 odd?', ...system);
    const alone = await asked('--model', text, 'Is 7 odd?', ...system);
    expect(alone.output).toBe(original.output);
    expect(alone.answers[0]?.answer.length).toBeGreaterThan(0);
  });

  test('a head that lies beside the table it is tied to is the table, as in the files of Qwen3-0.6B', async () => {
    const [folder, twice] = [join(fixtures, 'qwen3-tiny-a'), place.path('head-twice')];
    cpSync(folder, twice, { recursive: true });
    const tensors = (await readSafetensors(join(folder, 'model.safetensors'))) as Map<string, TensorToStore>;
    const table = tensors.get('model.language_model.embed_tokens.weight');
    if (table === undefined || tensors.has('lm_head.weight')) throw new Error('the fixture is not tied');
    rmSync(join(twice, 'model.safetensors'));
    await writeSafetensors(join(twice, 'model.safetensors'), tensors.set('lm_head.weight', table));
    const [original, copy] = [await asked('--model', folder, 'Why?'), await asked('--model', twice, 'Why?')];
    expect(copy.output).toBe(original.output);
    const other = Float32Array.from(table.data as Float32Array);
    other[7] = 1;
    rmSync(join(twice, 'model.safetensors'));
    await writeSafetensors(
      join(twice, 'model.safetensors'),
      tensors.set('lm_head.weight', { shape: table.shape, data: other }),
    );
    const apart = await place.command('ask', '--model', twice, 'Why?', '--out', place.free('asked'), ...short);
    expect(apart).toMatchObject({ code: 2, errors: expect.stringMatching(/^OTHER_COPY/m) as string });
  });

  test('a plan needs no more than config.json, and says how many vectors the pictures have', async () => {
    const folder = place.path('sizes');
    mkdirSync(folder);
    cpSync(join(fixtures, 'qwen2.5-tiny-a', 'config.json'), join(folder, 'config.json'));
    const picture = join(fixtures, 'qwen2.5-tiny-a', 'picture0.png');
    const preset = place.write(
      'plan.yaml',
      [
        'name: plan',
        `tokenizer: { use: qwen, folder: ${folder} }`,
        `backbone: { use: qwen-vl, checkpoint: ${folder}, maxPixels: 15680 }`,
        `recipe: { use: ask, weights: ${folder}, turns: [{ question: Is it red?, pictures: [${picture}] }] }`,
        '',
      ].join('\n'),
    );
    const { code, output, errors } = await place.command('check', preset);
    expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
    expect(output).toContain('1 picture(s) of 20 vectors');
  });

  test('a published model is planned by its name, in any storage, without any file', async () => {
    const plan = async (storage: string, backbone: string): Promise<string> => {
      const preset = place.write(
        'by-name.yaml',
        [
          'name: by-name',
          'tokenizer: { use: qwen }',
          `backbone: { use: qwen-vl, ${backbone} }`,
          `recipe: { use: ask, weights: random, storage: ${storage}, answerTokens: 8, turns: [{ question: Why? }] }`,
          '',
        ].join('\n'),
      );
      const { code, output, errors } = await place.command('check', preset);
      return code === 0 ? output : errors;
    };
    const gigabytes = (output: string): number => Number(/memory: ([\d.]+) GiB/.exec(output)?.[1]);
    const [half, quarter] = [await plan('bf16', 'sizes: qwen2.5-vl-3b'), await plan('int4', 'sizes: qwen2.5-vl-3b')];
    expect(half).toContain('3085.94 M parameters, 36 layers, width 2048');
    // Two bytes, and four and a half bits: 5.75 and 1.62 GiB of weights.
    expect(gigabytes(half)).toBeGreaterThan(5.7);
    expect(gigabytes(half)).toBeLessThan(6.1);
    expect(gigabytes(quarter)).toBeGreaterThan(1.5);
    expect(gigabytes(quarter)).toBeLessThan(1.9);
    expect(await plan('bf16', 'minPixels: 3136')).toContain('give either checkpoint or sizes');
  });

  test('mistakes are named: it draws nothing, a picture is too long, there are sizes and no weights', async () => {
    const folder = join(fixtures, 'qwen2.5-tiny-a');
    const drawn = await place.command('generate', '--model', folder, '--prompt', 'a cat', '--out', place.free('drawn'));
    expect(drawn).toMatchObject({ code: 2 });
    expect(drawn.errors).toContain('CANNOT_DRAW');
    const fail = async (...args: string[]): Promise<string> => {
      const { code, errors } = await place.command('ask', ...args, 'What?', '--out', place.free('failed'));
      expect(code).not.toBe(0);
      return errors;
    };
    const line = place.write('line.png', await encodePng({ width: 201, height: 1, data: new Uint8Array(603) }));
    expect(await fail('--model', folder, '--image', line)).toContain('PICTURE_SHAPE');
    const sizes = place.path('only-sizes');
    mkdirSync(sizes);
    cpSync(join(folder, 'config.json'), join(sizes, 'config.json'));
    expect(await fail('--model', sizes)).toMatch(/no weights|NO_WEIGHTS/);
  });
});
