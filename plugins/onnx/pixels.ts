/** Pictures as a model takes them, by the preprocessor_config.json that came with it; nothing about it is assumed. */
import { resizeBicubic, resizeBilinear } from '../../core/compute.ts';
import { ReasongenError, z, type Image } from '../../core/plugin.ts';
import type { OnnxTensor } from './worker.mjs';

const size = z.union([
  z.number().int().positive(),
  z.looseObject({
    height: z.number().int().positive().optional(),
    width: z.number().int().positive().optional(),
    shortest_edge: z.number().int().positive().optional(),
    longest_edge: z.number().int().positive().optional(),
  }),
]);

const triple = z.array(z.number()).length(3);

/** What of it is read. `resample` is a number of Pillow's. */
export const preprocessorSchema = z.looseObject({
  do_resize: z.boolean().default(true),
  size: size.optional(),
  size_divisor: z.number().int().nonnegative().nullish(),
  resample: z.union([z.literal(2), z.literal(3)], 'only 2 (bilinear) and 3 (bicubic) are computed here').default(2),
  do_center_crop: z.boolean().default(false),
  crop_size: size.optional(),
  do_rescale: z.boolean().default(true),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  do_normalize: z.boolean().default(false),
  image_mean: triple.default([0, 0, 0]),
  image_std: triple.default([1, 1, 1]),
});

export type Preprocessor = z.output<typeof preprocessorSchema>;

/** f32 [1, 3, height, width]. */
export function pixelsOf(image: Image, preprocessor: Preprocessor): OnnxTensor {
  const { do_center_crop, do_rescale, rescale_factor, do_normalize, image_mean, image_std } = preprocessor;
  const resized = resizedFor(image, preprocessor);
  const { width, height, data } = do_center_crop ? centerCrop(resized, cropSize(preprocessor)) : resized;
  const plane = width * height;
  const values = new Float32Array(3 * plane);
  const scale = do_rescale ? rescale_factor : 1;
  for (let channel = 0; channel < 3; channel++) {
    const mean = do_normalize ? (image_mean[channel] ?? 0) : 0;
    const deviation = do_normalize ? (image_std[channel] ?? 1) : 1;
    for (let at = 0; at < plane; at++)
      values[channel * plane + at] = ((data[at * 3 + channel] ?? 0) * scale - mean) / deviation;
  }
  return { data: values, dims: [1, 3, height, width] };
}

function resizedFor(image: Image, preprocessor: Preprocessor): Image {
  if (!preprocessor.do_resize) return image;
  const { width, height } = targetSize(image, preprocessor);
  return preprocessor.resample === 3 ? resizeBicubic(image, width, height) : resizeBilinear(image, width, height);
}

/** Of a picture that was resized; one of a pixel by thousands would not fit into memory. */
const mostPixels = 2 ** 26;

interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * Both sides as named; or the shortest side as named and the other by `int()`, where the longest is bounded both by the ratio, rounded as
 * DETR does it. Sides of models that want multiples are rounded up. No side vanishes.
 */
function targetSize(image: Size, { size: wanted, size_divisor }: Preprocessor): Size {
  if (wanted === undefined) return image;
  if (typeof wanted !== 'number' && wanted.height !== undefined && wanted.width !== undefined)
    return { width: wanted.width, height: wanted.height };
  const longest = typeof wanted === 'number' ? undefined : wanted.longest_edge;
  const [least, most] = [Math.min(image.width, image.height), Math.max(image.width, image.height)];
  const fitting = longest === undefined ? Infinity : (longest * least) / most;
  const exact = Math.min((typeof wanted === 'number' ? wanted : wanted.shortest_edge) ?? Infinity, fitting);
  if (exact === Infinity) return image;
  const multiple = (side: number): number => (size_divisor ? Math.ceil(side / size_divisor) * size_divisor : side);
  const short = multiple(Math.max(1, Math.round(exact)));
  const long = multiple(Math.max(1, Math.trunc((exact * most) / least)));
  if (short * long > mostPixels)
    throw new ReasongenError({
      code: 'PICTURE_TOO_NARROW',
      message: `a picture of ${image.width} x ${image.height} pixels is too narrow for this model, which takes its shortest side with ${short}: it would have ${short * long} pixels`,
      hint: 'leave such pictures out, or cut them',
    });
  return image.width <= image.height ? { width: short, height: long } : { width: long, height: short };
}

function cropSize({ crop_size, size: wanted }: Preprocessor): Size {
  const crop = crop_size ?? wanted;
  if (typeof crop === 'number') return { width: crop, height: crop };
  const side = crop?.shortest_edge ?? 224;
  return { width: crop?.width ?? side, height: crop?.height ?? side };
}

/** The middle; where the picture is smaller, black around it. */
function centerCrop(image: Image, { width, height }: Size): Image {
  const left = Math.floor((image.width - width) / 2);
  const top = Math.floor((image.height - height) / 2);
  const data = new Uint8Array(width * height * 3);
  for (let y = Math.max(0, -top); y < Math.min(height, image.height - top); y++) {
    const first = Math.max(0, -left);
    const last = Math.min(width, image.width - left);
    const from = ((y + top) * image.width + left + first) * 3;
    data.set(image.data.subarray(from, from + (last - first) * 3), (y * width + first) * 3);
  }
  return { width, height, data };
}
