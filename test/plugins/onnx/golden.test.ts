/** The judges on the reduced models of test/golden/evidence, held to PyTorch's values; and what others get wrong about such models. */
import { afterAll, describe, expect, test } from 'vitest';
import type { Detection, Image } from '../../../core/plugin.ts';
import { resizeBicubic, resizeBilinear } from '../../../core/nn/resize.ts';
import { at, maximumError } from '../../../core/testing.ts';
import { clipOptions, openClip, readClip } from '../../../plugins/onnx/clip.ts';
import { detectorOptions, openDetector } from '../../../plugins/onnx/detector.ts';
import { readConfig } from '../../../plugins/onnx/model-folder.ts';
import { pixelsOf, preprocessorSchema } from '../../../plugins/onnx/pixels.ts';
import { OnnxRuntime } from '../../../plugins/onnx/runtime.ts';
import { change, copyOf, fixtures, goldenOf, goldenTensor, never, pictureOf } from './models.ts';

const runtime = new OnnxRuntime({ threads: 1, warn: () => undefined });
afterAll(() => runtime.close());

const open = (kind: string): ReturnType<typeof openDetector> =>
  openDetector(detectorOptions.parse({ model: `${fixtures}${kind}`, most: 1000 }), runtime);

interface Expected {
  readonly query: number;
  readonly label: string;
  readonly score: number;
  readonly box: readonly number[];
  readonly mask_pixels?: number;
}
interface DetectionGolden {
  readonly threshold: number;
  readonly images: Readonly<
    Record<string, { readonly detections?: readonly Expected[]; readonly instances?: readonly Expected[] }>
  >;
}
interface ClipGolden {
  readonly colors: readonly string[];
  readonly classes: readonly string[];
  readonly templates: readonly string[];
  readonly logit_scale: number;
  readonly texts: Readonly<Record<string, readonly { readonly text: string; readonly ids: readonly number[] }[]>>;
  readonly images: Readonly<
    Record<
      string,
      {
        readonly classes: Readonly<
          Record<
            string,
            { readonly cosine: readonly number[]; readonly probability: readonly number[]; readonly predicted: string }
          >
        >;
        readonly similarity: { readonly texts: readonly string[]; readonly cosine: readonly number[] };
      }
    >
  >;
}

describe.each(['detector', 'segmenter', 'clip'])('pixels of the %s', (kind) => {
  test.each(['a', 'b'])('%s.png', async (name) => {
    const preprocessor = await readConfig(`${fixtures}${kind}`, 'preprocessor_config.json', preprocessorSchema);
    const { data } = pixelsOf(await pictureOf(`${kind}/${name}.png`), preprocessor);
    expect(maximumError(data as Float32Array, await goldenTensor(kind, `${name}.pixel_values`))).toBeLessThan(1e-6);
  });
});

