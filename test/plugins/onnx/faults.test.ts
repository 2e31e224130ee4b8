/** Models, files and machines that are not as a judge needs them: one message each, that says where, what and what to do. */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Image } from '../../../core/plugin.ts';
import { encodePng } from '../../../core/io/image.ts';
import { clipOptions, openClip } from '../../../plugins/onnx/clip.ts';
import { detectorOptions, openDetector } from '../../../plugins/onnx/detector.ts';
import { ocrOptions, openOcr } from '../../../plugins/onnx/ocr.ts';
import { OnnxRuntime } from '../../../plugins/onnx/runtime.ts';
import { OnnxGraph } from '../../bench/peers/onnx-model.mjs';
import { change, copyOf, fixtures, never, ocrModel, pictureOf, replaceModel, temporaryFolder } from './models.ts';

const runtime = new OnnxRuntime({ threads: 1, warn: () => undefined });
afterAll(() => runtime.close());

const gray = (width: number, height: number): Image => ({
  width,
  height,
  data: new Uint8Array(width * height * 3).fill(90),
});

const openAt = (model: string, options: object = {}): ReturnType<typeof openDetector> =>
  openDetector(detectorOptions.parse({ model, ...options }), runtime);

/** What comes of opening a detector and asking it about a picture. */
async function asked(model: string, options: object = {}): Promise<unknown> {
  const judge = await openAt(model, options);
  return judge.detect(await pictureOf('detector/a.png'), never);
}

/** What comes of the detector as it should be. */
const right = asked(`${fixtures}detector`);

type Says = readonly [place: RegExp, message: RegExp, hint: RegExp];

async function refuses(answer: Promise<unknown>, [place, message, hint]: Says, code = 'BAD_ONNX_MODEL'): Promise<void> {
  await expect(answer).rejects.toMatchObject({
    name: 'ReasongenError',
    code,
    place: expect.stringMatching(place),
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  });
}

