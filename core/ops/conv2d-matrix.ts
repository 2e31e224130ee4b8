/**
 * Convolutions on tensor cores, where the workspace says so (`linear-matrix.ts` says what its precisions are): pictures are converted once, with the zeros
 * around them written out, and multiplied where they lie, a tap at a time (kernels/conv2d/matrix.wgsl).
 *
 * A picture is scaled by one power of two, a filter by one for each output channel, so that a picture's bits do not depend on the others of its batch; in the weight
 * gradient, which sums over all pictures, each channel has one. What an output may be wrong by is `matrixErrorBound`, where A is the largest finite
 * magnitude of the picture (of the channel): what is 2^27 (`f32-split`: 2^38) smaller is lost, and counted. A pixel that is NaN or infinite breaks the outputs
 * whose patch has it and no others; a filter's value, its output channel; in the weight gradient, either breaks its channel under every tap.
 */
import { grid } from '../autograd/launch.ts';
import type { Tape } from '../autograd/tape.ts';
import type { MatrixProducts } from '../gpu/matrix-products.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { Reading } from './conv2d-reading.ts';
import { blockTiles, converted, exponents, groupsOf, type Operand, operandParts } from './linear-matrix.ts';

/** What `convolve` is given. */
export interface Convolution {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly residual: Tensor | undefined;
  readonly out: Tensor;
  readonly reading: Reading;
}

/** Converted pictures take so much at a time; more pictures are taken in turns. The bits are the same. */
const convertedBytes = 2 ** 28;

/** Records out = (reading of x) · weight (+ bias) (+ residual). `by`: what the tape says (`tape.products`). */
export function matrixConvolution(
  tape: Tape,
  by: MatrixProducts,
  { x, weight, bias, residual, out, reading }: Convolution,
  bytesAtOnce = convertedBytes,
): void {
  const { images, inChannels, outChannels, kernel, step, sign, offset, shift } = reading;
  const { N, K } = by.shape;
  const planes = planesOf(reading, inChannels, K);
  const taps = kernel ** 2;
  const rowLength = taps * inChannels;
  const filters: Operand = { x: weight, rows: outChannels, inner: rowLength, row: rowLength, step: 1 };
  const byPicture = sizeOf(x.shape) / images;
  const xExponents = largestExponents(tape, by, { x, rows: images, inner: byPicture, row: byPicture, step: 1 });
  const weightExponents = exponents(tape, by, filters);
  const weightBlocks = converted(tape, by, filters, N, weightExponents, taps);
  const rounds = 4 ** shift;
  for (const [first, count] of turns(tape, by, planes, images, bytesAtOnce)) {
    const size = { rows: rowsOf(planes, count), columns: outChannels };
    const rows = planeRows(planes, count);
    const pictures = { x, sides: reading.in, channels: inChannels, exponents: xExponents, isByChannel: false };
    const tiles = blockTiles(tape.device, by.precision, size);
    const [columnGroups, ...rowGroups] = groupsOf(size, {
      rows: tiles.OWN_ROWS * tiles.DOWN,
      columns: tiles.OWN_COLUMNS * tiles.ACROSS,
    });
    tape.launch({
      kernel: 'conv2d/matrix',
      constants: matrixConstants(tape, by, tiles),
      bindings: {
        x: convertedPictures(tape, by, { ...pictures, planes, first, count, rows }),
        x_exponents: xExponents,
        weight: weightBlocks,
        weight_exponents: weightExponents,
        bias: bias ?? weight,
        residual: residual ?? weight,
        out,
      },
      params: {
        ...size,
        first_image: first,
        out_height: reading.out[0],
        out_width: reading.out[1],
        lines: planes.lines,
        line_pixels: planes.linePixels,
        plane_rows: rows,
        depth: planes.depth,
        lowest: planes.lowest,
        kernel,
        step,
        sign,
        offset,
        shift,
        adds: (bias === undefined ? 0 : 1) + (residual === undefined ? 0 : 2),
      },
      groups: [columnGroups * rounds, ...rowGroups],
    });
  }
}

/** What `conv2dWeightGradient` is given. */
export interface WeightGradient {
  readonly dOut: Tensor;
  readonly x: Tensor;
  readonly reading: Reading;
}

