/** The codec: codes to pixels, pixels to latents and codes. */
import { assignCodes, lookUpCodes, normalizeRows } from '../../../core/ops/codebook.ts';
import { codebookName } from '../../../core/nn/vq-codec.ts';
import { reshape, type Tensor } from '../../../core/tensor/tensor.ts';
import { at } from '../../../core/testing.ts';
import { bounds, compare, compute, farthest, type Bench, type Comparison } from '../comparison.ts';

/** Margins below this are ties in f32: the codes may differ. */
const tie = 1e-5;

export async function vq(bench: Bench): Promise<Comparison[]> {
  const { fixture, device } = bench;
  const pixels = await decodePixels(bench, fixture.words('vq.decode_codes'));
  const expected = fixture.shape('vq.encode_pixels_nchw');
  const [images = 0] = expected;
  const { codec } = fixture;
  const size = codec.config.imageSize;
  const dimension = codec.config.embeddingDimension;
  const weights = await fixture.codecWeights(device);
  const pictures = device.tensor(
    'pictures',
    [images, size, size, 4],
    'f32',
    toPictures(fixture.floats('vq.encode_pixels_nchw'), expected),
  );
  const segments = codec.segments(device, images);
  const [latent = new Float32Array(), codes = new Float32Array()] = await compute(bench, (tape) => {
    const encoded = codec.encode(tape, weights, pictures, segments);
    return [
      encoded,
      assignCodes(tape, normalizeRows(tape, encoded).normal, normalizeRows(tape, weights.get(codebookName)).normal),
    ];
  });
  weights.close();
  const margins = fixture.floats('vq.encode_margin');
  const wanted = fixture.words('vq.encode_codes');
  const clear = wanted.flatMap((code, index) => (at(margins, index) > tie ? [{ code, index }] : []));
  const wrong = clear.filter(({ code, index }) => codes[index] !== code).length;
  return [
    farthest('vq.decode_pixels_nchw', pixels, fixture.floats('vq.decode_pixels_nchw'), bounds.pixels),
    farthest(
      'vq.encode_latent_nchw',
      channelsFirst(latent, images, codec.gridSize ** 2, dimension, dimension),
      fixture.floats('vq.encode_latent_nchw'),
      bounds.latents,
    ),
    compare(
      `vq.encode_codes (wrong of ${clear.length} clear ones)`,
      clear.length === 0 ? Number.NaN : wrong,
      bounds.exact,
    ),
  ];
}

/** Pixels [B, 3, S, S] of codes, B · grid² of them, before clipping. */
export async function decodePixels(bench: Bench, ids: readonly number[]): Promise<Float32Array> {
  const { fixture, device } = bench;
  const { codec } = fixture;
  const images = ids.length / codec.gridSize ** 2;
  const weights = await fixture.codecWeights(device);
  const segments = codec.segments(device, images);
  const words: Tensor = device.tensor('codes', [ids.length], 'u32', Uint32Array.from(ids));
  const [pictures = new Float32Array()] = await compute(bench, (tape) => {
    const { normal } = normalizeRows(tape, weights.get(codebookName));
    const vectors = reshape(lookUpCodes(tape, words, normal), [
      images,
      codec.gridSize,
      codec.gridSize,
      codec.config.embeddingDimension,
    ]);
    return [codec.decode(tape, weights, vectors, segments)];
  });
  weights.close();
  return channelsFirst(pictures, images, codec.config.imageSize ** 2, 4, 3);
}

/** [B, 3, H, W] → [B, H, W, 4]. */
function toPictures(values: Float32Array, shape: readonly number[]): Float32Array {
  const [images = 0, channels = 0, height = 0, width = 0] = shape;
  const pixels = height * width;
  const result = new Float32Array(images * pixels * 4);
  for (let image = 0; image < images; image++)
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < pixels; p++)
        result[(image * pixels + p) * 4 + c] = at(values, (image * channels + c) * pixels + p);
  return result;
}

/** [B, H · W, stride] → the first `channels` as [B, channels, H · W]. */
function channelsFirst(
  values: Float32Array,
  images: number,
  pixels: number,
  stride: number,
  channels: number,
): Float32Array {
  return Float32Array.from({ length: images * channels * pixels }, (_, index) => {
    const p = index % pixels;
    const c = Math.floor(index / pixels) % channels;
    return at(values, (Math.floor(index / pixels / channels) * pixels + p) * stride + c);
  });
}