describe('a folder that is no detector', () => {
  const model = (folder: string): string => join(folder, 'onnx/model.onnx');
  test.each<[string, (folder: string) => string | void, Says]>([
    [
      'a file',
      (folder) => model(folder),
      [/model\.onnx$/, /it is a file, not the folder of a model/, /folder of a model/],
    ],
    [
      'without models',
      (folder) => rmSync(model(folder)),
      [/detector$/, /has no model\.onnx, and no file \.onnx at all/, /give the folder/],
    ],
    [
      'with models of other names',
      (folder) => {
        copyFileSync(model(folder), join(folder, 'onnx/model_fp16.onnx'));
        renameSync(model(folder), join(folder, 'onnx/model_q4.onnx'));
      },
      [/detector$/, /no model\.onnx, but onnx\/model_fp16\.onnx, onnx\/model_q4\.onnx/, /file: onnx/],
    ],
    [
      'without config.json',
      (folder) => rmSync(join(folder, 'config.json')),
      [/detector$/, /the folder has no config\.json/, /config\.json/],
    ],
    [
      'without preprocessor_config.json',
      (folder) => rmSync(join(folder, 'preprocessor_config.json')),
      [/detector$/, /has no preprocessor_config\.json/, /preprocessor_config\.json/],
    ],
    [
      'with a config that is no JSON',
      (folder) => writeFileSync(join(folder, 'config.json'), '<html>'),
      [/config\.json$/, /it is not JSON/, /config\.json/],
    ],
    [
      'with a config that is not text',
      (folder) => writeFileSync(join(folder, 'config.json'), Buffer.of(0xff, 0, 1)),
      [/config\.json$/, /it is not JSON: .*UTF-8/, /config\.json/],
    ],
    [
      'of no classes',
      (folder) => change(folder, 'config.json', (json) => delete json['id2label']),
      [/config\.json$/, /^id2label: /, /config\.json/],
    ],
    [
      'that resizes in another way',
      (folder) => change(folder, 'preprocessor_config.json', (json) => (json['resample'] = 1)),
      [/preprocessor_config\.json$/, /^resample: only 2 \(bilinear\) and 3 \(bicubic\)/, /./],
    ],
    [
      'of pictures of another size',
      (folder) => change(folder, 'preprocessor_config.json', (json) => (json['size'] = { height: 32, width: 64 })),
      [
        /model\.onnx$/,
        /takes pictures of the form \[1, 3, 64, 64\].* makes \[1, 3, 32, 64\]/,
        /preprocessor_config\.json/,
      ],
    ],
    [
      'of a class less than its names',
      (folder) =>
        change(folder, 'config.json', (json) => ((json['id2label'] as Record<string, string>)['80'] = 'unicorn')),
      [/model\.onnx$/, /scores 80 classes, and its config\.json names 81/, /config\.json that came with this file/],
    ],
    [
      'of a kind whose classes have one for nothing',
      (folder) => change(folder, 'config.json', (json) => (json['model_type'] = 'detr')),
      [/model\.onnx$/, /scores 80 classes, and its config\.json names 80 and one for nothing/, /config\.json/],
    ],
    [
      'cut off',
      (folder) => truncateSync(model(folder), 30_000),
      [/model\.onnx$/, /cannot open the model: .*Protobuf parsing failed/, /fetch it again/],
    ],
    [
      'empty',
      (folder) => truncateSync(model(folder), 0),
      [/model\.onnx$/, /cannot open the model: /, /fetch it again/],
    ],
    [
      'of a text',
      (folder) => writeFileSync(model(folder), 'version https://git-lfs.github.com/spec/v1\n'),
      [/model\.onnx$/, /cannot open the model: /, /fetch it again/],
    ],
    [
      'of another task',
      (folder) => replaceModel(folder, join(fixtures, 'clip/onnx/text_model.onnx')),
      [/model\.onnx$/, /takes no pixel_values, but input_ids, attention_mask/, /logits and pred_boxes/],
    ],
    [
      'that gives something else',
      (folder) => replaceModel(folder, join(fixtures, 'clip/onnx/vision_model.onnx')),
      [/model\.onnx$/, /gives no logits, but image_embeds/, /logits and pred_boxes/],
    ],
    [
      'of half precision',
      (folder) => writeFileSync(model(folder), halfDetector()),
      [/model\.onnx$/, /its pixel_values is float16/, /file with float32/],
    ],
    [
      'whose boxes are corners and classes',
      (folder) => writeFileSync(model(folder), detectorOf([1, 6, 3], [1, 5, 4])),
      [/model\.onnx$/, /classes of the form \[1, 6, 3\] and places of the form \[1, 5, 4\]/, /families/],
    ],
  ])('%s', async (_, spoil, says) => {
    const folder = copyOf('detector');
    const path = spoil(folder) ?? folder;
    await refuses(asked(path), says);
  });

  test('a file that is named and not there', async () => {
    await refuses(asked(`${fixtures}detector`, { file: 'onnx/big.onnx' }), [
      /detector$/,
      /it has no file onnx\/big\.onnx, but onnx\/model\.onnx/,
      /a file that the folder has/,
    ]);
  });
});

