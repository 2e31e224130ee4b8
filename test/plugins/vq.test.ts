import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { writeSafetensors } from '../../core/io/safetensors.ts';
import { readSafetensors } from '../support/safetensors.ts';
import { toVqCheckpoint } from '../../core/nn/vq-checkpoint.ts';
import { vqCodec } from '../../core/nn/vq-codec.ts';
import { randomWords } from '../../core/testing.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { codecFromCheckpoint, codecFromFile, randomCodec } from '../../plugins/vq/source.ts';
import { vqOn } from '../support/vq.ts';

const codec = vqCodec({
  imageSize: 8,
  baseChannels: 8,
  multipliers: [1, 2],
  encoderBlocks: [1, 1],
  decoderBlocks: [1, 1],
  attention: 'middle',
  groups: 4,
  latentChannels: 8,
  embeddingDimension: 4,
  codes: 32,
});

const picture = (seed: number): { width: number; height: number; data: Uint8Array } => ({
  width: 8,
  height: 8,
  data: Uint8Array.from(randomWords(192, seed, 256)),
});

const tinyA = new URL('../golden/janus/tiny-a/', import.meta.url);

describe('the codec of a published model', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test('opens from its folder, and is the same codec under the original names', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'janus-original-'));
    copyFileSync(new URL('config.json', tinyA), join(folder, 'config.json'));
    copyFileSync(new URL('model-original.safetensors', tinyA), join(folder, 'model.safetensors'));
    const [port, original] = [await codecFromCheckpoint(fileURLToPath(tinyA)), await codecFromCheckpoint(folder)];
    rmSync(folder, { recursive: true });
    expect(original.hash).toBe(port.hash);
    expect(original.codebook).toEqual(port.codebook);
    expect(port.codec.config).toMatchObject({ imageSize: 8, codes: 64, multipliers: [1, 2] });
  });

  test('draws the bytes of the published code, the fraction cut off', async () => {
    const golden = await readSafetensors(fileURLToPath(new URL('golden.safetensors', tinyA)));
    const codes = Array.from(golden.get('generate.codes_greedy_w5')?.data ?? [], Number);
    const pixels = Array.from(golden.get('generate.pixels_nchw')?.data ?? [], Number);
    const tokenizer = vqOn(() => Promise.resolve(device), await codecFromCheckpoint(fileURLToPath(tinyA)));
    const [decoded] = await tokenizer.decode([codes]);
    await tokenizer.close();
    const expected = Array.from(
      { length: 8 * 8 * 3 },
      (_, index) => ((pixels[(index % 3) * 64 + Math.floor(index / 3)] ?? NaN) + 1) * 127.5,
    );
    // Where the exact value is this close to a whole number, the last bits of f32 decide.
    const clear = expected.flatMap((value, index) => (Math.abs(value - Math.round(value)) > 0.02 ? [index] : []));
    expect(clear.length).toBeGreaterThan(100);
    for (const index of clear)
      expect(decoded?.data[index]).toBe(Math.trunc(Math.min(255, Math.max(0, expected[index] ?? NaN))));
  });

  test('drawing loads the decoder alone', async () => {
    const source = await codecFromCheckpoint(fileURLToPath(tinyA));
    const opened: string[][] = [];
    const watched = {
      ...source,
      open: (on: Device, specs: Parameters<typeof source.open>[1]) => (
        opened.push(specs.map(({ name }) => name)),
        source.open(on, specs)
      ),
    };
    const tokenizer = vqOn(() => Promise.resolve(device), watched);
    const [decoded] = await tokenizer.decode([Array.from(randomWords(16, 1, 64))]);
    expect(decoded).toMatchObject({ width: 8, height: 8 });
    expect(opened).toHaveLength(1);
    expect(opened[0]?.filter((name) => name.startsWith('encoder.'))).toEqual([]);
    await tokenizer.encode(decoded === undefined ? [] : [decoded]);
    expect(opened).toHaveLength(2);
    await tokenizer.close();
  });

  test('random weights need no file and depend on the seed', async () => {
    const config = { ...codec.config, groups: 4 };
    const draw = async (seed: number): Promise<Uint8Array | undefined> => {
      const tokenizer = vqOn(() => Promise.resolve(device), randomCodec(config, seed));
      const [decoded] = await tokenizer.decode([Array.from(randomWords(16, 1, 32))]);
      await tokenizer.close();
      return decoded?.data;
    };
    expect(await draw(1)).toEqual(await draw(1));
    expect(await draw(1)).not.toEqual(await draw(2));
  });

  test('a folder without config.json is refused', async () => {
    await expect(codecFromCheckpoint(tmpdir())).rejects.toThrow('no config.json');
  });
});

