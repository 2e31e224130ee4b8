/** Published models in and out: loaded in either naming, exported in either, and nothing changed on the way but what was asked for. */
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { WeightSource } from '../../../core/contracts/weight-source.ts';
import { saveCheckpoint } from '../../../core/io/checkpoint.ts';
import { writeSafetensors, type TensorToStore } from '../../../core/io/safetensors.ts';
import { readSafetensors, readSafetensorsFile } from '../../support/safetensors.ts';
import { openWeightSource } from '../../../core/io/weight-files/open.ts';
import { fromBrainFloats, toBrainFloats } from '../../../core/tensor/float16.ts';
import { readJanusConfig } from '../../../plugins/janus/config.ts';
import { expectMessage } from '../../bad-input/message.ts';
import { janusFolder } from '../../support/janus-folder.ts';
import type { CommandEnd } from '../../support/command-line.ts';
import { Workplace } from '../../support/runs.ts';

const place = new Workplace();

function folder(fixture: 'tiny-a' | 'tiny-b', original = false): string {
  return janusFolder(place.free('model'), fixture, original);
}

async function exported(from: string, ...options: string[]): Promise<string> {
  const out = place.free('exported');
  const { code, errors } = await place.command('export', from, '--out', out, ...options);
  expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
  return out;
}

async function all(source: WeightSource, name: string): Promise<Buffer> {
  return Buffer.from(
    await source.read(
      name,
      0,
      (source.entries.get(name)?.shape ?? []).reduce((product, n) => product * n, 1),
    ),
  );
}

/** The same tensors, byte for byte. */
async function expectSame(one: string, other: string): Promise<void> {
  const [a, b] = [await openWeightSource(one), await openWeightSource(other)];
  expect([...a.entries.keys()].sort()).toEqual([...b.entries.keys()].sort());
  for (const [name, entry] of a.entries) {
    expect({ name, ...b.entries.get(name) }).toEqual({ name, ...entry });
    expect((await all(a, name)).equals(await all(b, name)), name).toBe(true);
  }
  await a.close();
  await b.close();
}

type Floats = Map<string, Float32Array>;

async function floats(path: string): Promise<Floats> {
  const tensors = await readSafetensors(join(path, 'model.safetensors'));
  return new Map([...tensors].flatMap(([name, { data }]) => (data instanceof Float32Array ? [[name, data]] : [])));
}

/** Comparing bytes takes milliseconds where `toEqual` takes seconds. */
function expectEqual(found: Floats, expected: Floats): void {
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected)
    expect(Buffer.from((found.get(name) ?? new Float32Array()).buffer).equals(Buffer.from(values.buffer)), name).toBe(
      true,
    );
}

const json = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

/** Sizes alone. */
function sizes(path: string): unknown {
  const { form, imageTokenId, ...rest } = readJanusConfig(join(path, 'config.json'));
  return [rest, form.length > 0, imageTokenId === undefined || imageTokenId === 5];
}