describe('a folder that is one all the same', () => {
  test('a snapshot in a hub cache, all of whose files are links', async () => {
    const snapshot = join(temporaryFolder(), 'models--owner--name/snapshots/abc');
    const blobs = join(snapshot, '../../blobs');
    for (const name of ['config.json', 'preprocessor_config.json', 'onnx/model.onnx']) {
      const blob = join(blobs, name.replaceAll('/', '-'));
      for (const folder of [blobs, dirname(join(snapshot, name))]) mkdirSync(folder, { recursive: true });
      copyFileSync(join(fixtures, 'detector', name), blob);
      symlinkSync(relative(dirname(join(snapshot, name)), blob), join(snapshot, name));
    }
    expect(await asked(snapshot)).toEqual(await right);
  });

  test('the only model of a folder, wherever it lies', async () => {
    const folder = copyOf('detector');
    renameSync(join(folder, 'onnx/model.onnx'), join(folder, 'rtdetr.onnx'));
    expect(await asked(folder)).toEqual(await right);
  });

  test('ids without a class are never found, and those behind them are', async () => {
    const folder = copyOf('detector');
    const seen = (await asked(`${fixtures}detector`, { most: 1000 })) as { label: string }[];
    const [gone, renamed] = [...new Set(seen.map(({ label }) => label))] as [string, string];
    change(folder, 'config.json', (json) => {
      const labels = json['id2label'] as Record<string, string>;
      const idOf = (name: string): string => Object.keys(labels).find((id) => labels[id] === name) ?? '';
      labels[idOf(gone)] = 'N/A';
      delete labels[idOf(renamed)];
    });
    const found = ((await asked(folder, { most: 1000 })) as { label: string }[]).map(({ label }) => label);
    expect(found).toEqual(seen.map(({ label }) => label).filter((label) => label !== gone && label !== renamed));
  });

  test('a kind that is not known, by the number of its classes', async () => {
    const folder = copyOf('detector');
    change(folder, 'config.json', (json) => (json['model_type'] = 'brand_new_detr'));
    expect((await openAt(folder)).title).toBe('brand_new_detr');
    expect(await asked(folder)).toEqual(await right);
  });

  test('DETR: a mask of pixels is asked for, classes have one for nothing, the shortest side is resized', async () => {
    const folder = copyOf('detector');
    writeFileSync(join(folder, 'onnx/model.onnx'), detrModel());
    change(folder, 'config.json', (json) =>
      Object.assign(json, { model_type: 'detr', id2label: { 0: 'N/A', 1: 'cat', 2: 'dog' } }),
    );
    change(folder, 'preprocessor_config.json', (json) => (json['size'] = { shortest_edge: 40, longest_edge: 100 }));
    const judge = await openAt(folder);
    const found = await judge.detect(gray(60, 30), never);
    // The first query: logits 0, 3, 0 and 0 for nothing; the other is nothing.
    expect(found).toEqual([
      {
        label: 'cat',
        score: expect.closeTo(Math.exp(3) / (Math.exp(3) + 3), 6),
        box: [15, 7.5, 45, 22.5].map((edge) => expect.closeTo(edge, 5)),
      },
    ]);
  });
});

describe('pictures', () => {
  test.each([
    [1, 1],
    [1, 199],
    [199, 1],
    [3, 2000],
  ])('of %i x %i pixels are looked at', async (width, height) => {
    for (const kind of ['detector', 'segmenter']) {
      const found = await (await openAt(`${fixtures}${kind}`)).detect(gray(width, height), never);
      for (const { box, score, mask } of found) {
        for (const value of [...box, score]) expect(Number.isFinite(value)).toBe(true);
        if (mask !== undefined)
          expect([mask.width, mask.height, mask.bits.length]).toEqual([width, height, width * height]);
      }
    }
    const clip = await openClip(clipOptions.parse({ model: `${fixtures}clip` }), runtime);
    const [cosine = Number.NaN] = await clip.similarity(gray(width, height), ['a cat'], never);
    expect(Math.abs(cosine)).toBeLessThanOrEqual(1);
  });

  test('a line too long to be resized is refused in words', async () => {
    const clip = await openClip(clipOptions.parse({ model: `${fixtures}clip` }), runtime);
    await expect(clip.similarity(gray(1, 100_000), ['a cat'], never)).rejects.toMatchObject({
      code: 'PICTURE_TOO_NARROW',
      message: expect.stringMatching(/1 x 100000 pixels is too narrow/),
    });
  });
});

describe('a folder that is no CLIP', () => {
  test.each<[string, (folder: string) => void, Says]>([
    [
      'without the text tower',
      (folder) => rmSync(join(folder, 'onnx/text_model.onnx')),
      [/clip$/, /no text_model\.onnx, but onnx\/vision_model\.onnx/, /./],
    ],
    [
      'of SigLIP',
      (folder) => change(folder, 'config.json', (json) => (json['model_type'] = 'siglip')),
      [/config\.json$/, /model_type: /, /./],
    ],
    [
      'with towers exchanged',
      (folder) => {
        renameSync(join(folder, 'onnx/text_model.onnx'), join(folder, 'onnx/other.onnx'));
        renameSync(join(folder, 'onnx/vision_model.onnx'), join(folder, 'onnx/text_model.onnx'));
        renameSync(join(folder, 'onnx/other.onnx'), join(folder, 'onnx/vision_model.onnx'));
      },
      [/vision_model\.onnx$/, /takes no pixel_values, but input_ids/, /picture tower of CLIP/],
    ],
    [
      'with a picture tower that is cut off',
      (folder) => truncateSync(join(folder, 'onnx/vision_model.onnx'), 5000),
      [/vision_model\.onnx$/, /cannot open the model/, /fetch it again/],
    ],
  ])('%s', async (_, spoil, says) => {
    const folder = copyOf('clip');
    spoil(folder);
    const answer = openClip(clipOptions.parse({ model: folder }), runtime).then((clip) =>
      clip.similarity(gray(32, 32), ['a cat'], never),
    );
    await refuses(answer, says);
  });

  test('without a tokenizer', async () => {
    const folder = copyOf('clip');
    rmSync(join(folder, 'tokenizer.json'));
    await expect(openClip(clipOptions.parse({ model: folder }), runtime)).rejects.toMatchObject({
      code: 'BAD_TOKENIZER_FILE',
    });
  });
});

