import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { packPictures, unpackPictures } from '../../../core/nn/pictures.ts';
import { publishedVqConfig } from '../../../core/io/vq-config.ts';
import { fromVqCheckpoint, toVqCheckpoint } from '../../../core/nn/vq-checkpoint.ts';
import { codebookName, nanoCodec, vqCodec, type VqCodecConfig } from '../../../core/nn/vq-codec.ts';
import { quantizeToCodebook } from '../../../core/ops/codebook.ts';
import { reconstructionLoss } from '../../../core/ops/reconstruction-loss.ts';
import { CodeKeeper } from '../../../core/recipes/codec/codebook-restarts.ts';
import { at, maximumError, randomFloats } from '../../../core/testing.ts';

const tiny: VqCodecConfig = {
  imageSize: 8,
  baseChannels: 8,
  multipliers: [1, 2],
  encoderBlocks: [1, 1],
  decoderBlocks: [1, 1],
  attention: 'coarsest',
  groups: 4,
  latentChannels: 8,
  embeddingDimension: 8,
  codes: 16,
};

describe('the embedded codec', () => {
  const codec = vqCodec(nanoCodec);
  test('turns 48 x 48 into 6 x 6', () => expect(codec.gridSize).toBe(6));
  test('stays affordable on a software adapter', () => {
    expect(codec.operations / 1e6).toBeGreaterThan(60);
    expect(codec.operations / 1e6).toBeLessThan(110);
  });
});

describe('configurations', () => {
  test('a published one is read from its vq_config', () => {
    const published = {
      num_patches: 24,
      base_channels: 128,
      channel_multiplier: [1, 1, 2, 2, 4],
      num_res_blocks: 2,
      latent_channels: 256,
      embed_dim: 8,
      num_embeddings: 16384,
    };
    const codec = vqCodec(publishedVqConfig({ vq_config: published }, 'test') ?? nanoCodec);
    expect(codec.config.imageSize).toBe(384);
    expect(codec.config.decoderBlocks).toEqual([3, 3, 3, 3, 3]);
    // 71,883,403 published parameters, and the unused fourth picture channel of conv_in and conv_out.
    const count = codec.parameters.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
    expect(count).toBe(71_883_403 + 128 * 9 + 128 * 9 + 1);
  });
  test('the original form says the same, its vision tower the grid', () => {
    const original = {
      vision_config: { params: { image_size: 384 } },
      gen_vision_config: { params: { image_token_size: 16384, n_embed: 8 } },
    };
    const port = { vq_config: {}, vision_config: {} };
    expect(publishedVqConfig(original, 'test')).toEqual(publishedVqConfig(port, 'test'));
    expect(publishedVqConfig({}, 'test')).toBeUndefined();
  });
  test('a bad field is named', () => {
    expect(() => publishedVqConfig({ vq_config: { channel_multiplier: [1] } }, 'test')).toThrow(
      'vq_config.num_patches is missing',
    );
    expect(() => publishedVqConfig({ vq_config: { num_patches: 4, channel_multiplier: [] } }, 'test')).toThrow(
      'vq_config.channel_multiplier',
    );
  });
  test('levels and blocks must agree', () =>
    expect(() => vqCodec({ ...nanoCodec, encoderBlocks: [1, 1] })).toThrow(
      '4 levels needs 4 encoderBlocks and decoderBlocks (given 2 and 4)',
    ));
  test('groups must divide the channels', () =>
    expect(() => vqCodec({ ...nanoCodec, groups: 3 })).toThrow('16 channels do not divide into 3 groups'));
});

