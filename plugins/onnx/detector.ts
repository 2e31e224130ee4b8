/** Boxes and masks by a detector exported to ONNX. */
import { z, type Detection, type Image } from '../../core/plugin.ts';
import { detectionsOf, instancesOf, type ClassScores, type DetectionLimits } from './detections.ts';
import { checkedOnce, knownPicturesOption, readKnownPictures, unknown } from './known-pictures.ts';
import {
  badModel,
  findModelFile,
  modelHash,
  modelNameOf,
  readConfig,
  requireInterface,
  requireSize,
} from './model-folder.ts';
import { fileOption, modelOption, threadsOption, type JudgeThat } from './options.ts';
import { pixelsOf, preprocessorSchema, type Preprocessor } from './pixels.ts';
import type { OnnxRuntime } from './runtime.ts';
import type { OnnxInterface, OnnxTensor } from './worker.mjs';

export const detectorOptions = z.strictObject({
  model: modelOption('a detector exported to ONNX'),
  file: fileOption,
  title: z.string().min(1).optional().describe('what results call the judge; the kind of model unless told'),
  floor: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe('least score of what is given at all; rewards and benchmarks have thresholds of their own above it'),
  most: z.number().int().positive().default(100).describe('most detections in a picture, the surest'),
  threads: threadsOption,
  knownPictures: knownPicturesOption,
});

type DetectorOptions = z.output<typeof detectorOptions>;

const configSchema = z.looseObject({
  model_type: z.string().min(1),
  id2label: z.record(z.string().regex(/^\d+$/), z.string()),
});

/** How a kind of model scores classes, and what results call it. Another kind is told by the number of its classes. */
const kinds: ReadonlyMap<string, { readonly scores: ClassScores; readonly title: string }> = new Map([
  ['rt_detr', { scores: 'sigmoid', title: 'RT-DETR' }],
  ['rt_detr_v2', { scores: 'sigmoid', title: 'RT-DETRv2' }],
  ['d_fine', { scores: 'sigmoid', title: 'D-FINE' }],
  ['rf_detr', { scores: 'sigmoid', title: 'RF-DETR' }],
  ['deformable_detr', { scores: 'sigmoid', title: 'Deformable DETR' }],
  ['conditional_detr', { scores: 'sigmoid', title: 'Conditional DETR' }],
  ['detr', { scores: 'softmax', title: 'DETR' }],
  ['yolos', { scores: 'softmax', title: 'YOLOS' }],
  ['mask2former', { scores: 'softmax', title: 'Mask2Former' }],
  ['maskformer', { scores: 'softmax', title: 'MaskFormer' }],
]);

/** What of a folder is used. */
interface DetectorModel {
  readonly file: string;
  readonly type: string;
  /** As published. */
  readonly name: string;
  /** By id; undefined for ids that stand for nothing. */
  readonly labels: readonly (string | undefined)[];
  readonly preprocessor: Preprocessor;
}

const boxOutputs = ['logits', 'pred_boxes'] as const;
const maskOutputs = ['class_queries_logits', 'masks_queries_logits'] as const;

export async function openDetector(options: DetectorOptions, runtime: OnnxRuntime): Promise<JudgeThat<'detect'>> {
  const model = await readDetector(options);
  const known =
    options.knownPictures === undefined ? [] : await readKnownPictures(options.knownPictures, expectedSchema);
  const look = (image: Image, signal: AbortSignal): Promise<Detection[]> =>
    detect(model, options, runtime, image, signal);
  const ready = checkedOnce((signal) => checkKnown(known, look, signal));
  return {
    title: options.title ?? kinds.get(model.type)?.title ?? model.type,
    fingerprint: {
      model: model.name,
      sha256: await modelHash(model.file),
      preprocessor: JSON.stringify(model.preprocessor),
      floor: String(options.floor),
      most: String(options.most),
      threads: String(runtime.threads),
      'onnxruntime-node': runtime.version,
    },
    detect: async (image, signal) => {
      await ready(signal);
      return look(image, signal);
    },
  };
}

async function readDetector({ model: folder, file }: DetectorOptions): Promise<DetectorModel> {
  const path = findModelFile(folder, 'model', file);
  const config = await readConfig(folder, 'config.json', configSchema);
  const preprocessor = await readConfig(folder, 'preprocessor_config.json', preprocessorSchema);
  const ids = Object.keys(config.id2label).map(Number);
  if (ids.length === 0) throw badModel(folder, 'its config.json names no classes (id2label)');
  const labels = Array.from({ length: Math.max(...ids) + 1 }, (_, id) => {
    const label = config.id2label[String(id)];
    return label === 'N/A' ? undefined : label;
  });
  return { file: path, type: config.model_type, name: modelNameOf(config), labels, preprocessor };
}