describe('a folder that is no PP-OCR', () => {
  const parts = readdirSync(ocrModel).filter((name) => !name.includes('cls'));
  test.each<[string, (folder: string) => void, Says]>([
    [
      'without the reader',
      (folder) => rmSync(join(folder, parts.find((name) => name.includes('_rec_')) ?? '')),
      [/./, /no model with rec in its name, only /, /keys/],
    ],
    [
      'without characters',
      (folder) => rmSync(join(folder, 'ppocr_keys_v1.txt')),
      [/./, /no list of characters, only /, /keys/],
    ],
    [
      'with two lists of characters',
      (folder) => writeFileSync(join(folder, 'en_dict.txt'), 'a\n'),
      [/./, /more than one list of characters: en_dict\.txt, ppocr_keys_v1\.txt/, /one/],
    ],
    [
      'with characters of another language',
      (folder) => writeFileSync(join(folder, 'ppocr_keys_v1.txt'), 'a\nb\nc\n'),
      [/_rec_.*onnx$/, /tells 6625 characters apart, and the list beside it has 3/, /came with this model/],
    ],
  ])('%s', async (_, spoil, says) => {
    const folder = temporaryFolder();
    for (const name of parts) copyFileSync(join(ocrModel, name), join(folder, name));
    spoil(folder);
    const answer = (async () =>
      (await openOcr(ocrOptions.parse({ model: folder }), runtime)).read(await pictureOf('ocr/lines.png'), never))();
    await refuses(answer, says);
  });
});