describe.each([
  ['detector', 'RT-DETRv2'],
  ['segmenter', 'Mask2Former'],
])('%s', (kind, title) => {
  const golden = goldenOf(kind) as DetectionGolden;

  test.each(['a.png', 'b.png'])('finds in %s what PyTorch finds, in the same order', async (name) => {
    const judge = await open(kind);
    expect(judge.title).toBe(title);
    const expected = golden.images[name]?.detections ?? golden.images[name]?.instances ?? [];
    const found = (await judge.detect(await pictureOf(`${kind}/${name}`), never)).filter(
      ({ score }) => score > golden.threshold,
    );
    expect(expected.length).toBeGreaterThan(2);
    expect(found.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
    expect(
      maximumError(
        found.map(({ score }) => score),
        expected.map(({ score }) => score),
      ),
    ).toBeLessThan(5e-5);
    expect(
      maximumError(
        found.flatMap(({ box }) => [...box]),
        expected.flatMap(({ box }) => [...box]),
      ),
    ).toBeLessThan(3e-4);
    expect(found.map(({ mask }) => mask?.bits.reduce((sum, bit) => sum + bit, 0))).toEqual(
      expected.map(({ mask_pixels }) => mask_pixels),
    );
  });
});

describe('what others get wrong', () => {
  const expected = (goldenOf('detector') as DetectionGolden).images['a.png']?.detections ?? [];

  test('classes with a sigmoid each are no softmax, one query may be several things, and the last class is a class', async () => {
    const found = (await (await open('detector')).detect(await pictureOf('detector/a.png'), never)).filter(
      ({ score }) => score > 0.3,
    );
    // A softmax over eighty classes gives no two of one query 0.5 each.
    const boxes = new Map<string, number>();
    for (const { box } of found) boxes.set(String(box), (boxes.get(String(box)) ?? 0) + 1);
    expect(Math.max(...boxes.values())).toBeGreaterThan(1);
    expect(found.filter(({ label }) => label === 'toothbrush')).toHaveLength(
      expected.filter(({ label }) => label === 'toothbrush').length,
    );
    expect(expected.some(({ label }) => label === 'toothbrush')).toBe(true);
    expect(at(found, 0).box.every(Number.isInteger)).toBe(false);
  });

  test('masks of instances may overlap: none is cut off by another', async () => {
    const found = await (await open('segmenter')).detect(await pictureOf('segmenter/b.png'), never);
    const [first, second] = [at(found, 0).mask, at(found, 1).mask];
    const shared = first?.bits.filter((bit, pixel) => bit === 1 && second?.bits[pixel] === 1) ?? [];
    expect(shared.length).toBeGreaterThan(100);
  });

  test('a resize without antialias is another picture', async () => {
    const image = await pictureOf('clip/b.png');
    const nearest = (width: number, height: number): Image => ({
      width,
      height,
      data: Uint8Array.from({ length: width * height * 3 }, (_, index) => {
        const [x, y] = [Math.floor(index / 3) % width, Math.floor(index / 3 / width)];
        const from =
          Math.floor(((y + 0.5) * image.height) / height) * image.width + Math.floor(((x + 0.5) * image.width) / width);
        return at(image.data, from * 3 + (index % 3));
      }),
    });
    for (const resize of [resizeBicubic, resizeBilinear])
      expect(maximumError([...resize(image, 45, 32).data], [...nearest(45, 32).data])).toBeGreaterThan(30);
  });
});

describe('clip', () => {
  const golden = goldenOf('clip') as ClipGolden;
  const options = clipOptions.parse({ model: `${fixtures}clip` });

  test('texts have the ids of the published tokenizer, long ones end with the end', async () => {
    const { encode } = await readClip(options);
    for (const texts of Object.values(golden.texts))
      for (const { text, ids } of texts) expect(encode(text)).toEqual(ids);
    const long = encode('a photo of a red apple '.repeat(20));
    expect([long.length, long.at(-1)]).toEqual([24, 951]);
    expect(encode('<|endoftext|>').slice(1, -1)).not.toContain(951);
  });

  test.each(['a.png', 'b.png'])('%s: cosines of colors and of free texts', async (name) => {
    const judge = await openClip(options, runtime);
    const image = await pictureOf(`clip/${name}`);
    const { classes, similarity } = at([golden.images[name]!], 0);
    const cosines = await judge.similarity(image, similarity.texts, never);
    expect(maximumError(cosines, similarity.cosine)).toBeLessThan(9e-6);
    for (const [label, { cosine, probability, predicted }] of Object.entries(classes)) {
      const templates = golden.templates.map((text) => text.replace('COLOR', '{}').replace('CLASS', () => label));
      const whole: Detection = { label, score: 1, box: [0, 0, image.width, image.height] };
      const found = await judge.classify(image, whole, golden.colors, templates, never);
      expect(maximumError(found, cosine)).toBeLessThan(9e-6);
      const powers = found.map((value) => Math.exp(value * golden.logit_scale));
      const total = powers.reduce((sum, value) => sum + value, 0);
      expect(
        maximumError(
          powers.map((value) => value / total),
          probability,
        ),
      ).toBeLessThan(1e-4);
      expect(golden.colors[found.indexOf(Math.max(...found))]).toBe(predicted);
    }
  });

  test('results call it by its size, and by the published model that it was made from', async () => {
    const own = await openClip(options, runtime);
    expect([own.title, own.fingerprint['model']]).toEqual(['CLIP', 'clip']);
    const folder = copyOf('clip');
    change(folder, 'config.json', (json) =>
      Object.assign(json, {
        _name_or_path: 'openai/clip-vit-large-patch14',
        vision_config: { hidden_size: 1024, patch_size: 14 },
      }),
    );
    const published = await openClip(clipOptions.parse({ model: folder }), runtime);
    expect([published.title, published.fingerprint['model']]).toEqual(['CLIP L/14', 'openai/clip-vit-large-patch14']);
    for (const path of ['/home/somebody/clip', './clip', 'clip', '../a/b', 7]) {
      change(folder, 'config.json', (json) => Object.assign(json, { _name_or_path: path }));
      expect((await readClip(clipOptions.parse({ model: folder }))).fingerprint['model']).toBe('clip');
    }
  });
});
