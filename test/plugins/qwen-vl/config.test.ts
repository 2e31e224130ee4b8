/** Sizes from every form of config.json, and what is refused by its name. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { qwenBackbone } from '../../../plugins/qwen-vl/backbone.ts';
import { parseQwenConfig, type QwenConfig } from '../../../plugins/qwen-vl/config.ts';
import { parsePictureRules } from '../../../plugins/qwen-vl/pictures.ts';
import { formats } from '../../../plugins/qwen-vl/published.ts';
import { publishedConfigs, publishedNames, type PublishedName } from '../../../plugins/qwen-vl/published-sizes.ts';

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

function read(json: unknown): QwenConfig {
  return parseQwenConfig(json, 'config.json');
}

const rules = { minPixels: 3136, maxPixels: 1_003_520, mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };

/** Counted of models that were made of these sizes; keys and values of a token. */
const counted: Readonly<
  Record<PublishedName, { parameters: number; ofTower: number; tensors?: number; cacheValues: number }>
> = {
  'qwen2.5-vl-3b': { parameters: 3_754_622_976, ofTower: 668_684_288, tensors: 824, cacheValues: 18_432 },
  'qwen2.5-vl-7b': { parameters: 8_292_166_656, ofTower: 676_550_144, tensors: 729, cacheValues: 28_672 },
  'qwen2.5-vl-32b': { parameters: 33_452_718_336, ofTower: 688_841_984, tensors: 1161, cacheValues: 131_072 },
  'qwen2.5-vl-72b': { parameters: 73_410_777_344, ofTower: 704_573_696, tensors: 1353, cacheValues: 163_840 },
  'qwen3-vl-2b': { parameters: 2_127_532_032, ofTower: 406_957_056, cacheValues: 57_344 },
  'qwen3-vl-4b': { parameters: 4_437_815_808, ofTower: 415_347_712, cacheValues: 73_728 },
  'qwen3-vl-8b': { parameters: 8_767_123_696, ofTower: 576_388_336, cacheValues: 73_728 },
};

describe('published sizes', () => {
  test.each(publishedNames)('%s has the parameters and tensors of its class', (name) => {
    const known = counted[name];
    const backbone = qwenBackbone('published', read(publishedConfigs[name]), rules);
    const tower = backbone.vision?.parameters ?? [];
    const all = [...backbone.parameters, ...tower];
    const count = (specs: typeof all): number => specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    expect(count(all)).toBe(known.parameters);
    expect(count([...tower])).toBe(known.ofTower);
    if (known.tensors !== undefined) expect(all).toHaveLength(known.tensors);
    // Published heads pay nothing for widths that kernels do not take.
    expect(backbone.headDimension).toBe(128);
    expect(2 * backbone.layers * backbone.keyValueHeads * backbone.headDimension).toBe(known.cacheValues);
  });
});

describe('forms of the file', () => {
  const flat = publishedConfigs['qwen2.5-vl-3b'];
  const { rope_theta: theta, rope_scaling: scaling, vision_config: tower, ...text } = flat;
  const own = { rope_theta: theta, rope_scaling: { ...scaling, rope_type: 'default' } };
  const forms = {
    'flat and nested': { ...flat, text_config: { ...text, ...own } },
    nested: { model_type: flat.model_type, vision_config: tower, text_config: { ...text, ...own } },
    'nested, as transformers 5 writes it': {
      model_type: flat.model_type,
      tie_word_embeddings: true,
      vision_config: { ...tower, in_channels: 3, rope_parameters: { rope_theta: 10_000, rope_type: 'axial' } },
      text_config: {
        ...Object.fromEntries(Object.entries(text).filter(([key]) => key !== 'tie_word_embeddings')),
        rope_parameters: { mrope_section: [16, 24, 24], rope_theta: theta, rope_type: 'default', type: 'mrope' },
      },
    },
  };

  test.each(Object.entries(forms))('%s says what the flat one says', (_name, form) => {
    expect(read(form)).toEqual(read(flat));
  });

  test('a head narrower or wider than its share of the stream is what head_dim says', () => {
    expect(read({ ...flat, head_dim: 128 })).toEqual(read(flat));
    expect(() => read({ ...flat, head_dim: 64 })).toThrow(/mrope_section \[16,24,24\] does not divide the 32 pairs/);
  });
});

describe('text models', () => {
  const { vision_config: _tower, rope_scaling: _sections, ...text } = publishedConfigs['qwen2.5-vl-3b'];

  test('Qwen2.5 is the decoder of Qwen2.5-VL, on one axis', () => {
    const { family, text: sizes, vision } = read({ ...text, model_type: 'qwen2' });
    const { sections, ...whole } = read(publishedConfigs['qwen2.5-vl-3b']).text;
    expect([family, vision, sections]).toEqual(['qwen2', undefined, [16, 24, 24]]);
    expect(sizes).toEqual(whole);
    const backbone = qwenBackbone('text', { family: 'qwen2', text: sizes });
    expect([backbone.vision, backbone.positionAxes]).toEqual([undefined, 1]);
  });

  test('Qwen3 normalizes queries and keys, and has no biases', () => {
    const config = read({ ...text, model_type: 'qwen3', head_dim: 128, attention_bias: false });
    const names = qwenBackbone('text', config).parameters.map(({ name }) => name);
    expect(names).toContain('model.language_model.layers.0.self_attn.q_norm.weight');
    expect(names.filter((name) => name.endsWith('.bias'))).toEqual([]);
    expect(() => read({ ...text, model_type: 'qwen3', attention_bias: true })).toThrow(/attention_bias is true/);
    expect(() => read({ ...text, model_type: 'qwen2', rope_scaling: { rope_type: 'yarn' } })).toThrow(/unscaled/);
  });
});