describe('pictures of which is known what must be found', () => {
  const golden = JSON.parse(readFileSync(join(fixtures, 'detector/golden.json'), 'utf8')) as {
    images: Record<string, { detections: { label: string; score: number; box: number[] }[] }>;
  };
  const [best] = golden.images['b.png']?.detections ?? [];
  const picture = join(fixtures, 'detector/b.png');

  async function askedKnowing(lines: readonly unknown[]): Promise<unknown> {
    const file = join(temporaryFolder(), 'known.jsonl');
    writeFileSync(file, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'));
    return asked(`${fixtures}detector`, { knownPictures: file });
  }

  test('a judge that knows them answers', async () => {
    const { label = '', score = 0, box = [] } = best ?? {};
    expect(
      await askedKnowing([{ picture, detections: [{ label, score, box }] }, '', { picture, detections: [{ label }] }]),
    ).toEqual(await asked(`${fixtures}detector`));
  });

  test.each<[string, (detection: NonNullable<typeof best>) => object, RegExp]>([
    [
      'another thing',
      () => ({ label: 'giraffe', score: 0.9 }),
      /does not find \{"label":"giraffe","score":0\.9\} .* it finds toaster 0\.97/,
    ],
    ['another score', () => ({ label: 'toothbrush', score: 0.95 }), /does not find/],
    ['another place', ({ label, box }) => ({ label, box: box.map((edge) => edge + 30) }), /does not find/],
  ])('%s is refused before anything is judged', async (_, wrong, message) => {
    if (best === undefined) throw new Error('the fixture has no detection');
    await refuses(
      askedKnowing([{ picture, detections: [wrong(best)] }]),
      [/known\.jsonl:1$/, message, /preprocessing/],
      'JUDGE_FAILS_KNOWN_PICTURE',
    );
  });

  test.each<[string, unknown, RegExp, RegExp]>([
    ['nothing', '', /known\.jsonl$/, /it has no line/],
    ['no JSON', '{', /known\.jsonl:1$/, /it is not JSON/],
    ['no picture', { detections: [] }, /known\.jsonl:1$/, /does not name a picture/],
    ['what another judge knows', { picture, text: 'OPEN' }, /known\.jsonl:1$/, /detections/],
  ])('a file of %s', async (_, line, place, message) => {
    await refuses(askedKnowing([line]), [place, message, /"picture": "cat\.png"/], 'BAD_KNOWN_PICTURES');
  });

  test('a picture that is none', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'cat.png'), '<svg/>');
    writeFileSync(join(folder, 'known.jsonl'), '{ "picture": "cat.png", "detections": [] }\n');
    await refuses(
      asked(`${fixtures}detector`, { knownPictures: join(folder, 'known.jsonl') }),
      [/known\.jsonl:1$/, /cat\.png cannot be read: it is not a PNG/, /./],
      'BAD_KNOWN_PICTURES',
    );
  });

  test('CLIP and PP-OCR know theirs', async () => {
    const folder = temporaryFolder();
    const known = join(folder, 'known.jsonl');
    writeFileSync(join(folder, 'gray.png'), await encodePng(gray(40, 30)));
    const open = async (kind: 'clip' | 'ocr', line: object): Promise<unknown> => {
      writeFileSync(known, JSON.stringify(line));
      return kind === 'clip'
        ? (await openClip(clipOptions.parse({ model: `${fixtures}clip`, knownPictures: known }), runtime)).similarity(
            gray(32, 32),
            ['x'],
            never,
          )
        : (await openOcr(ocrOptions.parse({ model: ocrModel, knownPictures: known }), runtime)).read(
            gray(64, 64),
            never,
          );
    };
    const b = join(fixtures, 'clip/b.png');
    expect(await open('clip', { picture: b, similarities: { 'two clocks': 0.167 } })).toHaveLength(1);
    await refuses(
      open('clip', { picture: b, similarities: { 'two clocks': 0.3 } }),
      [/:1$/, /cosine of the picture and "two clocks" is 0\.1672, and is known to be 0\.3/, /./],
      'JUDGE_FAILS_KNOWN_PICTURE',
    );
    expect(await open('ocr', { picture: join(fixtures, 'ocr/lines.png'), text: 'Fresh bread open 24 hours' })).toEqual(
      [],
    );
    await refuses(
      open('ocr', { picture: 'gray.png', text: 'OPEN' }),
      [/:1$/, /"" is read in a picture that is known to say "OPEN"/, /./],
      'JUDGE_FAILS_KNOWN_PICTURE',
    );
  });
});

/** A detector that gives the same whatever it sees. */
function detectorOf(classes: number[], boxes: number[]): Uint8Array {
  const graph = new OnnxGraph();
  graph.input('pixel_values', [1, 3, 64, 64]);
  const size = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1);
  graph.node('Identity', [graph.weight('classes', classes, new Float32Array(size(classes)))], {}, 'logits');
  graph.node('Identity', [graph.weight('boxes', boxes, new Float32Array(size(boxes)))], {}, 'pred_boxes');
  graph.output('logits', classes);
  graph.output('pred_boxes', boxes);
  return graph.finish();
}

function halfDetector(): Uint8Array {
  // The type of an input is one number: float32 is 1, float16 is 10.
  const bytes = Buffer.from(detectorOf([1, 2, 80], [1, 2, 4]));
  const at = bytes.indexOf('pixel_values') + 'pixel_values'.length;
  bytes[bytes.indexOf(Buffer.of(8, 1), at) + 1] = 10;
  return bytes;
}

/** Two queries, three classes and nothing; what it finds depends on the mask, which must be all ones, and on a picture of 80 x 40. */
function detrModel(): Uint8Array {
  const graph = new OnnxGraph();
  graph.input('pixel_values', [1, 3, 'height', 'width']);
  graph.input('pixel_mask', [1, 'height', 'width'], 'int64');
  const classes = graph.weight('classes', [1, 2, 4], Float32Array.of(0, 3, 0, 0, 0, 0, 0, 9));
  const places = graph.weight('places', [1, 2, 4], Float32Array.of(0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0));
  const mean = graph.node('ReduceMean', [graph.node('Cast', ['pixel_mask'], { to: 1 })], {
    axes: [0, 1, 2],
    keepdims: 0,
  });
  graph.node('Mul', [classes, mean], {}, 'logits');
  graph.node('Mul', [places, mean], {}, 'pred_boxes');
  graph.output('logits', [1, 2, 4]);
  graph.output('pred_boxes', [1, 2, 4]);
  return graph.finish();
}
