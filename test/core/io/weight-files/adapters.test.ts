/** Low-rank adapters as PEFT saves them: every key of their configuration counts, or is refused by its name. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../../../core/io/safetensors.ts';
import { openModelSource } from '../../../../core/io/weight-files/model.ts';
import { parseAdapterConfig } from '../../../../core/io/weight-files/adapter-config.ts';
import { readFloatTensors } from '../../../../core/io/weight-files/floats.ts';
import type { NameRule } from '../../../../core/tensor/name-rules.ts';
import { randomFloats } from '../../../../core/testing.ts';
import { torchEntries, zipFile, type TorchTensorToStore } from '../../../support/torch-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'adapters-'));
afterAll(() => rmSync(folder, { recursive: true }));

const rules: readonly NameRule[] = [
  { original: 'language_model.model.*', port: 'model.language_model.*' },
  { original: 'language_model.lm_head.*', port: 'lm_head.*' },
  {
    original: 'tower.blocks.#.qkv.*',
    port: ['q', 'k', 'v'].map((part) => `model.vision.layers.#.${part}_proj.*`),
  },
];

const q = 'model.language_model.layers.0.self_attn.q_proj';
const v = 'model.language_model.layers.11.self_attn.v_proj';
const shapes: Readonly<Record<string, readonly number[]>> = {
  [`${q}.weight`]: [6, 4],
  [`${q}.bias`]: [6],
  [`${v}.weight`]: [4, 4],
  'model.language_model.embed_tokens.weight': [7, 4],
  'model.vision.layers.0.q_proj.weight': [2, 4],
  'model.vision.layers.0.k_proj.weight': [2, 4],
  'model.vision.layers.0.v_proj.weight': [2, 4],
  'model.conv.weight': [3, 2, 3, 3],
  'lm_head.weight': [7, 4],
};

type Tensors = Readonly<Record<string, readonly number[]>>;

let count = 0;
function filled(tensors: Tensors): Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }> {
  return new Map(
    Object.entries(tensors).map(([name, shape], index) => [
      name,
      {
        shape,
        data: randomFloats(
          shape.reduce((a, b) => a * b, 1),
          100 * count + index,
        ),
      },
    ]),
  );
}

const base = join(folder, 'base.safetensors');
const weights = filled(shapes);
await writeSafetensors(base, weights);

const low = (module: string, rank: number, rows: number, columns: number): Tensors => ({
  [`base_model.model.${module}.lora_A.weight`]: [rank, columns],
  [`base_model.model.${module}.lora_B.weight`]: [rows, rank],
});
const plain = { r: 2, lora_alpha: 8, peft_type: 'LORA', base_model_name_or_path: base };

interface Adapter {
  readonly path: string;
  readonly of: (name: string) => Float32Array;
}

async function adapter(tensors: Tensors, config: object = {}): Promise<Adapter> {
  const path = join(folder, `adapter-${++count}`);
  mkdirSync(path);
  const stored = filled(tensors);
  await writeSafetensors(join(path, 'adapter_model.safetensors'), stored);
  writeFileSync(join(path, 'adapter_config.json'), JSON.stringify({ ...plain, ...config }));
  return { path, of: (name) => stored.get(`base_model.model.${name}`)?.data ?? new Float32Array() };
}

/** All weights after merging. */
async function merged({ path }: Pick<Adapter, 'path'>): Promise<Map<string, Float32Array>> {
  const { source } = await openModelSource(path, rules);
  const tensors = await readFloatTensors(source, () => true);
  await source.close();
  return new Map([...tensors].map(([name, { data }]) => [name, data]));
}

/** weight + scale · up · down; the others as they were. */
function expectDelta(
  after: ReadonlyMap<string, Float32Array>,
  changes: Readonly<Record<string, { scale: number; rank: number; up: Float32Array; down: Float32Array }>>,
): void {
  for (const [name, { data, shape }] of weights) {
    const change = changes[name];
    const columns = shape.slice(1).reduce((a, b) => a * b, 1);
    data.forEach((value, index) => {
      let sum = value;
      if (change !== undefined) {
        const [row, column] = [Math.floor(index / columns), index % columns];
        for (let r = 0; r < change.rank; r++)
          sum += change.scale * (change.up[row * change.rank + r] ?? 0) * (change.down[r * columns + column] ?? 0);
      }
      expect(after.get(name)?.[index], `${name}[${index}]`).toBeCloseTo(sum, 5);
    });
  }
}