/** partial [splits, O, kernel, kernel, C], to be added up. */
export function matrixWeightGradient(
  tape: Tape,
  by: MatrixProducts,
  { dOut, x, reading }: WeightGradient,
  bytesAtOnce = convertedBytes,
): Tensor {
  const { images, inChannels, outChannels, kernel, step, offset } = reading;
  const { M, N, K } = by.shape;
  const planes = planesOf(reading, inChannels, N);
  // Lines as long as those of x, zeros included: a pixel of dOut and one of x then lie equally far apart everywhere.
  const ofOut: Planes = { ...planes, step: 1, lowest: 0, depth: Math.ceil(outChannels / M) * M };
  const ofChannels = (pictures: Tensor, channels: number): Tensor => {
    const inner = sizeOf(pictures.shape) / channels;
    return largestExponents(tape, by, { x: pictures, rows: channels, inner, row: 1, step: channels });
  };
  const [xExponents, outExponents] = [ofChannels(x, inChannels), ofChannels(dOut, outChannels)];
  const taps = kernel ** 2;
  const size = { rows: outChannels, columns: inChannels };
  const tiles = blockTiles(tape.device, by.precision, { ...size, columns: taps * inChannels });
  const rowGroups = Math.ceil(outChannels / (tiles.OWN_ROWS * tiles.DOWN));
  const columnGroups = Math.ceil(inChannels / (tiles.OWN_COLUMNS * tiles.ACROSS));
  const stepsOf = (count: number): number => Math.ceil(rowsOf(planes, count) / K);
  const all = turns(tape, by, planes, images, bytesAtOnce);
  const wanted = tape.device.adapter.isSoftware ? 8 : 512;
  const splitsOfTurn = Math.ceil(wanted / (rowGroups * columnGroups * taps * all.length));
  const splitSteps = Math.max(8, Math.ceil(stepsOf(all[0]![1]) / splitsOfTurn));
  const splitsOf = (count: number): number => Math.ceil(stepsOf(count) / splitSteps);
  const splits = all.reduce((sum, [, count]) => sum + splitsOf(count), 0);
  const partial = tape.empty('weight gradient splits', [splits, outChannels, kernel, kernel, inChannels]);
  let firstSplit = 0;
  for (const [first, count] of all) {
    const turn = { isByChannel: true, first, count };
    const outRows = stepsOf(count) * K;
    const rows = planeRows(planes, count);
    const slopes = { x: dOut, sides: reading.out, channels: outChannels, exponents: outExponents, planes: ofOut };
    const pictures = { x, sides: reading.in, channels: inChannels, exponents: xExponents, planes };
    tape.launch({
      kernel: 'conv2d/matrix-weight-gradient',
      constants: matrixConstants(tape, by, tiles),
      bindings: {
        d_out: convertedPictures(tape, by, { ...slopes, ...turn, rows: outRows }),
        d_out_exponents: outExponents,
        x: convertedPictures(tape, by, { ...pictures, ...turn, rows }),
        x_exponents: xExponents,
        partial,
      },
      params: {
        out_channels: outChannels,
        in_channels: inChannels,
        d_out_rows: outRows,
        d_out_depth: ofOut.depth,
        line_pixels: planes.linePixels,
        plane_rows: rows,
        depth: planes.depth,
        lowest: planes.lowest,
        kernel,
        step,
        offset,
        first_split: firstSplit,
        split_steps: splitSteps,
      },
      groups: [columnGroups * taps, rowGroups, splitsOf(count)],
    });
    firstSplit += splitsOf(count);
  }
  return partial;
}

/** How pictures lie when they are converted: see kernels/conv2d/matrix-operand.wgsl. */
interface Planes {
  readonly step: number;
  readonly lowest: number;
  readonly lines: number;
  readonly linePixels: number;
  readonly depth: number;
  /** Height and width of what is made in one round: of the outputs, or of every other one. */
  readonly made: readonly [height: number, width: number];
}

/** With every pixel that an output reads, inside a picture or beside it; `channels` are filled up to a multiple of `whole`. */
function planesOf(reading: Reading, channels: number, whole: number): Planes {
  const { out, kernel, step, sign, offset, shift } = reading;
  const halved = shift === 1 || step === 2 ? 1 : 0;
  const distances = Array.from({ length: kernel }, (_, tap) => tap * sign + offset)
    .flatMap((distance) => (shift === 1 ? [distance, distance + 1] : [distance]))
    .filter((distance) => shift === 0 || distance % 2 === 0)
    .map((distance) => distance >> halved);
  const [lowest, highest] = [Math.min(...distances), Math.max(...distances)];
  const made = [Math.ceil(out[0] / (1 + shift)), Math.ceil(out[1] / (1 + shift))] as const;
  return {
    step,
    lowest,
    lines: made[0] + highest - lowest,
    linePixels: made[1] + highest - lowest,
    depth: Math.ceil(channels / whole) * whole,
    made,
  };
}

