/** Both families of backbones: cached steps equal the full forward, gradients follow the loss, components build from a scope. */
import { describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Backbone, KeyValueCache } from '../../core/contracts/backbone.ts';
import type { Plugin, Scope } from '../../core/contracts/slots.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { gatherRows, mergeRows } from '../../core/ops/rows.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { loadBuiltInPlugins } from '../../core/preset/plugins.ts';
import { at, maximumError, randomFloats, randomWords } from '../../core/testing.ts';
import { janusBackbone } from '../../plugins/janus/backbone.ts';
import janus from '../../plugins/janus/index.ts';
import { unifiedBackbone } from '../../plugins/unified/backbone.ts';
import unified from '../../plugins/unified/index.ts';
import { packTokens, rowOf, type Token } from '../support/packed.ts';
import { testDevice } from '../ops/device.ts';

const device = await testDevice();
const workspace = new Workspace(device);
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
];

const words = (values: readonly number[]): Tensor =>
  device.tensor('words', [values.length], 'u32', Uint32Array.from(values));

/** Text, then codes, then an end token, as the recipes lay it out. */
function sequence(text: number, codes: number, seed: number): Token[] {
  return [
    ...Array.from(randomWords(text, seed, 23), (id) => ({ id, isImage: false })),
    ...Array.from(randomWords(codes, seed + 1, 19), (id) => ({ id, isImage: true })),
    { id: 1, isImage: false },
  ];
}

/** Runs what `make` records once and reads what it returns. */
async function runOnce(make: (tape: Tape) => Tensor | undefined): Promise<Float32Array> {
  const tape = new Tape(workspace);
  const out = make(tape);
  const kept = out === undefined ? undefined : tape.output(out);
  const program = await tape.finish('test');
  program.run();
  const values = kept === undefined ? new Float32Array() : await device.readFloats(kept);
  await device.settle();
  program.dispose();
  return values;
}

function embedTokens(tape: Tape, backbone: Backbone, weights: ParameterSet, tokens: readonly Token[]): Tensor {
  const rowsOf = (isImage: boolean): number[] =>
    tokens.flatMap((token, row) => (token.isImage === isImage ? [row] : []));
  const idsOf = (isImage: boolean): Tensor =>
    words(tokens.filter((token) => token.isImage === isImage).map(({ id }) => id));
  if (rowsOf(true).length === 0) return backbone.embedText(tape, weights, idsOf(false));
  if (rowsOf(false).length === 0) return backbone.embedImage(tape, weights, idsOf(true));
  const text = backbone.embedText(tape, weights, idsOf(false));
  const image = backbone.embedImage(tape, weights, idsOf(true));
  return mergeRows(
    tape,
    [
      { x: text, rows: words(rowsOf(false)) },
      { x: image, rows: words(rowsOf(true)) },
    ],
    tokens.length,
  );
}

function emptyCache(backbone: Backbone, rows: number, capacity: number): KeyValueCache {
  const layers = (name: string): Tensor[] =>
    Array.from({ length: backbone.layers }, () =>
      device.tensor(name, [rows, capacity, backbone.keyValueHeads * backbone.headDimension]),
    );
  return {
    rows,
    capacity,
    cacheRows: words(Array.from({ length: rows }, (_, row) => row)),
    keys: layers('keys'),
    values: layers('values'),
  };
}

