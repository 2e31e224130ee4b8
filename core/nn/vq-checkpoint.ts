/**
 * How codec weights lie in files: filters as [O, C, kernel, kernel] and pictures of three channels, under the names of the Hugging
 * Face port (`model.vqmodel.…`) or of the original checkpoints (`gen_vision_model.…`). On the device filters are [O, kernel, kernel, C]
 * and pictures have a fourth channel, whose weights are zero. A checkpoint of a training run holds the device's form under bare names.
 */
import { exitCodes, ReasongenError } from '../errors.ts';
import { nameTable, type NameRule } from '../tensor/name-rules.ts';
import { sizeOf } from '../tensor/tensor.ts';
import type { VqCodec } from './vq-codec.ts';
import { at } from '../tensor/at.ts';

interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const prefix = 'model.vqmodel.';
const originalPrefix = 'gen_vision_model.';

/** Names of the original checkpoints and of the port. */
export const vqNames: readonly NameRule[] = [
  ...(['res.#', 'attn.#', 'downsample', 'upsample'] as const).flatMap((part) => {
    const inside = part.replace('res', 'block');
    return [
      rule(`encoder.conv_blocks.#.${part}.*`, `encoder.down.#.${inside}.*`),
      rule(`decoder.conv_blocks.#.${part}.*`, `decoder.up.#.${inside}.*`),
    ];
  }),
  ...['encoder', 'decoder'].flatMap((net) => [
    ...['block_1', 'attn_1', 'block_2'].map((part, index) => rule(`${net}.mid.${index}.*`, `${net}.mid.${part}.*`)),
    ...['conv_in', 'norm_out', 'conv_out'].map((part) => rule(`${net}.${part}.*`, `${net}.${part}.*`)),
  ]),
  rule('quantize.embedding.*', 'quantize.embedding.*'),
  rule('quant_conv.*', 'quant_conv.*'),
  rule('post_quant_conv.*', 'post_quant_conv.*'),
  // Counts of a training; the port drops it.
  { original: `${originalPrefix}quantize.codebook_used`, port: [] },
];

function rule(original: string, port: string): NameRule {
  return { original: `${originalPrefix}${original}`, port: `${prefix}${port}` };
}

const table = nameTable(vqNames);

/** What `ParameterSet.load` takes, from the tensors of a file; tensors of other models in the same file are left alone. */
export function fromVqCheckpoint(
  codec: VqCodec,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: unknown }>,
): Map<string, Values> {
  const shapes = new Map(codec.parameters.map(({ name, shape }) => [name, shape]));
  const result = new Map<string, Values>();
  for (const [fileName, { shape, data }] of tensors) {
    // A training checkpoint holds what the device holds, under bare names.
    if (shapes.has(fileName) && data instanceof Float32Array) {
      result.set(fileName, { shape, data });
      continue;
    }
    const name = nameInside(fileName);
    if (name === undefined || !(data instanceof Float32Array)) continue;
    const target = shapes.get(name);
    const values = channelsLast({ shape, data });
    result.set(name, target === undefined ? values : pad(values, target));
  }
  if (result.size === 0) {
    throw new ReasongenError({
      code: 'CHECKPOINT_SHAPE',
      message: `the file holds no codec: no tensor is named ${prefix}… or ${originalPrefix}…`,
      hint: 'point to the checkpoint of a codec, or of a model that contains one',
      exitCode: exitCodes.badPreset,
    });
  }
  return result;
}

/**
 * Throws what loading would say of names and shapes, from the header of a file: entries under the names of the port, or the bare names of a
 * training checkpoint. A file may hold one direction of a codec only.
 */
export function refuseOtherCodec(
  codec: VqCodec,
  entries: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  origin: string,
): void {
  const isBare = codec.parameters.some(({ name }) => entries.has(name));
  const given = isBare
    ? new Map(entries)
    : new Map(
        [...entries].flatMap(([name, entry]) =>
          name.startsWith(prefix) ? [[name.slice(prefix.length), entry] as const] : [],
        ),
      );
  const networks = new Set([...given.keys()].map(networkOf));
  const problems = codec.parameters.flatMap(({ name, shape: own }) => {
    const shape = isBare ? own : shapeInFile(name, own);
    const entry = given.get(name);
    if (entry === undefined) return networks.has(networkOf(name)) ? [`missing: ${name} [${shape}]`] : [];
    return entry.shape.join() === shape.join() ? [] : [`${name} is [${entry.shape}], the codec needs [${shape}]`];
  });
  const known = new Set(codec.parameters.map(({ name }) => name));
  for (const name of given.keys())
    if (!known.has(name) && ['encoder', 'decoder'].includes(networkOf(name))) problems.push(`unexpected: ${name}`);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 8);
  if (problems.length > shown.length) shown.push(`… and ${problems.length - shown.length} more`);
  throw new ReasongenError({
    code: 'CHECKPOINT_SHAPE',
    message: `${origin} does not fit the sizes of this codec:\n  ${shown.join('\n  ')}`,
    hint: 'give the weights and the config.json of one model: sizes and weights of different codecs do not fit each other',
    exitCode: exitCodes.badPreset,
  });
}