async function refusal(tensors: Tensors, config: object): Promise<string> {
  const { path } = await adapter(tensors, config);
  try {
    await (await openModelSource(path, rules)).source.close();
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'hint' in error) return `${String(error.code)} ${error.message}`;
    throw error;
  }
  return 'opened';
}

describe('scale and rank of a module', () => {
  const both = { ...low(q, 2, 6, 4), ...low(v, 2, 4, 4) };
  const up = (from: Adapter, module: string) => from.of(`${module}.lora_B.weight`);
  const down = (from: Adapter, module: string) => from.of(`${module}.lora_A.weight`);

  test.each<[string, object, number, number]>([
    ['alpha / r', {}, 4, 4],
    ['rank-stabilized', { use_rslora: true }, 8 / Math.SQRT2, 8 / Math.SQRT2],
    ['alpha of an ending', { alpha_pattern: { 'layers.0.self_attn.q_proj': 64 } }, 32, 4],
    ['alpha of a whole name', { alpha_pattern: { [v]: 1 } }, 4, 0.5],
    ['alpha of the last part', { alpha_pattern: { q_proj: 6 } }, 3, 4],
    ['alpha by a pattern', { alpha_pattern: { [String.raw`.*\.1\d\..*`]: 2 } }, 4, 1],
    ['alpha by choices', { alpha_pattern: { '(q|v)_proj': 2 } }, 1, 1],
    ['alpha at the beginning', { alpha_pattern: { '^model.language_model.layers.0.*': 2 } }, 1, 4],
    ['not a part of a name', { alpha_pattern: { proj: 2, 'ayers.0.self_attn.q_proj': 2 } }, 4, 4],
    ['the first that fits', { alpha_pattern: { 'self_attn.q_proj': 2, q_proj: 16 } }, 1, 4],
    ['a pattern of Python', { alpha_pattern: { '(?P<part>q)_proj': 2 } }, 1, 4],
    ['another one', { alpha_pattern: { [String.raw`layers\.\d{,1}\..*`]: 2 } }, 1, 4],
    ['an alpha of 0', { alpha_pattern: { q_proj: 0 } }, 0, 4],
  ])('%s', async (_, config, ofQ, ofV) => {
    const from = await adapter(both, config);
    expectDelta(await merged(from), {
      [`${q}.weight`]: { scale: ofQ, rank: 2, up: up(from, q), down: down(from, q) },
      [`${v}.weight`]: { scale: ofV, rank: 2, up: up(from, v), down: down(from, v) },
    });
  });

  test('a rank of its own', async () => {
    const from = await adapter(
      { ...low(q, 1, 6, 4), ...low(v, 2, 4, 4) },
      { rank_pattern: { q_proj: 1 }, alpha_pattern: { v_proj: 1 } },
    );
    expectDelta(await merged(from), {
      [`${q}.weight`]: { scale: 8, rank: 1, up: up(from, q), down: down(from, q) },
      [`${v}.weight`]: { scale: 0.5, rank: 2, up: up(from, v), down: down(from, v) },
    });
  });

  test('is part of what weights are called', async () => {
    const { path } = await adapter(both);
    const hash = async (): Promise<string> => {
      const { source, hash: found } = await openModelSource(path, rules);
      await source.close();
      return found;
    };
    const before = await hash();
    writeFileSync(join(path, 'adapter_config.json'), JSON.stringify({ ...plain, alpha_pattern: { q_proj: 1 } }));
    expect(await hash()).not.toBe(before);
  });

  test('a rank other than the configuration says is refused', async () => {
    expect(await refusal(low(q, 3, 6, 4), {})).toMatch(/BAD_WEIGHTS the adapter ".*q_proj" has rank 3, and 2 by/);
    expect(await refusal(low(q, 2, 6, 4), { rank_pattern: { q_proj: 4 } })).toMatch(/has rank 2, and 4 by/);
  });
});