/** Of pixels, up to the last that is made. */
function rowsOf({ lines, linePixels, made: [height, width] }: Planes, images: number): number {
  return ((images - 1) * lines + height - 1) * linePixels + width;
}

/** With zeros behind the last picture, which the last matrix may reach into. */
function planeRows({ lines, linePixels }: Planes, images: number): number {
  return images * lines * linePixels + 32;
}

/** First picture and count. */
function turns(
  { device }: Tape,
  { precision }: MatrixProducts,
  planes: Planes,
  images: number,
  bytesAtOnce: number,
): [first: number, count: number][] {
  const bytes = Math.min(bytesAtOnce, device.limits.maxStorageBufferBindingSize);
  const bytesOf = (count: number): number => convertedSize(precision, planes, planeRows(planes, count)) * 2;
  let count = images;
  while (count > 1 && bytesOf(count) > bytes) count = Math.ceil(count / 2);
  return Array.from({ length: Math.ceil(images / count) }, (_, turn) => [
    turn * count,
    Math.min(count, images - turn * count),
  ]);
}

function convertedSize(precision: MatrixProducts['precision'], { step, depth }: Planes, rows: number): number {
  return operandParts[precision] * step ** 2 * rows * depth;
}

/** Sizes come from the reading: a gradient may come in another shape of as many values. */
interface Pictures {
  readonly x: Tensor;
  readonly sides: Reading['in'];
  readonly channels: number;
  readonly exponents: Tensor;
  readonly isByChannel: boolean;
  readonly planes: Planes;
  readonly first: number;
  readonly count: number;
  /** Of a plane. */
  readonly rows: number;
}

/** f16 [parts, step², rows, depth]. */
function convertedPictures(
  tape: Tape,
  { precision, counts }: MatrixProducts,
  { x, sides, channels, exponents: scaledBy, isByChannel, planes, first, count, rows }: Pictures,
): Tensor {
  const { step, lowest, lines, linePixels, depth } = planes;
  const out = tape.empty(`${x.name} in planes`, [operandParts[precision], step ** 2, rows, depth], 'f16');
  tape.launch({
    kernel: 'conv2d/matrix-operand',
    constants: { PARTS: operandParts[precision], BY_CHANNEL: isByChannel },
    bindings: { x, exponents: scaledBy, out, counts },
    tallies: ['counts'],
    params: {
      first_image: first,
      images: count,
      height: sides[0],
      width: sides[1],
      channels,
      step,
      lowest,
      lines,
      line_pixels: linePixels,
      plane_rows: rows,
      depth,
    },
    groups: grid(Math.ceil((step ** 2 * rows * depth) / 2 / 1024)),
  });
  return out;
}

/** As `exponents`, for few long rows, in which broken values count for nothing: they are divided among many workgroups. */
function largestExponents(tape: Tape, by: MatrixProducts, { x, rows, inner, row, step }: Operand): Tensor {
  const isAlong = step === 1;
  const groupsOfRows = isAlong ? rows : Math.ceil(rows / 64);
  const split = Math.max(isAlong ? 4096 : 64, Math.ceil((inner * groupsOfRows) / 4096));
  const splits = Math.ceil(inner / split);
  const largest = tape.empty(`largest of ${x.name}`, [rows, splits]);
  tape.launch({
    kernel: 'conv2d/matrix-largest',
    constants: { ALONG: isAlong },
    bindings: { x, largest },
    params: { rows, inner, x_row: row, x_inner: step, splits, split },
    groups: grid(groupsOfRows * splits),
  });
  return exponents(tape, by, { x: largest, rows, inner: splits, row: splits, step: 1 }, false);
}

function matrixConstants(
  { device }: Tape,
  { shape, precision }: MatrixProducts,
  tiles: ReturnType<typeof blockTiles>,
): Readonly<Record<string, number>> {
  return { ...shape, SUBGROUP: device.adapter.subgroupMaxSize, PARTS: operandParts[precision], ...tiles };
}