describe('pictures', () => {
  test('come back unchanged', () => {
    const image = { width: 4, height: 4, data: Uint8Array.from({ length: 48 }, (_, index) => (index * 37) % 256) };
    expect(unpackPictures(packPictures([image], 4), 4, 1)).toEqual([image]);
  });
  test('values outside the range are clipped', () => {
    const packed = new Float32Array(4).fill(3);
    expect([...(unpackPictures(packed, 1, 1)[0]?.data ?? [])]).toEqual([255, 255, 255]);
  });
  test('another size is refused', () => {
    expect(() => packPictures([{ width: 4, height: 2, data: new Uint8Array(24) }], 4)).toThrow(
      'a picture has 4 x 2 pixels and 24 bytes; the codec takes 4 x 4 RGB',
    );
  });
});

describe('on a device', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test('weights survive a file, but for the picture channel that does not exist there', async () => {
    const codec = vqCodec(tiny);
    const parameters = new ParameterSet(device, codec.parameters, { seed: 3 });
    const before = await parameters.read();
    const stored = toVqCheckpoint(before);
    expect(stored.get('model.vqmodel.encoder.conv_in.weight')?.shape).toEqual([8, 3, 3, 3]);
    expect(stored.get('model.vqmodel.decoder.conv_out.weight')?.shape).toEqual([3, 8, 3, 3]);
    expect(stored.get('model.vqmodel.decoder.conv_out.bias')?.shape).toEqual([3]);
    parameters.load(fromVqCheckpoint(codec, stored), 'the file');
    const after = await parameters.read();
    for (const [name, { data }] of before) {
      const found = after.get(name)?.data ?? new Float32Array();
      if (name === 'encoder.conv_in.weight') {
        expect(found.every((value, index) => value === (index % 4 === 3 ? 0 : at(data, index)))).toBe(true);
      } else if (name.startsWith('decoder.conv_out')) {
        const kept = (data.length / 4) * 3;
        expect(maximumError(found.subarray(0, kept), data.subarray(0, kept))).toBe(0);
        expect(found.subarray(kept).every((value) => value === 0)).toBe(true);
      } else expect(maximumError(found, data)).toBe(0);
    }
    parameters.close();
  });

  test('a file without a codec is refused', () => {
    expect(() =>
      fromVqCheckpoint(vqCodec(tiny), new Map([['lm_head.weight', { shape: [1], data: new Float32Array(1) }]])),
    ).toThrow('the file holds no codec');
  });

  test('the gradients of a whole codec point downhill', async () => {
    const codec = vqCodec(tiny);
    const images = 3;
    const trained = (name: string): boolean => name !== codebookName;
    const parameters = new ParameterSet(device, codec.parameters, { seed: 5, trainable: trained });
    const pictures = device.tensor(
      'pictures',
      [images, 8, 8, 4],
      'f32',
      randomFloats(images * 256, 6).map((value, index) => (index % 4 === 3 ? 0 : value)),
    );
    const workspace = new Workspace(device);
    const tape = new Tape(workspace);
    parameters.watch(tape);
    const segments = codec.segments(device, images);
    // The encoder's latent goes to the decoder as it is: with a codebook between them the loss would jump where a code changes.
    const decoded = codec.decode(tape, parameters, codec.encode(tape, parameters, pictures, segments), segments);
    const losses = tape.output(reconstructionLoss(tape, decoded, pictures));
    tape.backward();
    const program = await tape.finish('codec');
    const lossNow = async (): Promise<number> => {
      program.run();
      return (await device.readFloats(losses)).reduce((sum, value, index) => sum + (index % 2 === 0 ? value : 0), 0);
    };
    await lossNow();
    const gradients = await parameters.read('gradients');
    const values = await parameters.read();
    // Every layer for itself: the slope along its own gradient is the square of the gradient's length.
    for (const name of [
      'encoder.conv_in.weight',
      'encoder.down.0.downsample.conv.weight',
      'encoder.mid.attn_1.k.weight',
      'encoder.norm_out.bias',
      'quant_conv.weight',
      'decoder.up.0.upsample.conv.weight',
      'decoder.up.1.block.0.nin_shortcut.weight',
      'decoder.conv_out.bias',
    ]) {
      const gradient = gradients.get(name)?.data ?? new Float32Array();
      const value = values.get(name)?.data ?? new Float32Array();
      const length = Math.sqrt(gradient.reduce((sum, slope) => sum + slope * slope, 0));
      expect(length).toBeGreaterThan(0);
      const step = 2e-3;
      const moved = async (sign: number): Promise<number> => {
        device.write(
          parameters.get(name),
          value.map((each, index) => each + (sign * step * at(gradient, index)) / length),
        );
        return lossNow();
      };
      const slope = ((await moved(1)) - (await moved(-1))) / (2 * step);
      device.write(parameters.get(name), value);
      // |d| has a kink at every pixel, and f32 losses are differences of close numbers.
      expect(Math.abs(slope / length - 1), name).toBeLessThan(0.03);
    }
    program.dispose();
    workspace.close();
    parameters.close();
  });

  test('a picture is encoded alike alone and among others', async () => {
    const codec = vqCodec(tiny);
    const parameters = new ParameterSet(device, codec.parameters, { seed: 7 });
    const all = randomFloats(5 * 256, 8);
    const encode = async (images: number): Promise<Float32Array> => {
      const workspace = new Workspace(device);
      const tape = new Tape(workspace);
      const pictures = device.tensor('pictures', [images, 8, 8, 4], 'f32', all.slice(0, images * 256));
      const quantized = quantizeToCodebook(
        tape,
        codec.encode(tape, parameters, pictures, codec.segments(device, images)),
        parameters.get(codebookName),
      );
      const latent = tape.output(quantized.latent);
      const program = await tape.finish('encode');
      program.run();
      const values = await device.readFloats(latent);
      program.dispose();
      workspace.close();
      return values;
    };
    const alone = await encode(1);
    const among = await encode(5);
    expect(among.slice(0, alone.length)).toEqual(alone);
    parameters.close();
  });

  describe('CodeKeeper', () => {
    const options = { seed: 1, steps: 100, startCodesAt: 2, restartEvery: 5, restartUntil: 0.5 };
    const latent = randomFloats(8 * 4, 9);
    const rows = async (codebook: ReturnType<Device['tensor']>): Promise<string[]> => {
      const values = await device.readFloats(codebook);
      return Array.from({ length: values.length / 4 }, (_, row) => values.subarray(row * 4, row * 4 + 4).join());
    };
    const latents = Array.from({ length: 8 }, (_, row) => latent.subarray(row * 4, row * 4 + 4).join());

    test('starts from distinct latents, then moves codes nobody chose to the worst served', async () => {
      const codebook = device.tensor('codebook', [3, 4]);
      const keeper = new CodeKeeper(device, codebook, options);
      const codes = Uint32Array.of(0, 0, 0, 0, 0, 0, 0, 2);
      const losses = Float32Array.of(0, 0, 0, 9, 0, 0, 0, 0);
      expect(keeper.after(1, codes, latent, losses)).toBe(0);
      expect(keeper.after(2, codes, latent, losses)).toBe(3);
      const started = await rows(codebook);
      expect(new Set(started).size).toBe(3);
      expect(started.every((row) => latents.includes(row))).toBe(true);
      expect(keeper.after(3, codes, latent, losses)).toBe(0);
      expect(keeper.after(5, codes, latent, losses)).toBe(1);
      expect(await rows(codebook)).toEqual([started[0], latents[3], started[2]]);
    });

    test('goes on from its state, and stops restarting in time', () => {
      const codebook = device.tensor('codebook', [3, 4]);
      const first = new CodeKeeper(device, codebook, options);
      first.after(2, Uint32Array.of(1), latent, new Float32Array(8));
      first.after(3, Uint32Array.of(1), latent, new Float32Array(8));
      const resumed = new CodeKeeper(device, codebook, options, first.state);
      expect(resumed.after(5, Uint32Array.of(0), latent, new Float32Array(8))).toBe(1);
      expect(resumed.after(55, Uint32Array.of(0), latent, new Float32Array(8))).toBe(0);
    });
  });
});