/** `encoder`, `decoder`, `quantize`, … */
function networkOf(name: string): string {
  return name.slice(0, name.indexOf('.'));
}

/** Filters have their channels in front in a file, and pictures three of them. */
function shapeInFile(name: string, shape: readonly number[]): readonly number[] {
  const isOut = name.startsWith('decoder.conv_out.');
  const own = isOut ? [3, ...shape.slice(1)] : shape;
  const [o = 0, height = 0, width = 0, c = 0] = own;
  if (own.length !== 4) return own;
  return [o, name === 'encoder.conv_in.weight' ? 3 : c, height, width];
}

/** Tensors for a file, from what `ParameterSet.read` gives. */
export function toVqCheckpoint(values: ReadonlyMap<string, Values>): Map<string, Values> {
  const result = new Map<string, Values>();
  for (const [name, value] of values) result.set(`${prefix}${name}`, channelsFirst(crop(name, value)));
  return result;
}

/** The name without the prefix of a layout; undefined for tensors of other parts. */
function nameInside(name: string): string | undefined {
  const port = table.toPort(name)?.names[0] ?? name;
  return port.startsWith(prefix) ? port.slice(prefix.length) : undefined;
}

/** [O, C, y, x] → [O, y, x, C]. */
function channelsLast(values: Values): Values {
  const [o = 0, c = 0, height = 0, width = 0] = values.shape;
  return values.shape.length === 4
    ? { shape: [o, height, width, c], data: transposeInner(values.data, o, c, height * width) }
    : values;
}

/** [O, y, x, C] → [O, C, y, x]. */
function channelsFirst(values: Values): Values {
  const [o = 0, height = 0, width = 0, c = 0] = values.shape;
  return values.shape.length === 4
    ? { shape: [o, c, height, width], data: transposeInner(values.data, o, height * width, c) }
    : values;
}

/** [outer, rows, columns] → [outer, columns, rows]. */
function transposeInner(data: Float32Array, outer: number, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  let index = 0;
  for (let o = 0; o < outer; o++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) result[(o * columns + column) * rows + row] = at(data, index++);
  return result;
}

/** Three channels become four where the device has four; any other difference is left for the loader to report. */
function pad(values: Values, shape: readonly number[]): Values {
  const isPadded =
    values.shape.length === shape.length &&
    values.shape.every((n, axis) => n === shape[axis] || (n === 3 && shape[axis] === 4 && isPictureAxis(axis, shape)));
  if (!isPadded || sizeOf(values.shape) === sizeOf(shape)) return values;
  const data = new Float32Array(sizeOf(shape));
  const [from, to] = [values.shape.at(-1) ?? 1, shape.at(-1) ?? 1];
  // Rows of the last axis are widened; further rows of the first axis stay zero.
  for (let row = 0; row * from < values.data.length; row++)
    data.set(values.data.subarray(row * from, (row + 1) * from), row * to);
  return { shape, data };
}

/** The picture's channels come first in conv_out and last in conv_in. */
function isPictureAxis(axis: number, shape: readonly number[]): boolean {
  return axis === 0 || axis === shape.length - 1;
}

function crop(name: string, values: Values): Values {
  const { shape, data } = values;
  if (name === 'encoder.conv_in.weight') {
    const rows = sizeOf(shape) / 4;
    const cropped = new Float32Array(rows * 3);
    for (let row = 0; row < rows; row++) cropped.set(data.subarray(row * 4, row * 4 + 3), row * 3);
    return { shape: [...shape.slice(0, -1), 3], data: cropped };
  }
  if (name.startsWith('decoder.conv_out.'))
    return { shape: [3, ...shape.slice(1)], data: data.slice(0, (data.length / 4) * 3) };
  return values;
}