describe('a round trip without training', () => {
  test.each(['tiny-a', 'tiny-b'] as const)('%s: every tensor, the configuration and the tokenizer', async (fixture) => {
    const model = folder(fixture);
    const out = await exported(model);
    await expectSame(out, model);
    expect(json(join(out, 'config.json'))).toEqual(json(join(model, 'config.json')));
    expect(readFileSync(join(out, 'tokenizer.json'))).toEqual(readFileSync(join(model, 'tokenizer.json')));
    expect(readdirSync(out).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect((await readSafetensorsFile(join(out, 'model.safetensors'))).metadata).toEqual({ format: 'pt' });
  });

  test.each(['tiny-a', 'tiny-b'] as const)('%s: to the original layout and back', async (fixture) => {
    const model = folder(fixture);
    const original = await exported(model, '--layout', 'original');
    if (fixture === 'tiny-a') await expectSame(original, folder(fixture, true));
    expect(json(join(original, 'config.json'))['model_type']).toBe('multi_modality');
    expect(sizes(original)).toEqual(sizes(model));
    const back = await exported(original, '--layout', 'huggingface');
    await expectSame(back, model);
    expect(sizes(back)).toEqual(sizes(model));
    expect(json(join(back, 'config.json'))['image_token_id']).toBe(5);
    expect(json(join(back, 'generation_config.json'))).toMatchObject({
      bos_token_id: 0,
      eos_token_id: 1,
      pad_token_id: 2,
      generation_kwargs: { boi_token_id: 3 },
    });
  });

  test.each([
    ['dtype', 'float32'],
    ['torch_dtype', 'float16'],
    ['torch_dtype', undefined],
  ])('another layout says of the types of weights what the base says: %s %s', async (key, type) => {
    const model = folder('tiny-a');
    const config = json(join(model, 'config.json'));
    writeFileSync(join(model, 'config.json'), JSON.stringify({ ...config, [key]: type }));
    const original = await exported(model, '--layout', 'original');
    expect(json(join(original, 'config.json'))['torch_dtype']).toBe(type);
    const back = await exported(original, '--layout', 'huggingface');
    expect(json(join(back, 'config.json'))['torch_dtype']).toBe(type);
  });

  test('what processors of pictures and videos read is copied within a layout', async () => {
    const model = folder('tiny-a');
    const names = ['preprocessor_config.json', 'video_preprocessor_config.json', 'processor_config.json'];
    for (const name of names) writeFileSync(join(model, name), '{}');
    expect(readdirSync(await exported(model))).toEqual(expect.arrayContaining(names));
  });

  test('original files keep what the port drops', async () => {
    const model = await exported(folder('tiny-a'), '--layout', 'original');
    const tensors = new Map<string, TensorToStore>(
      [...(await readSafetensors(join(model, 'model.safetensors')))].map(([name, { shape, data }]) => [
        name,
        { shape, data: data as Float32Array },
      ]),
    );
    tensors.set('gen_vision_model.quantize.codebook_used', { shape: [4], data: Uint32Array.of(1, 2, 3, 4) });
    tensors.set('vision_model.vision_tower.attn_pool.latent', { shape: [1, 2], data: Float32Array.of(1, 2) });
    rmSync(join(model, 'model.safetensors'));
    await writeSafetensors(join(model, 'model.safetensors'), tensors);
    await expectSame(await exported(model), model);
    const half = await openWeightSource(await exported(model, '--dtype', 'f16'));
    expect(half.entries.get('vision_model.vision_tower.attn_pool.latent')?.type).toBe('F16');
    expect(half.entries.get('gen_vision_model.quantize.codebook_used')?.type).toBe('U32');
    await half.close();
  });

  test('in several files, with an index, none larger than asked', async () => {
    const model = folder('tiny-a');
    const out = await exported(model, '--max-shard-size', '500KB');
    const files = readdirSync(out)
      .filter((name) => name.endsWith('.safetensors'))
      .sort();
    expect(files.length).toBeGreaterThan(5);
    expect(files[0]).toBe(`model-00001-of-${String(files.length).padStart(5, '0')}.safetensors`);
    for (const file of files) expect(statSync(join(out, file)).size).toBeLessThan(500e3 + 20e3);
    const index = json(join(out, 'model.safetensors.index.json'));
    expect(index['metadata']).toEqual({
      total_size: [...(await readSafetensors(join(model, 'model.safetensors'))).values()].reduce(
        (sum, { data }) => sum + data.byteLength,
        0,
      ),
    });
    await expectSame(out, model);
  });
});

test('another type is said in the configuration, and the values are the nearest', async () => {
  const model = folder('tiny-b');
  const out = await exported(model, '--dtype', 'bf16');
  expect(json(join(out, 'config.json'))['torch_dtype']).toBe('bfloat16');
  const stored = await openWeightSource(out);
  expect(new Set([...stored.entries.values()].map(({ type }) => type))).toEqual(new Set(['BF16']));
  await stored.close();
  expectEqual(
    await floats(out),
    new Map([...(await floats(model))].map(([name, data]) => [name, fromBrainFloats(toBrainFloats(data))])),
  );
});

/** A preset on a published model. */
const preset = (model: string, recipe: string): string =>
  [
    'seed: 3',
    `tokenizer: { use: huggingface, file: ${model} }`,
    `imageTokenizer: { use: vq, checkpoint: ${model} }`,
    `backbone: { use: janus-checkpoint, checkpoint: ${model} }`,
    `recipe: ${recipe}`,
    '',
  ].join('\n');

describe('what was trained', () => {
  const trained = 'model.language_model.norm.weight';

  /** The directory of a run with a checkpoint of the decoder alone, one of whose weights has changed. */
  async function run(model: string): Promise<string> {
    const directory = place.free('run');
    mkdirSync(directory);
    writeFileSync(join(directory, 'preset.yaml'), preset(model, `{ use: generate, weights: ${model}, prompts: [a] }`));
    const weights = new Map<string, TensorToStore>();
    for (const [name, { shape, data }] of await readSafetensors(join(model, 'model.safetensors'))) {
      if (/vision_model|vqmodel|model\.aligner/.test(name) || !(data instanceof Float32Array)) continue;
      weights.set(name, { shape, data: name === trained ? data.map((value) => value + 0.123) : data });
    }
    await saveCheckpoint(directory, 7, { weights, state: {}, metadata: { tokenizer: 'some hash' } });
    return directory;
  }

  test('is exported with the rest of the model it began with, in the types of that model', async () => {
    const model = folder('tiny-a');
    const directory = await run(model);
    const out = await exported(directory);
    const expected = await floats(model);
    expected.set(
      trained,
      (expected.get(trained) ?? new Float32Array()).map((value) => value + 0.123),
    );
    expectEqual(await floats(out), expected);
    await expectSame(await exported(join(directory, 'checkpoints/step-000007')), out);

    const small = await exported(model, '--dtype', 'bf16');
    const fitted = await openWeightSource(await exported(directory, '--base', small));
    expect(new Set([...fitted.entries.values()].map(({ type }) => type))).toEqual(new Set(['BF16']));
    await fitted.close();
  });

  test('the newest checkpoint is damaged: the one before it is exported, and that is said', async () => {
    const directory = await run(folder('tiny-a'));
    const weights = new Map([['w', { shape: [1], data: new Float32Array(1) }]]);
    const newest = await saveCheckpoint(directory, 8, { weights, state: {} });
    appendFileSync(join(newest, 'state.json'), ' ');
    const out = place.free('out');
    const { code, errors } = await place.command('export', directory, '--out', out);
    expect({ code, errors }).toEqual({ code: 0, errors: expect.any(String) as string });
    expect(errors).toMatch(/warning: checkpoint .*step-000008 is passed over: .*; step-000007 is used instead/);
  });

  test('what a killed export left, as large as a model, is removed by the next; what a living one writes is not', async () => {
    const model = folder('tiny-a');
    const parent = place.free('exports');
    const leave = (name: string, pid: number): void => {
      mkdirSync(join(parent, `.tmp-${name}`), { recursive: true });
      writeFileSync(join(parent, `.tmp-${name}`, 'model.safetensors'), 'half');
      const holder = { id: name, pid, host: hostname(), processStart: '1' };
      writeFileSync(join(parent, `.tmp-${name}.lock`), JSON.stringify(holder));
    };
    leave('killed', 2 ** 22 + 1);
    leave('mine', 2 ** 22 + 1);
    leave('other', process.pid);
    const stat = readFileSync(`/proc/${process.pid}/stat`, 'utf8');
    const processStart = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const alive = { id: 'other', pid: process.pid, host: hostname(), processStart };
    writeFileSync(join(parent, '.tmp-other.lock'), JSON.stringify(alive));
    const { code, errors } = await place.command('export', model, '--out', join(parent, 'mine'));
    expect({ code, errors: code === 0 ? '' : errors }).toEqual({ code: 0, errors: '' });
    expect(readdirSync(parent).sort()).toEqual(['.tmp-other', '.tmp-other.lock', 'mine']);
    expect(readdirSync(join(parent, 'mine'))).toEqual(readdirSync(model));
    expectMessage(await place.command('export', model, '--out', join(parent, 'other')), {
      exit: 6,
      code: 'RUN_LOCKED',
      says: [/is writing this model/],
    });
  });

  test('low-rank adapters are added to the weights they belong to', async () => {
    const model = folder('tiny-a');
    const directory = place.free('adapters');
    mkdirSync(directory);
    writeFileSync(
      join(directory, 'adapter_config.json'),
      JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 4, base_model_name_or_path: model }),
    );
    const stem = 'base_model.model.model.language_model.layers.0.self_attn.q_proj';
    const down = Float32Array.from({ length: 64 }, (_, index) => Math.fround(Math.sin(index)));
    const up = Float32Array.from({ length: 64 }, (_, index) => Math.fround(Math.cos(index)));
    await writeSafetensors(
      join(directory, 'adapter_model.safetensors'),
      new Map<string, TensorToStore>([
        [`${stem}.lora_A.weight`, { shape: [2, 32], data: down }],
        [`${stem}.lora_B.weight`, { shape: [32, 2], data: up }],
      ]),
    );
    const [after, before] = [await floats(await exported(directory, '--base', model)), await floats(model)];
    const name = 'model.language_model.layers.0.self_attn.q_proj.weight';
    const [merged = new Float32Array(), own = new Float32Array()] = [after.get(name), before.get(name)];
    for (let row = 0; row < 32; row++) {
      for (let column = 0; column < 32; column++) {
        const product = [0, 1].reduce((sum, r) => sum + (up[row * 2 + r] ?? 0) * (down[r * 32 + column] ?? 0), 0);
        expect(merged[row * 32 + column]).toBeCloseTo((own[row * 32 + column] ?? 0) + 2 * product, 5);
      }
    }
    expectEqual(after, before.set(name, merged));
  });

  test('is refused where it does not belong, and nothing is left behind', async () => {
    const refused = async (...args: string[]): Promise<CommandEnd> => place.command('export', ...args);
    const directory = await run(folder('tiny-a'));
    const out = place.free('refused');
    expect(await refused(directory, '--out', out, '--base', folder('tiny-b'))).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/OTHER_BASE[^]*lm_head\.weight is \[128,32\], in the base \[160,32\]/) as string,
    });
    expect(await refused(directory, '--out', directory)).toMatchObject({
      code: 6,
      errors: expect.stringContaining('FILE_EXISTS') as string,
    });
    expect(await refused(place.folder, '--out', out)).toMatchObject({
      code: 2,
      errors: expect.stringContaining('NO_BASE') as string,
    });
    expect(await refused((await place.halfTaught()).directory, '--out', out)).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/NO_BASE[^]*not made from a published model/) as string,
    });
    const strange = place.free('strange');
    cpSync(folder('tiny-a'), strange, { recursive: true });
    writeFileSync(join(strange, 'config.json'), '{"model_type":"llava"}');
    expect(await refused(strange, '--out', out)).toMatchObject({
      code: 2,
      errors: expect.stringContaining('UNKNOWN_MODEL') as string,
    });
    rmSync(join(strange, 'tokenizer.json'));
    cpSync(join(await exported(folder('tiny-a'), '--layout', 'original'), 'config.json'), join(strange, 'config.json'));
    expect(await refused(strange, '--out', out, '--layout', 'huggingface')).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/BAD_CONFIG[^]*needs the id of/) as string,
    });
    const large = folder('tiny-a');
    const tensors = new Map<string, TensorToStore>(
      [...(await readSafetensors(join(large, 'model.safetensors')))].map(([name, { shape, data }]) => [
        name,
        { shape, data: name === trained ? (data as Float32Array).fill(7e4, 3, 4) : (data as Float32Array) },
      ]),
    );
    rmSync(join(large, 'model.safetensors'));
    await writeSafetensors(join(large, 'model.safetensors'), tensors);
    expect(await refused(large, '--out', out, '--dtype', 'f16')).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/VALUE_TOO_LARGE[^]*norm\.weight" holds 70000 at element 3/) as string,
    });
    expect(await refused(large, '--out', out, '--max-shard-size', 'huge')).toMatchObject({ code: 2 });
    expect(readdirSync(place.folder).filter((name) => name.startsWith('.tmp') || name.startsWith('refused'))).toEqual(
      [],
    );
  });
});

