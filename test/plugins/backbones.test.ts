/** Both families of backbones: cached steps equal the full forward, gradients follow the loss, components build from a scope. */
import { describe, expect, test } from 'vitest';
import type { Backbone } from '../../core/contracts/backbone.ts';
import type { Plugin, Scope } from '../../core/contracts/slots.ts';
import { loadBuiltInPlugins } from '../../core/preset/plugins.ts';
import { randomFloats } from '../../core/testing.ts';
import { checkModel } from '../../core/testing/check-backbone.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';
import janus from '../../plugins/janus/index.ts';
import { qwenBackbone } from '../../plugins/qwen-vl/backbone.ts';
import { unifiedBackbone } from '../../plugins/unified/backbone.ts';
import unified from '../../plugins/unified/index.ts';
import { testDevice } from '../ops/device.ts';

const device = await testDevice();
const small = {
  hidden: 32,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  mlp: 40,
  ropeTheta: 10000,
  normEpsilon: 1e-6,
  textVocabulary: 23,
  imageVocabulary: 19,
};
/** Heads of 10, in three sections, whose halves are no whole vectors; the tower is not looked through. */
const qwenText = {
  ...{ hidden: 30, layers: 2, heads: 3, keyValueHeads: 1, headDimension: 10, sections: [1, 2, 2], mlp: 37 },
  ...{ ropeTheta: 10000, normEpsilon: 1e-6, vocabulary: 23, maxPositions: 64, isTied: false },
};
const tower = {
  ...{ width: 16, layers: 1, heads: 2, mlp: 20, patchSize: 4, frames: 2, merge: 2, hidden: 30, ropeTheta: 10000 },
  ...{ windows: { side: 2, fullBlocks: [0] }, deepstack: [] },
};
const rules = { minPixels: 64, maxPixels: 1024, mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };
const backbones: Backbone[] = [
  janusBackbone('janus', { ...small, codeDimension: 8, codebook: randomFloats(19 * 8, 9) }),
  unifiedBackbone('unified', { ...small, queryKeyNorm: true }),
  // Nothing is a multiple of four but the sum of the heads.
  unifiedBackbone('unified, odd widths', {
    ...small,
    hidden: 30,
    heads: 3,
    keyValueHeads: 1,
    mlp: 37,
    queryKeyNorm: true,
  }),
  unifiedBackbone('unified, narrow heads', { ...small, hidden: 33, headDimension: 2, queryKeyNorm: false }),
  qwenBackbone(
    'qwen2.5-vl, odd widths',
    { family: 'qwen2.5-vl', text: { ...qwenText, isTied: true }, vision: tower },
    rules,
  ),
  qwenBackbone(
    'qwen3-vl, narrow heads',
    { family: 'qwen3-vl', text: { ...qwenText, headDimension: 6, sections: [1, 1, 1] }, vision: tower },
    rules,
  ),
];

test.each(backbones.map((backbone) => [backbone.name, backbone] as const))(
  '%s: cached steps give what the full forward gives, and gradients follow the loss',
  (name, backbone) => checkModel(name, backbone, device),
);

describe('components', () => {
  // What the two tokenizers of a preset tell a backbone.
  const scope = {
    get: (slot: string) =>
      Promise.resolve(
        slot === 'tokenizer'
          ? { vocabularySize: 68 }
          : { vocabularySize: 256, embeddingDimension: 8, codebook: () => new Float32Array(2048).fill(0.5) },
      ),
  } as unknown as Scope;
  const build = async (plugin: Plugin, name: string, options: Readonly<Record<string, unknown>>): Promise<Backbone> => {
    const component = plugin.provides.find((candidate) => candidate.name === name);
    if (component === undefined) throw new Error(`no component ${name}`);
    return (await component.create(component.options.parse(options), scope)) as Backbone;
  };
  const count = ({ parameters }: Backbone): number =>
    parameters.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);

  test('janus-nano has the published size and starts from the codebook', async () => {
    const backbone = await build(janus, 'janus-nano', {});
    expect(count(backbone)).toBe(1_255_680);
    const codes = backbone.parameters.find(({ name }) => name === 'model.generation_embeddings.weight');
    expect(codes?.init).toEqual({ values: new Float32Array(2048).fill(0.5 * 2.8) });
  });

  test.each([
    ['heads of an even width', { hidden: 60, heads: 6 }],
    ['widths that are no whole number of vectors', { hidden: 30, heads: 3, keyValueHeads: 1, mlp: 37 }],
    ['heads apart from the residual stream', { hidden: 33, heads: 5, keyValueHeads: 5, headDimension: 6 }],
    ['the widest head', { headDimension: 512 }],
  ])('both families take %s', async (_what, sizes) => {
    const options = { hidden: 64, layers: 1, heads: 4, keyValueHeads: 2, mlp: 96, ...sizes };
    for (const [plugin, name] of [
      [janus, 'janus'],
      [unified, 'unified'],
    ] as const)
      await expect(build(plugin, name, options)).resolves.toMatchObject({ hiddenSize: options.hidden });
  });

  test('no summary claims a number of parameters, which the tokenizers of a preset decide', async () => {
    const plugins = await loadBuiltInPlugins([]);
    const summaries = plugins.flatMap(({ plugin }) =>
      plugin.provides.map(({ name, summary }) => `${name}: ${summary}`),
    );
    expect(summaries.length).toBeGreaterThan(20);
    expect(
      summaries.filter((summary) => /\d\s*(K|M|B|million|billion)?\s*(parameters|weights)\b/i.test(summary)),
    ).toEqual([]);
  });

  test('unified-nano shares one table and one head', async () => {
    const backbone = await build(unified, 'unified-nano', {});
    const rows = (name: string): number | undefined =>
      backbone.parameters.find((parameter) => parameter.name === name)?.shape[0];
    expect(rows('model.embed_tokens.weight')).toBe(68 + 256);
    expect(rows('lm_head.weight')).toBe(68 + 256);
  });

  test('sizes come from the options, heads that cannot be are refused', async () => {
    const options = { hidden: 64, layers: 3, heads: 4, keyValueHeads: 2, mlp: 96 };
    for (const [plugin, name] of [
      [janus, 'janus'],
      [unified, 'unified'],
    ] as const) {
      const backbone = await build(plugin, name, options);
      expect([backbone.layers, backbone.headDimension, backbone.keyValueHeads]).toEqual([3, 16, 2]);
      await expect(build(plugin, name, { ...options, keyValueHeads: 3 })).rejects.toThrow(/does not divide/);
      await expect(build(plugin, name, { ...options, heads: 64, keyValueHeads: 16 })).rejects.toThrow(
        /hidden \/ heads is 1; it must be an even number/,
      );
      await expect(build(plugin, name, { ...options, headDimension: 5 })).rejects.toThrow(/multiple of 2/);
      await expect(build(plugin, name, { ...options, headDimension: 514 })).rejects.toThrow(/<=512/);
      await expect(build(plugin, name, { ...options, width: 3 })).rejects.toThrow(/width/);
    }
  });
});