describe('names', () => {
  const original = 'language_model.model.layers.0.self_attn.q_proj';
  test.each([
    ['the port', q],
    ['the original code', original],
    ['a wrapped language model of the original code', 'model.layers.0.self_attn.q_proj'],
    ['a wrapped part of the port', 'layers.0.self_attn.q_proj'],
  ])('of %s', async (_, module) => {
    const from = await adapter(low(module, 2, 6, 4), { target_modules: ['q_proj'] });
    expectDelta(await merged(from), {
      [`${q}.weight`]: {
        scale: 4,
        rank: 2,
        up: from.of(`${module}.lora_B.weight`),
        down: from.of(`${module}.lora_A.weight`),
      },
    });
  });

  test('one tensor of the original code is several of the port', async () => {
    const from = await adapter(low('tower.blocks.0.qkv', 2, 6, 4));
    const [up, down] = [from.of('tower.blocks.0.qkv.lora_B.weight'), from.of('tower.blocks.0.qkv.lora_A.weight')];
    expectDelta(
      await merged(from),
      Object.fromEntries(
        ['q', 'k', 'v'].map((part, index) => [
          `model.vision.layers.0.${part}_proj.weight`,
          { scale: 4, rank: 2, up: up.subarray(4 * index, 4 * index + 4), down },
        ]),
      ),
    );
  });

  test.each<[string, Tensors, RegExp]>([
    [
      'no weight',
      low('model.other.q_proj', 2, 6, 4),
      /the adapter "model\.other\.q_proj" fits no weight of .*such as "model\.language_model\.layers\.0/,
    ],
    ['another shape', low(q, 2, 5, 4), /of \[2,4\] and \[5,2\] does not fit the weight \[6,4\]/],
    [
      'both layouts',
      { ...low(q, 2, 6, 4), ...low(original, 2, 6, 4) },
      /two adapters of "model\.language_model\.layers\.0/,
    ],
    ['half of a pair', { [`base_model.model.${q}.lora_A.weight`]: [2, 4] }, /only one of lora_A and lora_B/],
    [
      'a magnitude',
      { ...low(q, 2, 6, 4), [`base_model.model.${q}.lora_magnitude_vector`]: [6] },
      /lora_magnitude_vector" is a part of adapters of another kind/,
    ],
  ])('that fit %s are refused', async (_, tensors, message) => expect(await refusal(tensors, {})).toMatch(message));
});

describe('what is adapted', () => {
  test.each<[string, object]>([
    ['a list of ends', { target_modules: ['q_proj', 'v_proj'] }],
    ['whole names', { target_modules: [q, v] }],
    ['a pattern', { target_modules: String.raw`^(model.language_model)(?!.*(lm_head)).*_proj$` }],
    ['all linear layers', { target_modules: 'all-linear' }],
    ['nothing said', { target_modules: null, layers_to_transform: null, layers_pattern: null, exclude_modules: [] }],
    ['some layers', { target_modules: ['q_proj', 'v_proj'], layers_to_transform: [0, 11] }],
    [
      'layers by a pattern',
      { target_modules: ['q_proj', 'v_proj'], layers_to_transform: [0, 11], layers_pattern: ['blocks', 'layers'] },
    ],
    ['without others', { target_modules: ['q_proj', 'v_proj'], exclude_modules: ['k_proj'] }],
    ['without a pattern', { target_modules: ['q_proj', 'v_proj'], exclude_modules: '.*vision.*' }],
  ])('%s', async (_, config) =>
    expect(await refusal({ ...low(q, 2, 6, 4), ...low(v, 2, 4, 4) }, config)).toBe('opened'),
  );

  test.each<[string, object]>([
    ['a list', { target_modules: ['k_proj', 'proj'] }],
    ['a pattern for a part only', { target_modules: 'q_proj' }],
    ['an excluded end', { target_modules: ['q_proj'], exclude_modules: ['self_attn.q_proj'] }],
    ['an excluded pattern', { target_modules: ['q_proj'], exclude_modules: '.*attn.*' }],
    ['another layer', { target_modules: ['q_proj'], layers_to_transform: 1 }],
    ['layers of another name', { target_modules: ['q_proj'], layers_to_transform: [0], layers_pattern: 'blocks' }],
  ])('an adapter outside of %s is refused', async (_, config) =>
    expect(await refusal(low(q, 2, 6, 4), config)).toMatch(/"model\..*q_proj" is in the file .*target_modules/),
  );
});

