/** That the comparison of convolutions on subgroup matrices with float64 finds a kernel that is wrong. Runs where the adapter has matrices. */
import { expect, test } from 'vitest';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { testDevice } from './device.ts';
import { convolve, valuesOf, worst, type Sizes } from './matrix-convolution.ts';
import { mutantFiles, ofParts, ofSums, type Mutant } from './mutants.ts';

const device = await testDevice();
const [shape] = usableShapes(device);
const fileOf = mutantFiles();

const ofMatrix: readonly Mutant[] = [
  ...ofSums,
  ['no bound of columns', (text) => text.replace(' || column >= params.columns', '')],
  [
    'no bound of the lines',
    (text) =>
      text.replace('pixel.x >= params.out_height || pixel.y >= params.out_width', 'pixel.y >= params.out_width'),
  ],
  [
    'no bound within a line',
    (text) =>
      text.replace('pixel.x >= params.out_height || pixel.y >= params.out_width', 'pixel.x >= params.out_height'),
  ],
  ['left operand read by columns', (text) => text.replace('K, M>, row_major', 'K, M>, col_major')],
  ['right operand read by rows', (text) => text.replace('N, K>, col_major', 'N, K>, row_major')],
  [
    'taps turned over',
    (text) => text.replace('vec2i(tap_at(step)) * params.sign', 'vec2i(tap_at(step)) * -params.sign'),
  ],
  [
    'rows and columns of a filter exchanged',
    (text) => text.replace('place / across, place % across', 'place % across, place / across'),
  ],
  ['the wrong plane', (text) => text.replace('* params.step + (distance.y', '+ (distance.y')],
  ['every tap under shift 1', (text) => text.replace('- first_taps()', '- vec2u()')],
  ['one round of four under shift 1', (text) => text.replace('odd = vec2u(round >> 1u, round & 1u)', 'odd = vec2u()')],
  ['the exponent of another picture', (text) => text.replace('x_exponents[image]', 'x_exponents[0]')],
  ['the exponent of another filter', (text) => text.replace('weight_exponents[column]', 'weight_exponents[0]')],
  [
    'a line too long',
    (text) => text.replace('moved.x * i32(params.line_pixels)', 'moved.x * i32(params.line_pixels + 1u)'),
  ],
];
const ofGradient: readonly Mutant[] = [
  ...ofSums.filter(([name]) => name !== 'half of the depth'),
  [
    'no end of a split',
    (text) => text.replace('min(first + params.split_steps, params.d_out_rows / K)', 'params.d_out_rows / K'),
  ],
  ['no bound of columns', (text) => text.replace(' || column >= params.in_channels', '')],
  ['left operand read by rows', (text) => text.replace('K, M>, col_major', 'K, M>, row_major')],
  ['right operand read by columns', (text) => text.replace('N, K>, row_major', 'N, K>, col_major')],
  ['the wrong plane', (text) => text.replace('* params.step + (distance.y', '+ (distance.y')],
  ['the wrong exponent', (text) => text.replace('d_out_exponents[row]', 'd_out_exponents[0]')],
  ['every split in one place', (text) => text.replace('params.first_split + group.z', 'params.first_split')],
];
const ofOperand: readonly Mutant[] = [
  ...ofParts,
  ['no zeros before the first line', (text) => text.replace('y >= 0 && ', '')],
  ['no zeros behind the last line', (text) => text.replace('y < i32(params.height) && ', '')],
  ['no zeros before a line', (text) => text.replace('column >= 0 && ', '')],
  ['no zeros behind a line', (text) => text.replace(' && column < i32(params.width)', '')],
  ['no zeros past the last channel', (text) => text.replace('if (channel + i < params.channels) {', 'if (true) {')],
  ['the exponent of another picture', (text) => text.replace('select(picture, channel', 'select(0u, channel')],
  [
    'the exponent of another channel',
    (text) => text.replace('select(picture, channel + i,', 'select(picture, channel,'),
  ],
  ['one neighbor twice', (text) => text.replace('(parts[p], others[p])', '(parts[p], parts[p])')],
];
const ofLargest: readonly Mutant[] = [
  ['no barrier', (text) => text.replace('workgroupBarrier();', '')],
  ['the first piece alone', (text) => text.replace('min((split + 1u) * params.split,', 'min(params.split,')],
  ['no end of a piece', (text) => text.replace('max(found, bits)', 'found')],
];
const ofFilters: readonly Mutant[] = [
  ['pieces that are not filled up', (text) => text.replace('(params.inner + K - 1u) / K', 'max(params.inner / K, 1u)')],
  ['the first piece for all', (text) => text.replace(' + step / piece_depth * params.x_piece', '')],
];
const mutants = (
  [
    ['conv2d/matrix', ofMatrix],
    ['conv2d/matrix-weight-gradient', ofGradient],
    ['conv2d/matrix-operand', ofOperand],
    ['conv2d/matrix-largest', ofLargest],
    ['linear/matrix-operand', ofFilters],
  ] as const
).flatMap(([kernel, changes]) => changes.map(([name, change]) => [kernel, name, change] as const));

/** With several splits and pieces, with halving and doubling, and with full tiles. */
const sizes: readonly Sizes[] = [
  { images: 2, height: 20, width: 22, inChannels: 12, outChannels: 8, kernel: 1, stride: 1, before: 0, after: 0 },
  { images: 3, height: 7, width: 10, inChannels: 9, outChannels: 70, kernel: 3, stride: 2, before: 0, after: 1 },
  { images: 2, height: 8, width: 8, inChannels: 16, outChannels: 64, kernel: 3, stride: 1, before: 1, after: 1 },
];

test.skipIf(shape === undefined).each(mutants)('%s with %s is found', async (insteadOf, name, change) => {
  const kernel = fileOf(insteadOf, name, change);
  const products = new MatrixProducts(device, shape!, 'f32-split');
  let most = 0;
  for (const size of sizes) {
    if (most > 1) break;
    const values = valuesOf(size);
    const found = await convolve({ device, products, sizes: size, values, kernel, insteadOf });
    most = Math.max(most, ...Object.values(worst(found, size, values, 'f32-split')));
  }
  expect(most).toBeGreaterThan(1);
});
