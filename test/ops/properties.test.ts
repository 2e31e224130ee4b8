/** Ops against float64 for shapes and settings drawn at random: the sizes nobody thought of. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { attention } from '../../core/ops/attention.ts';
import { conv2d } from '../../core/ops/conv2d.ts';
import { groupNorm } from '../../core/ops/group-norm.ts';
import { languageHead } from '../../core/ops/language-head.ts';
import { layerNorm } from '../../core/ops/layer-norm.ts';
import { linear } from '../../core/ops/linear.ts';
import { tokenLogProbability } from '../../core/ops/log-probability.ts';
import { rmsNorm } from '../../core/ops/rms-norm.ts';
import { rotary } from '../../core/ops/rotary.ts';
import { upsample, upsampleConv2d } from '../../core/ops/upsample.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { at, checkOp, randomFloats, randomWords, relativeError } from '../../core/testing.ts';
import { testRowDevices } from './device.ts';

const devices = (await testRowDevices()).map(([, device]) => device);
const anyDevice = fc.nat({ max: devices.length - 1 }).map((index): Device => devices[index] ?? (devices[0] as Device));
const runs = { numRuns: 8, seed: 20260101 };

test('norms of rows', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 90 }),
      fc.boolean(),
      async (device, rows, columns, isLayer) => {
        await checkOp<'x' | 'weight' | 'bias'>({
          device,
          inputs: {
            x: { shape: [rows, columns], data: randomFloats(rows * columns, 1, 3) },
            weight: { shape: [columns], data: randomFloats(columns, 2) },
            bias: { shape: [columns], data: randomFloats(columns, 3) },
          },
          fixed: isLayer ? [] : ['bias'],
          op: (tape, { x, weight, bias }) =>
            isLayer ? layerNorm(tape, x, weight, bias, 1e-3) : rmsNorm(tape, x, weight, 1e-3),
          oracle: ({ x, weight, bias }) => {
            const out = new Float64Array(x.length);
            for (let start = 0; start < x.length; start += columns) {
              const row = x.subarray(start, start + columns);
              const mean = isLayer ? row.reduce((sum, value) => sum + value, 0) / columns : 0;
              const scale = 1 / Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns + 1e-3);
              row.forEach((value, c) => {
                out[start + c] = (value - mean) * scale * at(weight, c) + (isLayer ? at(bias, c) : 0);
              });
            }
            return out;
          },
          valueTolerance: 3e-6,
          gradientTolerance: 1e-4,
        });
      },
    ),
    runs,
  ));

test('turning by a position and back is nothing, and lengths stay', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 16 }),
      fc.constantFrom('halves' as const, 'neighbors' as const),
      async (device, rows, heads, eighths, pairing) => {
        const headDimension = eighths * 8;
        const data = randomFloats(rows * heads * headDimension, 1);
        const tape = new Tape(new Workspace(device));
        const x = device.tensor('x', [rows, heads * headDimension], 'f32', data);
        const positions = device.tensor('positions', [rows], 'u32', randomWords(rows, 2, 500));
        const back = device.tensor('d x', x.shape);
        tape.watch(x, back);
        const turned = rotary(tape, x, positions, { heads, headDimension, theta: 10000, pairing });
        const out = tape.output(turned);
        // The gradient of a turn is the turn back.
        tape.seed(turned, turned);
        tape.backward();
        (await tape.finish('turn')).run();
        expect(relativeError(await device.readFloats(back), data)).toBeLessThan(1e-6);
        const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
        expect(Math.abs(norm(await device.readFloats(out)) / norm(data) - 1)).toBeLessThan(1e-6);
      },
    ),
    runs,
  ));

test('attention is a mean of values: of equal ones, that value; of one key, its value', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.array(fc.integer({ min: 1, max: 19 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 2 }),
      fc.boolean(),
      async (device, lengths, groups, keyValueHeads, causal) => {
        const headDimension = 8;
        const heads = groups * keyValueHeads;
        const rows = lengths.reduce((sum, length) => sum + length, 0);
        const starts = lengths.flatMap((length, index) =>
          new Array<number>(length).fill(lengths.slice(0, index).reduce((sum, each) => sum + each, 0)),
        );
        const ends = lengths.flatMap((length, index) =>
          new Array<number>(length).fill(lengths.slice(0, index + 1).reduce((sum, each) => sum + each, 0)),
        );
        const tape = new Tape(new Workspace(device));
        const q = device.tensor(
          'q',
          [rows, heads * headDimension],
          'f32',
          randomFloats(rows * heads * headDimension, 1, 3),
        );
        const k = device.tensor(
          'k',
          [rows, keyValueHeads * headDimension],
          'f32',
          randomFloats(rows * keyValueHeads * headDimension, 2, 3),
        );
        // Every row of a segment has the value of its segment, every head its own.
        const values = Float32Array.from(
          { length: rows * keyValueHeads * headDimension },
          (_, index) =>
            at(starts, Math.floor(index / (keyValueHeads * headDimension))) +
            (index % (keyValueHeads * headDimension)) / 16,
        );
        const v = device.tensor('v', k.shape, 'f32', values);
        const segments = {
          segmentStart: device.tensor('start', [rows], 'u32', Uint32Array.from(starts)),
          segmentEnd: device.tensor('end', [rows], 'u32', Uint32Array.from(ends)),
        };
        const out = tape.output(attention(tape, q, k, v, segments, { heads, keyValueHeads, headDimension, causal }));
        (await tape.finish('mean')).run();
        const expected = Float32Array.from({ length: rows * heads * headDimension }, (_, index) => {
          const row = Math.floor(index / (heads * headDimension));
          const head = Math.floor((index % (heads * headDimension)) / headDimension);
          return at(
            values,
            (row * keyValueHeads + Math.floor(head / groups)) * headDimension + (index % headDimension),
          );
        });
        expect(relativeError(await device.readFloats(out), expected)).toBeLessThan(2e-6);
      },
    ),
    runs,
  ));

test('convolution is linear in the picture, and moves with it', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.integer({ min: 3, max: 12 }),
      fc.integer({ min: 3, max: 12 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(1, 3),
      async (device, height, width, inChannels, outChannels, kernel) => {
        // A picture with one lit pixel, and the same one pixel further right: the results are shifted copies where no edge is near.
        const lit = (column: number): Float32Array => {
          const data = new Float32Array(height * width * inChannels);
          data.fill(
            1,
            (Math.floor(height / 2) * width + column) * inChannels,
            (Math.floor(height / 2) * width + column + 1) * inChannels,
          );
          return data;
        };
        const weight = device.tensor(
          'weight',
          [outChannels, kernel, kernel, inChannels],
          'f32',
          randomFloats(outChannels * kernel * kernel * inChannels, 2),
        );
        const run = async (data: Float32Array): Promise<Float32Array> => {
          const tape = new Tape(new Workspace(device));
          const out = tape.output(
            conv2d(tape, device.tensor('x', [1, height, width, inChannels], 'f32', data), weight, undefined),
          );
          (await tape.finish('moved')).run();
          return device.readFloats(out);
        };
        const [left, right, both] = [
          await run(lit(0)),
          await run(lit(1)),
          await run(lit(0).map((value, index) => 2 * value - at(lit(1), index))),
        ];
        expect(
          relativeError(
            both,
            left.map((value, index) => 2 * value - at(right, index)),
          ),
        ).toBeLessThan(2e-6);
        for (let y = 0; y < height; y++)
          for (let x = 0; x + 2 < width; x++)
            for (let o = 0; o < outChannels; o++)
              expect(at(right, (y * width + x + 1) * outChannels + o)).toBeCloseTo(
                at(left, (y * width + x) * outChannels + o),
                5,
              );
      },
    ),
    runs,
  ));

test('enlarging and then filtering is what the fused op does', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 20 }),
      async (device, height, width, quads, outChannels) => {
        const channels = quads * 4;
        const tape = new Tape(new Workspace(device));
        const x = device.tensor(
          'x',
          [2, height, width, channels],
          'f32',
          randomFloats(2 * height * width * channels, 1),
        );
        const weight = device.tensor(
          'weight',
          [outChannels, 3, 3, channels],
          'f32',
          randomFloats(outChannels * 9 * channels, 2),
        );
        const bias = device.tensor('bias', [outChannels], 'f32', randomFloats(outChannels, 3));
        const fused = tape.output(upsampleConv2d(tape, x, weight, bias));
        const steps = tape.output(conv2d(tape, upsample(tape, x), weight, bias));
        (await tape.finish('enlarged')).run();
        expect(relativeError(await device.readFloats(fused), await device.readFloats(steps))).toBeLessThan(2e-6);
      },
    ),
    runs,
  ));

test('group norm: every group of every picture has mean zero and variance one', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 2, max: 40 }),
      fc.integer({ min: 1, max: 30 }),
      fc.constantFrom([1, 4], [2, 4], [2, 8], [8, 32], [3, 24]),
      async (device, images, height, width, [groups = 1, channels = 4]) => {
        const tape = new Tape(new Workspace(device));
        const count = images * height * width * channels;
        const x = device.tensor(
          'x',
          [images, height, width, channels],
          'f32',
          randomFloats(count, 1, 3).map((value, index) => value + (index % channels) - 2),
        );
        const ones = device.tensor('ones', [channels], 'f32', new Float32Array(channels).fill(1));
        const zeros = device.tensor('zeros', [channels]);
        const out = tape.output(groupNorm(tape, x, ones, zeros, { groups, epsilon: 1e-8 }));
        (await tape.finish('groups')).run();
        const values = await device.readFloats(out);
        const size = channels / groups;
        for (let image = 0; image < images; image++)
          for (let group = 0; group < groups; group++) {
            const members = [...values.subarray((image * count) / images, ((image + 1) * count) / images)].filter(
              (_, index) => Math.floor((index % channels) / size) === group,
            );
            const mean = members.reduce((sum, value) => sum + value, 0) / members.length;
            expect(Math.abs(mean)).toBeLessThan(1e-5);
            expect(
              Math.abs(members.reduce((sum, value) => sum + (value - mean) ** 2, 0) / members.length - 1),
            ).toBeLessThan(1e-4);
          }
      },
    ),
    runs,
  ));

test('the fused head is the head in two steps, value and gradients', () =>
  fc.assert(
    fc.asyncProperty(
      anyDevice,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 129, max: 900 }),
      fc.constantFrom(128, 256, 384),
      fc.option(fc.double({ min: 1, max: 9, noNaN: true }), { nil: undefined }),
      async (device, rows, inner, columns, chunk, clamp) => {
        const run = async (
          head: (tape: Tape, hidden: Tensor, weight: Tensor, bias: Tensor, ids: Tensor) => Tensor,
        ): Promise<Float32Array[]> => {
          const tape = new Tape(new Workspace(device));
          const inputs = [
            device.tensor('hidden', [rows, inner], 'f32', randomFloats(rows * inner, 1, 2)),
            device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2, 2)),
            device.tensor('bias', [columns], 'f32', randomFloats(columns, 3)),
          ] as const;
          const gradients = inputs.map((input) => device.tensor('gradient', input.shape));
          inputs.forEach((input, index) => tape.watch(input, gradients[index] ?? input));
          const out = head(tape, ...inputs, device.tensor('ids', [rows], 'u32', randomWords(rows, 4, columns)));
          const kept = tape.output(out);
          tape.seed(out, device.tensor('d out', [rows, 2], 'f32', randomFloats(rows * 2, 5)));
          tape.backward();
          (await tape.finish('head')).run();
          return (await device.read([kept, ...gradients])) as Float32Array[];
        };
        const options = { temperature: 0.9, ...(clamp === undefined ? {} : { clamp }) };
        const fused = await run((tape, hidden, weight, bias, ids) =>
          languageHead(tape, hidden, weight, bias, ids, { ...options, chunk }),
        );
        const steps = await run((tape, hidden, weight, bias, ids) =>
          tokenLogProbability(tape, linear(tape, hidden, weight, bias), ids, options),
        );
        fused.forEach((values, index) => expect(relativeError(values, steps[index] ?? [])).toBeLessThan(1e-5));
      },
    ),
    runs,
  ));