describe('what was trained as a whole', () => {
  test('modules and biases take the place of those of the base', async () => {
    const head = 'base_model.model.language_model.lm_head.weight';
    const from = await adapter(
      { ...low(q, 2, 6, 4), [head]: [7, 4], [`base_model.model.${q}.bias`]: [6] },
      { bias: 'lora_only', modules_to_save: ['lm_head'], target_modules: ['q_proj'] },
    );
    const after = await merged(from);
    expect(after.get('lm_head.weight')).toEqual(from.of('language_model.lm_head.weight'));
    expect(after.get(`${q}.bias`)).toEqual(from.of(`${q}.bias`));
    expect(after.get(`${v}.weight`)).toEqual(weights.get(`${v}.weight`)?.data);
  });

  test('adapters of an embedding, of a convolution, and of biases', async () => {
    const embedding = 'model.language_model.embed_tokens';
    const from = await adapter(
      {
        [`base_model.model.${embedding}.lora_embedding_A`]: [2, 7],
        [`base_model.model.${embedding}.lora_embedding_B`]: [4, 2],
        'base_model.model.model.conv.lora_A.weight': [2, 2, 3, 3],
        'base_model.model.model.conv.lora_B.weight': [3, 2, 1, 1],
        ...low(q, 2, 6, 4),
        [`base_model.model.${q}.lora_B.bias`]: [6],
      },
      { lora_bias: true },
    );
    const [a, b] = [from.of(`${embedding}.lora_embedding_A`), from.of(`${embedding}.lora_embedding_B`)];
    const turned = (values: Float32Array, columns: number): Float32Array =>
      values.map((_, index) => {
        const rows = values.length / columns;
        return values[(index % rows) * columns + Math.floor(index / rows)] ?? 0;
      });
    expectDelta(await merged(from), {
      [`${embedding}.weight`]: { scale: 4, rank: 2, up: turned(a, 7), down: turned(b, 2) },
      'model.conv.weight': {
        scale: 4,
        rank: 2,
        up: from.of('model.conv.lora_B.weight'),
        down: from.of('model.conv.lora_A.weight'),
      },
      [`${q}.weight`]: { scale: 4, rank: 2, up: from.of(`${q}.lora_B.weight`), down: from.of(`${q}.lora_A.weight`) },
      [`${q}.bias`]: { scale: 4, rank: 1, up: from.of(`${q}.lora_B.bias`), down: Float32Array.of(1) },
    });
  });

  test('is refused where it is missing or of another size', async () => {
    expect(await refusal(low(q, 2, 6, 4), { modules_to_save: ['lm_head'] })).toMatch(/"lm_head" was saved .*not there/);
    expect(await refusal({ 'base_model.model.lm_head.weight': [8, 4] }, {})).toMatch(
      /"lm_head\.weight" of \[8,4\] .* does not fit that of \[7,4\]/,
    );
  });
});

