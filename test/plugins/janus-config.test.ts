import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseJanusConfig, readJanusConfig } from '../../plugins/janus/config.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../golden/janus/${name}/config.json`, import.meta.url));

/** The original 7B configuration: what its class defaults are is left out, as its writer did. */
const original7B = {
  model_type: 'multi_modality',
  aligner_config: {
    cls: 'MlpProjector',
    params: { depth: 2, input_dim: 1024, n_embed: 4096, projector_type: 'mlp_gelu' },
  },
  gen_aligner_config: {
    cls: 'MlpProjector',
    params: { depth: 2, input_dim: 8, n_embed: 4096, projector_type: 'mlp_gelu' },
  },
  gen_head_config: { cls: 'vision_head', params: { image_token_embed: 4096, image_token_size: 16384, n_embed: 4096 } },
  gen_vision_config: { cls: 'VQ-16', params: { image_token_size: 16384, n_embed: 8 } },
  language_config: { max_position_embeddings: 16384, model_type: 'llama', num_hidden_layers: 30, vocab_size: 102400 },
  vision_config: {
    cls: 'CLIPVisionTower',
    params: { image_size: 384, model_name: 'siglip_large_patch16_384', select_feature: 'same', select_layer: -1 },
  },
};

const port7B = {
  model_type: 'janus',
  image_token_id: 100594,
  text_config: { model_type: 'llama', num_hidden_layers: 30, vocab_size: 102400, max_position_embeddings: 16384 },
  vision_config: { projection_dim: 4096 },
  vq_config: { projection_dim: 4096, image_token_embed_dim: 4096, num_patches: 32 },
};

test('the fixtures: every size is theirs', () => {
  const config = readJanusConfig(fixture('tiny-b'));
  expect(config.decoder).toMatchObject({
    hidden: 32,
    layers: 3,
    heads: 2,
    headDimension: 16,
    mlp: 88,
    textVocabulary: 160,
  });
  expect(config.vision).toMatchObject({
    imageSize: 16,
    patchSize: 4,
    grid: 4,
    hidden: 24,
    heads: 2,
    mlp: 48,
    alignerLayers: 2,
  });
  expect(config.codec).toMatchObject({
    imageSize: 16,
    multipliers: [1, 1, 2],
    encoderBlocks: [2, 2, 2],
    decoderBlocks: [3, 3, 3],
    codes: 96,
  });
  expect(config.imageTokenId).toBe(5);
});

test('both forms of the 7B give the same model', () => {
  const original = parseJanusConfig(original7B, 'config.json');
  const port = parseJanusConfig(port7B, 'config.json');
  expect({ ...port, form: 'original', imageTokenId: undefined }).toEqual(original);
  expect(original.decoder).toEqual({
    hidden: 4096,
    layers: 30,
    heads: 32,
    keyValueHeads: 32,
    headDimension: 128,
    mlp: 11008,
    ropeTheta: 10000,
    normEpsilon: 1e-6,
    textVocabulary: 102400,
    maxPositions: 16384,
  });
  expect(original.vision).toEqual({
    imageSize: 384,
    patchSize: 16,
    grid: 24,
    hidden: 1024,
    layers: 24,
    heads: 16,
    mlp: 4096,
    normEpsilon: 1e-6,
    alignerLayers: 2,
  });
  expect(original.codec).toMatchObject({
    imageSize: 384,
    baseChannels: 128,
    multipliers: [1, 1, 2, 2, 4],
    latentChannels: 256,
    embeddingDimension: 8,
    codes: 16384,
  });
});

test('grouped heads, an explicit head width and the older way to write the rotary base', () => {
  const text_config = { ...port7B.text_config, num_key_value_heads: 8, head_dim: 64, rope_theta: 500000 };
  expect(parseJanusConfig({ ...port7B, text_config }, 'x').decoder).toMatchObject({
    keyValueHeads: 8,
    headDimension: 64,
    ropeTheta: 500000,
  });
  const beside = { ...text_config, rope_parameters: { rope_type: 'default' } };
  expect(parseJanusConfig({ ...port7B, text_config: beside }, 'x').decoder.ropeTheta).toBe(500000);
  const within = { ...text_config, rope_parameters: { rope_theta: 1e6 } };
  expect(parseJanusConfig({ ...port7B, text_config: within }, 'x').decoder.ropeTheta).toBe(1e6);
});

test.each<[string, unknown, string]>([
  ['another model', { model_type: 'llava' }, 'model_type is "llava"'],
  ['no text_config', { ...port7B, text_config: undefined }, 'text_config is missing'],
  [
    'a width of 0',
    { ...port7B, text_config: { ...port7B.text_config, hidden_size: 0 } },
    'text_config.hidden_size is 0',
  ],
  [
    'a width in words',
    { ...port7B, text_config: { ...port7B.text_config, hidden_size: '4096' } },
    'text_config.hidden_size is "4096"',
  ],
  [
    'heads that do not divide',
    { ...port7B, text_config: { ...port7B.text_config, num_key_value_heads: 5 } },
    'text_config.num_key_value_heads 5 does not divide',
  ],
  [
    'scaled rotary positions',
    { ...port7B, text_config: { ...port7B.text_config, rope_parameters: { rope_type: 'yarn' } } },
    'text_config.rope_parameters.rope_type is "yarn"',
  ],
  [
    'scaled rotary positions under the older key',
    { ...port7B, text_config: { ...port7B.text_config, rope_parameters: { type: 'linear', factor: 2 } } },
    'text_config.rope_parameters.type is "linear"',
  ],
  [
    'tied tables',
    { ...port7B, text_config: { ...port7B.text_config, tie_word_embeddings: true } },
    'text_config.tie_word_embeddings is true',
  ],
  [
    'an aligner of another width',
    { ...port7B, vision_config: {} },
    'vision_config.projection_dim is 2048, but text_config.hidden_size is 4096',
  ],
  [
    'a tower nobody knows',
    { ...original7B, vision_config: { cls: 'CLIPVisionTower', params: { model_name: 'giant' } } },
    'vision_config.params.model_name is not known',
  ],
  [
    'heads of another codec',
    {
      ...original7B,
      gen_head_config: {
        cls: 'vision_head',
        params: { image_token_embed: 4096, image_token_size: 8192, n_embed: 4096 },
      },
    },
    'gen_head_config.params.image_token_size is 8192',
  ],
  ['a list', [], 'the file is not an object'],
])('%s is refused by its key', (_, json, message) => {
  expect(() => parseJanusConfig(json, 'config.json')).toThrow(message);
});

test('a file that is not JSON, and one that is not there', () => {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  writeFileSync(join(directory, 'config.json'), '{');
  expect(() => readJanusConfig(join(directory, 'config.json'))).toThrow('is not JSON');
  expect(() => readJanusConfig(join(directory, 'other.json'))).toThrow('cannot be read');
  rmSync(directory, { recursive: true });
});