describe.each(backbones.map((backbone) => ({ name: backbone.name, backbone })))('$name', ({ backbone }) => {
  const { hiddenSize } = backbone;

  test('a prefill and cached steps give what the full forward gives', async () => {
    const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
    const sequences = [sequence(5, 4, 1), sequence(8, 3, 5), sequence(3, 6, 9)];
    const packed = packTokens(device, sequences);
    const expected = await runOnce((tape) => backbone.hidden(tape, weights, packed.tokens));

    const prompts = sequences.map((tokens, row) => tokens.slice(0, row + 1));
    const packedPrompts = packTokens(device, prompts);
    const cache = emptyCache(backbone, sequences.length, 12);
    const source = words(prompts.map((_, row) => packedPrompts.row(row, 0)));
    const length = words(prompts.map((tokens) => tokens.length));
    await runOnce((tape) => backbone.hidden(tape, weights, packedPrompts.tokens, { cache, source, length }));

    let compared = 0;
    for (let offset = 0; offset < 11; offset++) {
      // A finished row repeats its last token, which writes the same cache entry again.
      const places = sequences.map((tokens, row) => Math.min(row + 1 + offset, tokens.length - 1));
      const tokens = sequences.map((all, row) => all[at(places, row)] ?? { id: 0, isImage: false });
      const actual = await runOnce((tape) =>
        backbone.step(tape, weights, embedTokens(tape, backbone, weights, tokens), words(places), cache),
      );
      places.forEach((place, row) => {
        expect(
          maximumError(rowOf(actual, row, hiddenSize), rowOf(expected, packed.row(row, place), hiddenSize)),
        ).toBeLessThan(1e-5);
        compared++;
      });
    }
    expect(compared).toBe(33);
  });

  test('moving any weight along its gradient changes the loss by the gradient', async () => {
    const weights = new ParameterSet(device, backbone.parameters, { seed: 5, trainable: () => true });
    // The published spread starts so close to zero that f32 differences say little: use livelier weights.
    for (const { name, shape } of backbone.parameters) {
      const count = shape.reduce((product, n) => product * n, 1);
      const isGain = name.endsWith('norm.weight');
      device.write(
        weights.get(name),
        randomFloats(count, count + name.length, 0.4).map((value) => value + (isGain ? 1 : 0)),
      );
    }
    const sequences = [sequence(5, 4, 1), sequence(4, 7, 5)];
    const packed = packTokens(device, sequences);
    const tape = new Tape(workspace);
    weights.watch(tape);
    const states = backbone.hidden(tape, weights, packed.tokens);
    const parts = [false, true].map((isImage) => {
      const entries = sequences
        .flatMap((tokens, row) => tokens.map((token, index) => ({ token, row, index })))
        .filter(({ token, index }) => token.isImage === isImage && index > 0);
      const chosen = gatherRows(tape, states, words(entries.map(({ row, index }) => packed.row(row, index - 1))));
      const logits = isImage ? backbone.imageLogits(tape, weights, chosen) : backbone.textLogits(tape, weights, chosen);
      const scored = tokenLogProbability(tape, logits, words(entries.map(({ token }) => token.id)), { temperature: 1 });
      const slopes = randomFloats(entries.length * 2, 7);
      tape.seed(scored, device.tensor('slopes', [entries.length, 2], 'f32', slopes));
      return { slopes, kept: tape.output(scored) };
    });
    tape.backward();
    const program = await tape.finish('loss');
    const loss = async (): Promise<number> => {
      program.run();
      const values = await device.read(parts.map(({ kept }) => kept));
      return parts.reduce(
        (sum, { slopes }, part) =>
          sum + slopes.reduce((inner, slope, entry) => inner + slope * at(values[part] ?? [], entry), 0),
        0,
      );
    };
    await loss();
    const gradients = await weights.read('gradients');
    const values = await weights.read();
    for (const [name, { data }] of gradients) {
      const norm = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
      const origin = values.get(name)?.data ?? new Float32Array();
      const move = async (distance: number): Promise<number> => {
        device.write(
          weights.get(name),
          origin.map((value, index) => value + (distance * at(data, index)) / norm),
        );
        return loss();
      };
      const slope = ((await move(4e-3)) - (await move(-4e-3))) / 8e-3;
      device.write(weights.get(name), origin);
      expect(norm, name).toBeGreaterThan(1e-3);
      expect(Math.abs(slope - norm) / Math.max(norm, 0.1), name).toBeLessThan(5e-3);
    }
  });
});

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