describe('vq', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vq-'));
  const path = join(directory, 'codec.safetensors');
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
    const parameters = new ParameterSet(device, codec.parameters, { seed: 2 });
    await writeSafetensors(path, toVqCheckpoint(await parameters.read()), { codec: JSON.stringify(codec.config) });
    parameters.close();
  });
  afterAll(() => {
    device.close();
    rmSync(directory, { recursive: true });
  });

  test('a trained codec opens with the sizes it carries, and needs no device until a picture comes', async () => {
    const tokenizer = vqOn(() => Promise.reject(new Error('no device now')), await codecFromFile(path));
    expect(tokenizer.grid).toEqual({ rows: 4, columns: 4 });
    expect(tokenizer.vocabularySize).toBe(32);
    expect(tokenizer.hash).toMatch(/^[0-9a-f]{64}$/);
    const vectors = tokenizer.codebook();
    expect(vectors).toHaveLength(32 * 4);
    for (let row = 0; row < 32; row++) expect(Math.hypot(...vectors.subarray(row * 4, row * 4 + 4))).toBeCloseTo(1, 5);
    await expect(tokenizer.encode([picture(1)])).rejects.toThrow('no device now');
  });

  test('any number of pictures, each alike alone and among others', async () => {
    const tokenizer = vqOn(() => Promise.resolve(device), await codecFromFile(path));
    const pictures = Array.from({ length: 37 }, (_, index) => picture(index));
    const [codes, last] = await Promise.all([tokenizer.encode(pictures), tokenizer.encode(pictures.slice(-1))]);
    expect(codes).toHaveLength(37);
    expect(last[0]).toEqual(codes[36]);
    expect(new Set(codes.flat()).size).toBeGreaterThan(4);
    const [all, alone] = await Promise.all([tokenizer.decode(codes), tokenizer.decode(codes.slice(-1))]);
    expect(all).toHaveLength(37);
    expect(alone[0]).toEqual(all[36]);
    const before = device.allocatedBytes;
    await tokenizer.close();
    expect(device.allocatedBytes).toBeLessThan(before);
  });

  test('closing gives everything back', async () => {
    const before = device.allocatedBytes;
    const tokenizer = vqOn(() => Promise.resolve(device), await codecFromFile(path));
    await tokenizer.decode(await tokenizer.encode([picture(1)]));
    await tokenizer.close();
    // The read-back buffer belongs to the device and may have grown; nothing else stays.
    await device.settle();
    expect(device.allocatedBytes - before).toBeLessThan(64 * 1024);
  });

  test('codes that are none are refused, by picture', async () => {
    const tokenizer = vqOn(() => Promise.resolve(device), await codecFromFile(path));
    expect(() => tokenizer.decode([new Array<number>(16).fill(0), new Array<number>(16).fill(32)])).toThrow(
      'picture 1 has the code 32, not one of 0 … 31',
    );
    expect(() => tokenizer.decode([[1, 2]])).toThrow('picture 0 has 2 codes instead of 16');
  });

  test('a file that does not say its sizes needs the config of its model', async () => {
    const bare = join(directory, 'bare.safetensors');
    const parameters = new ParameterSet(device, codec.parameters, { seed: 2 });
    await writeSafetensors(bare, toVqCheckpoint(await parameters.read()));
    parameters.close();
    await expect(codecFromFile(bare)).rejects.toThrow('does not say the sizes');
    const config = join(directory, 'config.json');
    writeFileSync(config, '{"text_config":{}}');
    await expect(codecFromFile(bare, config)).rejects.toThrow('no vq_config');
  });
});

describe('weights of another codec than the configuration says', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vq-sizes-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  type Sizes = Record<string, unknown>;
  const golden = JSON.parse(readFileSync(new URL('config.json', tinyA), 'utf8')) as { vq_config: Sizes };
  test.each([
    ['channels', { base_channels: 64 }, /encoder\.conv_in\.weight is \[\d+,3,3,3\], the codec needs \[64,3,3,3\]/],
    ['latent channels', { latent_channels: 64 }, /does not fit/],
    ['codes', { num_embeddings: 128 }, /quantize\.embedding\.weight is \[64,\d+\], the codec needs \[128,\d+\]/],
    ['a level more', { channel_multiplier: [1, 2, 2] }, /missing: encoder/],
    ['a level less', { channel_multiplier: [1] }, /does not fit the sizes/],
    ['blocks', { num_res_blocks: 3 }, /missing: /],
  ])('is refused before a picture is drawn: %s', async (_, change, message) => {
    for (const file of ['model.safetensors', 'model-original.safetensors']) {
      copyFileSync(new URL(file, tinyA), join(folder, 'model.safetensors'));
      writeFileSync(
        join(folder, 'config.json'),
        JSON.stringify({ ...golden, vq_config: { ...golden.vq_config, ...change } }),
      );
      await expect(codecFromCheckpoint(folder)).rejects.toMatchObject({
        code: 'CHECKPOINT_SHAPE',
        message: expect.stringMatching(message) as string,
      });
    }
  });
});

describe('precision', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test('pictures are drawn in it, each by itself, and codes are made in f32', async () => {
    const source = await codecFromFile(
      fileURLToPath(new URL('../../plugins/vq/nano/codec.safetensors', import.meta.url)),
    );
    const seen = [1, 2, 3, 4, 5].map((seed) => ({
      ...{ width: 48, height: 48 },
      data: Uint8Array.from({ length: 48 * 48 * 3 }, (_, place) => ((place >> seed) * 37 * seed) % 256),
    }));
    const open = (precision: 'f32' | 'f16' | 'f32-split') => vqOn(() => Promise.resolve(device), source, precision);
    const plain = open('f32');
    const codes = await plain.encode(seen);
    const pictures = await plain.decode(codes);
    const [hasMatrices] = usableShapes(device);
    for (const [precision, most] of [
      ['f16', 3],
      ['f32-split', 1],
    ] as const) {
      const tokenizer = open(precision);
      expect(await tokenizer.encode(seen)).toEqual(codes);
      const drawn = await tokenizer.decode(codes);
      const apart = drawn.map(({ data }, index) =>
        data.reduce((sum, byte, place) => Math.max(sum, Math.abs(byte - (pictures[index]?.data[place] ?? NaN))), 0),
      );
      for (const difference of apart) expect(difference).toBeLessThanOrEqual(hasMatrices ? most : 0);
      if (hasMatrices && precision === 'f16') expect(Math.max(...apart)).toBeGreaterThan(0);
      // Five are drawn in a batch of 32, one in a batch of four.
      expect(await tokenizer.decode(codes.slice(3, 4))).toEqual(drawn.slice(3, 4));
      await tokenizer.close();
    }
    await plain.close();
  });
});