async function detect(
  { file, type, labels, preprocessor }: DetectorModel,
  limits: DetectionLimits,
  runtime: OnnxRuntime,
  image: Image,
  signal: AbortSignal,
): Promise<Detection[]> {
  const found = await runtime.open(file, signal);
  const hasMasks = found.outputs.some(({ name }) => name === maskOutputs[0]);
  const outputs = hasMasks ? maskOutputs : boxOutputs;
  requireInterface(
    file,
    found,
    { inputs: ['pixel_values'], outputs },
    'detector with the outputs logits and pred_boxes',
  );
  const pixels = pixelsOf(image, preprocessor);
  requireSize(file, found, pixels);
  const feeds = { pixel_values: pixels, ...pixelMask(found, pixels) };
  const values = await runtime.run(file, feeds, outputs, signal);
  const [logits, places] = outputs.map((name) => values[name]) as [OnnxTensor, OnnxTensor];
  requireShapes(file, logits, places, hasMasks);
  const scores = scoresOf(file, type, labels.length, logits.dims.at(-1) ?? 0, hasMasks);
  return hasMasks
    ? instancesOf(logits, places, labels, image, limits)
    : detectionsOf(logits, places, labels, scores, image, limits);
}

/** DETR is told which pixels are picture and which padding: all are picture. */
function pixelMask({ inputs }: OnnxInterface, { dims }: OnnxTensor): Record<string, OnnxTensor> {
  const mask = inputs.find(({ name }) => name === 'pixel_mask');
  if (mask === undefined) return {};
  const [height = 1, width = 1] = [1, 2].map((axis) => {
    const size = mask.shape[axis];
    return typeof size === 'number' && size > 0 ? size : (dims[axis + 1] ?? 1);
  });
  return { pixel_mask: { data: new BigInt64Array(height * width).fill(1n), dims: [1, height, width] } };
}

function requireShapes(file: string, logits: OnnxTensor, places: OnnxTensor, hasMasks: boolean): void {
  const isFit =
    logits.dims.length === 3 &&
    logits.dims[0] === 1 &&
    places.dims[0] === 1 &&
    places.dims[1] === logits.dims[1] &&
    (hasMasks ? places.dims.length === 4 : places.dims.length === 3 && places.dims[2] === 4);
  if (isFit) return;
  throw badModel(
    file,
    `it gives classes of the form [${logits.dims.join(', ')}] and places of the form [${places.dims.join(', ')}], not [1, N, C] and ${hasMasks ? '[1, N, h, w]' : '[1, N, 4]'}`,
    'use a detector of the families that the page of the plugins names',
  );
}

function scoresOf(file: string, type: string, labels: number, columns: number, hasMasks: boolean): ClassScores {
  const known = kinds.get(type)?.scores ?? (hasMasks ? 'softmax' : undefined);
  if (columns === labels && known !== 'softmax') return 'sigmoid';
  if (columns === labels + 1 && known !== 'sigmoid') return 'softmax';
  const expected = { sigmoid: `${labels}`, softmax: `${labels} and one for nothing` };
  throw badModel(
    file,
    `the model scores ${columns} classes, and its config.json names ${known === undefined ? labels : expected[known]}`,
    'use the config.json that came with this file',
  );
}

const expectedSchema = z.strictObject({
  detections: z.array(
    z.strictObject({
      label: z.string(),
      score: z.number().min(0).max(1).optional(),
      box: z.tuple([z.number(), z.number(), z.number(), z.number()]).optional(),
    }),
  ),
});

/** How far a score and the overlap of a box may be from what was expected; a score that is not told. */
const tolerance = { score: 0.05, overlap: 0.9, least: 0.3 };

async function checkKnown(
  known: Awaited<ReturnType<typeof readKnownPictures<typeof expectedSchema>>>,
  look: (image: Image, signal: AbortSignal) => Promise<Detection[]>,
  signal: AbortSignal,
): Promise<void> {
  for (const { image, expected, place } of known) {
    const found = await look(image, signal);
    const missed = expected.detections.find(
      ({ label, score, box }) =>
        !found.some(
          (each) =>
            each.label === label &&
            (score === undefined ? each.score >= tolerance.least : Math.abs(each.score - score) <= tolerance.score) &&
            (box === undefined || overlap(each.box, box) >= tolerance.overlap),
        ),
    );
    if (missed === undefined) continue;
    const best = found
      .slice(0, 5)
      .map((each) => `${each.label} ${each.score.toFixed(2)} [${each.box.map((edge) => edge.toFixed(0)).join(', ')}]`);
    throw unknown(
      place,
      `the detector does not find ${JSON.stringify(missed)} in a picture where it is known to be; it finds ${best.join(', ') || 'nothing'}`,
    );
  }
}

/** Intersection over union. */
function overlap(a: readonly number[], b: readonly number[]): number {
  const [ax1 = 0, ay1 = 0, ax2 = 0, ay2 = 0] = a;
  const [bx1 = 0, by1 = 0, bx2 = 0, by2 = 0] = b;
  const shared =
    Math.max(0, Math.min(ax2, bx2) - Math.max(ax1, bx1)) * Math.max(0, Math.min(ay2, by2) - Math.max(ay1, by1));
  const both = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared;
  return both > 0 ? shared / both : 0;
}