describe('drawing with a published model', () => {
  const recipe = (weights: string): string =>
    `{ use: generate, weights: ${weights}, prompts: [a red ball], rationaleTokens: 8, guidance: 5 }`;
  const codes = (directory: string): unknown =>
    (JSON.parse(readFileSync(join(directory, 'drawings.jsonl'), 'utf8').trim()) as { codes: unknown }).codes;

  test('gives the same pictures from either naming; the parts it does without are not needed', async () => {
    const [port, original] = [folder('tiny-a'), folder('tiny-a', true)];
    const one = await place.run(place.write('port.yaml', preset(port, recipe(port))));
    const other = await place.run(place.write('original.yaml', preset(original, recipe(original))));
    expect(codes(other.directory)).toEqual(codes(one.directory));
    const decoder = place.free('decoder');
    mkdirSync(decoder);
    const kept = [...(await readSafetensors(join(port, 'model.safetensors')))].filter(
      ([name]) => !/vision_model|vqmodel/.test(name),
    );
    await writeSafetensors(
      join(decoder, 'model.safetensors'),
      new Map(kept.map(([name, { shape, data }]) => [name, { shape, data: data as Float32Array }])),
    );
    const bare = await place.run(place.write('bare.yaml', preset(port, recipe(decoder))));
    expect(codes(bare.directory)).toEqual(codes(one.directory));
  });

  test('names every tensor that is missing, unknown or of another shape, at once', async () => {
    const model = folder('tiny-a');
    const tensors = new Map<string, TensorToStore>(
      [...(await readSafetensors(join(model, 'model.safetensors')))].map(([name, { shape, data }]) => [
        name,
        { shape, data: data as Float32Array },
      ]),
    );
    tensors.delete('lm_head.weight');
    tensors.set('model.mystery.weight', { shape: [1], data: Float32Array.of(1) });
    tensors.set('model.language_model.norm.weight', { shape: [2], data: Float32Array.of(1, 2) });
    const broken = place.free('broken');
    mkdirSync(broken);
    await writeSafetensors(join(broken, 'model.safetensors'), tensors);
    const error: unknown = await place
      .run(place.write('broken.yaml', preset(model, recipe(broken))))
      .catch((cause: unknown) => cause);
    const message = error instanceof Error ? error.message : '';
    expect(message).toMatch(/missing: lm_head\.weight \[128,32\]/);
    expect(message).toMatch(/model\.language_model\.norm\.weight is \[2\], the model needs \[32\]/);
    expect(message).toMatch(/unexpected: model\.mystery\.weight/);
    expect(message).not.toMatch(/vqmodel|vision/);
  });

  test('random: a model needs its config.json only, the same seed gives the same weights, and nobody takes it for a trained one', async () => {
    const model = folder('tiny-a');
    const first = await place.run(place.write('random.yaml', preset(model, recipe('random'))));
    const second = await place.run(place.write('random.yaml', preset(model, recipe('random'))));
    const other = await place.run(place.write('random.yaml', preset(model, recipe('random'))), {
      settings: ['seed=4'],
    });
    expect(first.lines.join('\n')).toMatch(/warning: the weights are random \(seed 3\)/);
    expect(codes(second.directory)).toEqual(codes(first.directory));
    expect(codes(other.directory)).not.toEqual(codes(first.directory));
  });

  test('hub:OWNER/NAME stands for the folder of a pulled model, and what was not pulled is named', async () => {
    const cache = place.free('cache');
    const commit = 'a'.repeat(40);
    const snapshot = join(cache, 'models--owner--name', 'snapshots', commit);
    janusFolder(snapshot, 'tiny-a');
    mkdirSync(join(cache, 'models--owner--name', 'refs'));
    writeFileSync(join(cache, 'models--owner--name', 'refs', 'main'), commit);
    const before = process.env['HF_HUB_CACHE'];
    process.env['HF_HUB_CACHE'] = cache;
    try {
      const shown = await place.command(
        'show',
        place.write('hub.yaml', preset('hub:owner/name', recipe('hub:owner/name'))),
      );
      expect(shown).toMatchObject({ code: 0, output: expect.stringContaining(snapshot.slice(-40)) as string });
      const missing = await place.command(
        'show',
        place.write('hub.yaml', preset('hub:owner/name', recipe('hub:owner/other@v2'))),
      );
      expect(missing).toMatchObject({
        code: 2,
        errors: expect.stringMatching(/NOT_PULLED[^]*reasongen pull owner\/other --revision v2/) as string,
      });
      await expectSame(await exported('hub:owner/name'), snapshot);
      await expectSame(await exported(snapshot, '--base', 'hub:owner/name'), snapshot);
      const unknown = await place.command('export', 'hub:owner/other@v2', '--out', place.free('exported'));
      expect(unknown).toMatchObject({
        code: 2,
        errors: expect.stringMatching(/NOT_PULLED[^]*reasongen pull owner\/other --revision v2/) as string,
      });
    } finally {
      if (before === undefined) delete process.env['HF_HUB_CACHE'];
      else process.env['HF_HUB_CACHE'] = before;
    }
  });
});