describe('a configuration', () => {
  const parsed = (config: object): string => {
    try {
      parseAdapterConfig(JSON.stringify(config), 'adapter_config.json');
    } catch (error) {
      if (error instanceof Error && 'code' in error) return `${String(error.code)} ${error.message}`;
      throw error;
    }
    return 'read';
  };

  /** As PEFT 0.18 writes it. */
  const published = {
    alora_invocation_tokens: null,
    alpha_pattern: {},
    arrow_config: null,
    auto_mapping: { base_model_class: 'MultiModalityCausalLM', parent_library: 'janus.models' },
    base_model_name_or_path: 'deepseek-ai/Janus-Pro-1B',
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: 16,
    lora_bias: false,
    lora_dropout: 0.05,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    peft_version: '0.18.0',
    qalora_group_size: 16,
    r: 16,
    rank_pattern: {},
    revision: null,
    target_modules: ['q_proj'],
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: false,
  };

  test('as published is read, whatever it says of the training', () => {
    expect(parsed(published)).toBe('read');
    expect(parsed({ ...published, task_type: null, lora_dropout: 0, init_lora_weights: 'gaussian' })).toBe('read');
    expect(parsed({ ...published, a_later_key: null, another: false, a_third: {} })).toBe('read');
  });

  test.each<[string, object]>([
    ['use_dora: true', { use_dora: true }],
    ['use_qalora: true', { use_qalora: true }],
    ['fan_in_fan_out: true', { fan_in_fan_out: true }],
    ['layer_replication: [[0,4],[2,5]]', { layer_replication: [[0, 4], [2, 5]] }], // prettier-ignore
    ['trainable_token_indices: [1]', { trainable_token_indices: [1] }],
    ['target_parameters: ["experts"]', { target_parameters: ['experts'] }],
    ['megatron_config: {"a":1}', { megatron_config: { a: 1 } }],
    ['alora_invocation_tokens: [5]', { alora_invocation_tokens: [5] }],
    ['init_lora_weights: "pissa"', { init_lora_weights: 'pissa' }],
    ['init_lora_weights: "olora"', { init_lora_weights: 'olora' }],
    ['init_lora_weights: "loftq"', { init_lora_weights: 'loftq' }],
    ['init_lora_weights: "corda"', { init_lora_weights: 'corda' }],
    ['a_later_key: 0.5', { a_later_key: 0.5 }],
    ['peft_type is "IA3"', { peft_type: 'IA3' }],
    ['peft_type is missing', { peft_type: undefined }],
    ['rank_pattern is [1], not a map', { rank_pattern: [1] }],
    ['rank_pattern is {"q":"2"}, not a map', { rank_pattern: { q: '2' } }],
    ['alpha_pattern is {"q":null}, not a map', { alpha_pattern: { q: null } }],
    ['target_modules is 7, not a pattern', { target_modules: 7 }],
    ['modules_to_save is "head", not a list', { modules_to_save: 'head' }],
    ['layers_to_transform is ["1"], not a layer', { layers_to_transform: ['1'] }],
    ['bias is "some", not one of none, all, lora_only', { bias: 'some' }],
    ['use_rslora is "yes", not true or false', { use_rslora: 'yes' }],
    ['it needs r', { r: 0 }],
    ['it needs r', { r: '4' }],
    ['it needs r', { lora_alpha: null }],
    ['it needs r', { base_model_name_or_path: null }],
  ])('that says %s is refused by that name', (message, config) => {
    expect(parsed({ ...published, ...config })).toContain(`BAD_WEIGHTS`);
    expect(parsed({ ...published, ...config })).toContain(message);
  });

  test('names every key that is not understood', () => {
    expect(parsed({ ...published, use_dora: true, new_key: 'x', other: 3 })).toContain(
      'use_dora: true, new_key: "x", other: 3',
    );
  });

  test.each(['(', '*', '[a', '(?x) q', '[]q]_proj', '(?i:Q)_proj', 'q++'])(
    'the pattern %s is refused by name',
    async (pattern) => {
      expect(await refusal(low(q, 2, 6, 4), { target_modules: pattern })).toMatch(/the pattern target_modules/);
      expect(await refusal(low(q, 2, 6, 4), { alpha_pattern: { [pattern]: 1 } })).toContain(`the pattern "${pattern}"`);
    },
  );

  test('a pattern that would take for ever is given up on', async () => {
    const start = performance.now();
    expect(await refusal(low(q, 2, 6, 4), { target_modules: String.raw`((.+)*)*\d!` })).toMatch(/takes too long/);
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe('a folder', () => {
  test('with a file of PyTorch is read', async () => {
    const { path } = await adapter(low(q, 2, 6, 4));
    rmSync(join(path, 'adapter_model.safetensors'));
    const data = Float32Array.from({ length: 12 }, (_, index) => index / 8);
    const stored = (shape: readonly number[], values: Float32Array): TorchTensorToStore => ({
      shape,
      kind: 'FloatStorage',
      bytes: new Uint8Array(values.buffer),
      elements: values.length,
    });
    writeFileSync(
      join(path, 'adapter_model.bin'),
      zipFile(
        torchEntries({
          [`base_model.model.${q}.lora_A.weight`]: stored([2, 4], data.slice(0, 8)),
          [`base_model.model.${q}.lora_B.weight`]: stored([6, 2], data),
        }),
      ),
    );
    expectDelta(await merged({ path }), {
      [`${q}.weight`]: { scale: 4, rank: 2, up: data, down: data.slice(0, 8) },
    });
  });

  test('that names itself, or a model that is not there, is refused', async () => {
    const { path } = await adapter(low(q, 2, 6, 4));
    writeFileSync(join(path, 'adapter_config.json'), JSON.stringify({ ...plain, base_model_name_or_path: path }));
    await expect(openModelSource(path, rules)).rejects.toMatchObject({
      code: 'BAD_WEIGHTS',
      message: expect.stringContaining('name themselves') as string,
    });
    writeFileSync(
      join(path, 'adapter_config.json'),
      JSON.stringify({ ...plain, base_model_name_or_path: 'nobody/nothing', revision: 'v1' }),
    );
    await expect(openModelSource(path, rules)).rejects.toMatchObject({
      code: 'NOT_PULLED',
      hint: expect.stringContaining('pull nobody/nothing --revision v1') as string,
    });
    rmSync(join(path, 'adapter_model.safetensors'));
    await expect(openModelSource(path, rules)).rejects.toMatchObject({
      message: expect.stringContaining('neither adapter_model.safetensors nor') as string,
    });
  });
});