describe('refused by name', () => {
  const flat = publishedConfigs['qwen2.5-vl-3b'];
  const third = publishedConfigs['qwen3-vl-2b'];
  test.each([
    [{ ...flat, model_type: 'llama' }, /model_type is "llama"; such a model has qwen2_5_vl, qwen3_vl, qwen2, qwen3/],
    [{ ...flat, vision_config: undefined }, /vision_config is missing/],
    [{ ...flat, hidden_size: undefined }, /hidden_size is missing/],
    [{ ...flat, use_sliding_window: true }, /use_sliding_window is true/],
    [{ ...flat, num_key_value_heads: 3 }, /num_key_value_heads 3 does not divide num_attention_heads 16/],
    [
      { ...flat, rope_scaling: { type: 'yarn', factor: 4, mrope_section: [16, 24, 24] } },
      /rope_scaling.type is "yarn": rotary positions are computed unscaled/,
    ],
    [{ ...flat, vision_config: { ...flat.vision_config, hidden_size: undefined } }, /vision_config.hidden_size/],
    [{ ...flat, vision_config: { ...flat.vision_config, out_hidden_size: 3584 } }, /out_hidden_size is 3584, but/],
    [{ ...flat, vision_config: { ...flat.vision_config, window_size: 20 } }, /window_size 20 is smaller than/],
    [
      { ...flat, vision_config: { ...flat.vision_config, fullatt_block_indexes: [7, 32] } },
      /names blocks beyond the 32/,
    ],
    [{ ...flat, vision_config: { ...flat.vision_config, num_heads: 128 } }, /heads of 10: their pairs do not divide/],
    [
      { ...third, vision_config: { ...third.vision_config, num_position_embeddings: 2300 } },
      /num_position_embeddings 2300 is not a square/,
    ],
  ])('%#', (json, message) => {
    expect(() => read(json)).toThrow(message);
  });
});

describe('the rules of pictures', () => {
  const config = read(publishedConfigs['qwen2.5-vl-3b']);
  if (config.vision === undefined) throw new Error('it does not look');
  const { family, vision } = config;
  const parse = (json: unknown) => parsePictureRules(json, 'preprocessor_config.json', family, vision);

  test('limits are areas under any of their names', () => {
    const limits = { minPixels: 3136, maxPixels: 50_176 };
    expect(parse({ min_pixels: 3136, max_pixels: 50_176 })).toMatchObject(limits);
    expect(parse({ size: { shortest_edge: 3136, longest_edge: 50_176 } })).toMatchObject(limits);
    expect(parse({ size: { min_pixels: 3136, max_pixels: 50_176 } })).toMatchObject(limits);
    expect(parse({})).toMatchObject({
      minPixels: 3136,
      maxPixels: 12_845_056,
      mean: [0.48145466, 0.4578275, 0.40821073],
    });
  });

  test('what does not fit the sizes is refused', () => {
    expect(() => parse({ patch_size: 16 })).toThrow(/patch_size is 16, but patch_size of config.json is 14/);
    expect(() => parse({ min_pixels: 9000, max_pixels: 8000 })).toThrow(/min_pixels 9000 is above max_pixels 8000/);
    expect(() => parse({ image_mean: [0.5] })).toThrow(/image_mean is \[0.5\], not a list of 3 numbers/);
  });
});

describe('as they are published', () => {
  test('a config says of which class it is, and is written back with another type', () => {
    const config = publishedConfigs['qwen2.5-vl-3b'];
    const format = formats['qwen2.5-vl'];
    expect([format.layoutOf(config), formats['qwen3-vl'].layoutOf(config)]).toEqual(['original', undefined]);
    const wanted = { layout: 'original', type: 'f32', tokenId: () => undefined, place: 'config.json' } as const;
    expect(format.configFiles({ ...config, torch_dtype: 'bfloat16' }, wanted)).toEqual({
      'config.json': { ...config, torch_dtype: 'float32' },
    });
    expect(() => format.configFiles(config, { ...wanted, layout: 'huggingface' })).toThrow(
      /one layout only, "original"/,
    );
  });

  test('the fixtures have every tensor of their class, and no other', () => {
    for (const name of ['qwen2.5-tiny-a', 'qwen2.5-tiny-b', 'qwen3-tiny-a']) {
      const json: unknown = JSON.parse(
        readFileSync(new URL(`../../golden/qwen-vl/${name}/config.json`, import.meta.url), 'utf8'),
      );
      expect(read(json).family).toBe(name.startsWith('qwen3') ? 'qwen3-vl' : 'qwen2.5-vl');
    }
  });
});
