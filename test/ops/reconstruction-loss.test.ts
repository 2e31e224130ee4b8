import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { linear } from '../../core/ops/linear.ts';
import { reconstructionLoss } from '../../core/ops/reconstruction-loss.ts';
import { at, randomFloats, relativeError } from '../../core/testing.ts';

const options = { edge: 0.5, emphasis: 4, threshold: 0.3, background: [0.1, -0.2, 0.4] } as const;

function oracle(
  shape: readonly [number, number, number],
  out: ArrayLike<number>,
  goal: ArrayLike<number>,
): { loss: number; square: number } {
  const [images, height, width] = shape;
  const d = (image: number, y: number, x: number, c: number): number => {
    const index = ((image * height + y) * width + x) * 4 + c;
    return at(out, index) - at(goal, index);
  };
  const sums = { plain: 0, edgeX: 0, edgeY: 0, square: 0 };
  for (let image = 0; image < images; image++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const contrast = [0, 1, 2].map((c) =>
          Math.abs(at(goal, ((image * height + y) * width + x) * 4 + c) - at(options.background, c)),
        );
        const weight = Math.max(...contrast) > options.threshold ? options.emphasis : 1;
        for (let c = 0; c < 3; c++) {
          const error = d(image, y, x, c);
          sums.plain += weight * (Math.abs(error) + 2 * error * error);
          sums.square += error * error;
          if (x + 1 < width) sums.edgeX += Math.abs(d(image, y, x + 1, c) - error);
          if (y + 1 < height) sums.edgeY += Math.abs(d(image, y + 1, x, c) - error);
        }
      }
  const count = 3 * images;
  const edge =
    sums.edgeX / Math.max(1, count * height * (width - 1)) + sums.edgeY / Math.max(1, count * (height - 1) * width);
  return { loss: sums.plain / (count * height * width) + options.edge * edge, square: sums.square };
}

describe('reconstructionLoss', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test.each([[[2, 6, 5] as const], [[1, 1, 1] as const], [[3, 13, 7] as const]])('%j', async (shape) => {
    const full = [...shape, 4];
    const count = full.reduce((product, n) => product * n, 1);
    const workspace = new Workspace(device);
    const tape = new Tape(workspace);
    const values = randomFloats(count, 1);
    const goalValues = randomFloats(count, 2);
    const picture = device.tensor('picture', full, 'f32', values);
    const gradient = device.tensor('d picture', full);
    tape.watch(picture, gradient);
    // The loss starts at a value of the tape: an identity in front of it passes the gradient on unchanged.
    const out = linear(
      tape,
      picture,
      device.tensor('identity', [4, 4], 'f32', Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)),
    );
    const losses = tape.output(reconstructionLoss(tape, out, device.tensor('goal', full, 'f32', goalValues), options));
    tape.backward();
    const program = await tape.finish('loss');
    program.run();
    const rows = await device.readFloats(losses);
    const expected = oracle(shape, values, goalValues);
    const sum = (offset: number): number =>
      rows.filter((_, index) => index % 2 === offset).reduce((total, value) => total + value, 0);
    expect(Math.abs(sum(0) / expected.loss - 1)).toBeLessThan(1e-5);
    expect(Math.abs(sum(1) / expected.square - 1)).toBeLessThan(1e-5);
    const slopes = Array.from(values, (_, index) => {
      const moved = (by: number): number =>
        oracle(
          shape,
          Float64Array.from(values, (v, i) => (i === index ? v + by : v)),
          goalValues,
        ).loss;
      return (moved(1e-6) - moved(-1e-6)) / 2e-6;
    });
    expect(relativeError(await device.readFloats(gradient), slopes)).toBeLessThan(1e-5);
    program.dispose();
    workspace.close();
  });

  test('pictures of different shapes are refused', () => {
    const tape = new Tape(new Workspace(device));
    expect(() =>
      reconstructionLoss(tape, device.tensor('out', [1, 2, 2, 4]), device.tensor('goal', [1, 2, 3, 4])),
    ).toThrow('must be [B, H, W, 4] alike');
  });
});
