/** The codec against a published implementation: reduced random weights and what PyTorch computes for them (test/golden/README.md). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/autograd/parameters.ts';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { readSafetensors, type StoredTensor } from '../../core/io/safetensors.ts';
import { fromVqCheckpoint, vqConfigOf } from '../../core/nn/vq-checkpoint.ts';
import { codebookName, vqCodec, type VqCodec } from '../../core/nn/vq-codec.ts';
import { assignCodes, lookUpCodes, normaliseRows } from '../../core/ops/codebook.ts';
import { reshape } from '../../core/tensor/tensor.ts';
import { at, maximumError } from '../../core/testing.ts';

const root = new URL('./janus/', import.meta.url);
const fixtures = readdirSync(fileURLToPath(root)).filter((name) => existsSync(new URL(`${name}/golden.safetensors`, root)));

/** [B, 3, H, W] → [B, H, W, 4]. */
function toPictures(values: Float32Array, shape: readonly number[]): Float32Array {
  const [images = 0, channels = 0, height = 0, width = 0] = shape;
  const pixels = height * width;
  const result = new Float32Array(images * pixels * 4);
  for (let image = 0; image < images; image++)
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < pixels; p++) result[(image * pixels + p) * 4 + c] = at(values, (image * channels + c) * pixels + p);
  return result;
}

/** [B, H, W, stride] → the first `channels` as [B, channels, H, W]. */
function channelsFirst(values: Float32Array, images: number, pixels: number, stride: number, channels: number): Float32Array {
  return Float32Array.from({ length: images * channels * pixels }, (_, index) => {
    const p = index % pixels;
    const c = Math.floor(index / pixels) % channels;
    return at(values, (Math.floor(index / pixels / channels) * pixels + p) * stride + c);
  });
}

test('fixtures are there', () => expect(fixtures).toContain('tiny-a'));

describe.each(fixtures)('%s', (name) => {
  const directory = new URL(`${name}/`, root);
  const path = (file: string): string => fileURLToPath(new URL(file, directory));
  let device: Device;
  let workspace: Workspace;
  let codec: VqCodec;
  let weights: ParameterSet;
  let golden: Map<string, StoredTensor>;

  beforeAll(async () => {
    device = await openDevice();
    workspace = new Workspace(device);
    codec = vqCodec(vqConfigOf(JSON.parse(readFileSync(path('config.json'), 'utf8')).vq_config));
    weights = new ParameterSet(device, codec.parameters, { seed: 0 });
    weights.load(fromVqCheckpoint(codec, await readSafetensors(path('model.safetensors'))), name);
    golden = await readSafetensors(path('golden.safetensors'));
  });
  afterAll(() => device.close());

  function expected(key: string): { shape: readonly number[]; floats: Float32Array; words: number[] } {
    const tensor = golden.get(key);
    if (tensor === undefined) throw new Error(`no ${key} in the fixture`);
    const { shape, data } = tensor;
    return { shape, floats: data instanceof Float32Array ? data : new Float32Array(), words: Array.from(data, Number) };
  }

  test('codes to pixels', async () => {
    const codes = expected('vq.decode_codes');
    const pixels = expected('vq.decode_pixels_nchw');
    const images = codes.shape[0] ?? 0;
    const tape = new Tape(workspace);
    const { normal } = normaliseRows(tape, weights.get(codebookName));
    const ids = device.tensor('codes', [codes.words.length], 'u32', Uint32Array.from(codes.words));
    const vectors = reshape(lookUpCodes(tape, ids, normal), [images, codec.gridSize, codec.gridSize, codec.config.embeddingDimension]);
    const out = tape.output(codec.decode(tape, weights, vectors, codec.segments(device, images)));
    const program = await tape.finish('decode');
    program.run();
    const size = codec.config.imageSize;
    const actual = channelsFirst(await device.readFloats(out), images, size * size, 4, 3);
    // Some fifty layers in f32; the order of sums differs.
    expect(maximumError(actual, pixels.floats)).toBeLessThan(1e-4);
    program.dispose();
  });

  test('pixels to latents and codes', async () => {
    const pixels = expected('vq.encode_pixels_nchw');
    const latent = expected('vq.encode_latent_nchw');
    const images = pixels.shape[0] ?? 0;
    const size = codec.config.imageSize;
    const tape = new Tape(workspace);
    const pictures = device.tensor('pictures', [images, size, size, 4], 'f32', toPictures(pixels.floats, pixels.shape));
    const encoded = codec.encode(tape, weights, pictures, codec.segments(device, images));
    const codes = assignCodes(tape, normaliseRows(tape, encoded).normal, normaliseRows(tape, weights.get(codebookName)).normal);
    const kept = [tape.output(encoded), tape.output(codes)] as const;
    const program = await tape.finish('encode');
    program.run();
    const dimension = codec.config.embeddingDimension;
    const actual = channelsFirst(await device.readFloats(kept[0]), images, codec.gridSize ** 2, dimension, dimension);
    expect(maximumError(actual, latent.floats)).toBeLessThan(1e-4);
    const margins = expected('vq.encode_margin').floats;
    const wanted = expected('vq.encode_codes').words;
    const chosen = await device.readWords(kept[1]);
    const wrong = wanted.flatMap((code, index) => (at(margins, index) > 1e-5 && chosen[index] !== code ? [index] : []));
    expect(wrong).toEqual([]);
    expect(margins.filter((margin) => margin > 1e-5).length).toBeGreaterThan(wanted.length / 2);
    program.dispose();
  });

  test('the original names hold the same weights', async () => {
    if (!existsSync(path('model-original.safetensors'))) return;
    const renamed = fromVqCheckpoint(codec, await readSafetensors(path('model-original.safetensors')));
    const ported = fromVqCheckpoint(codec, await readSafetensors(path('model.safetensors')));
    expect([...renamed.keys()].sort()).toEqual([...ported.keys()].sort());
    for (const [key, { data }] of ported) expect(maximumError(renamed.get(key)?.data ?? [], data)).toBe(0);
  });
});
