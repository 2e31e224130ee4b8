import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape } from '../../core/autograd/tape.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { assignCodes, normalizeRows, quantizeToCodebook } from '../../core/ops/codebook.ts';
import { at, maximumError, randomFloats, relativeError } from '../../core/testing.ts';

const weight = 0.7;
const commitment = 0.25;

type Rows = readonly (readonly number[])[];

const rowsOf = (values: ArrayLike<number>, size: number): Rows =>
  Array.from({ length: values.length / size }, (_, row) =>
    Array.from({ length: size }, (_value, i) => at(values, row * size + i)),
  );
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * at(b, i), 0);
const normal = (row: readonly number[]): number[] => row.map((value) => value / Math.sqrt(dot(row, row)));

function argmax(z: readonly number[], codebook: Rows): number {
  const cosines = codebook.map((code) => dot(z, code));
  return cosines.indexOf(Math.max(...cosines));
}

/**
 * What is differentiated, with the stopped gradients made explicit: with codes, q0 and z0 held at the point of departure,
 * Σ dOut · (z + q0 - z0) + weight · mean( |q - z0|² + commitment |q0 - z|² ), z and q normalized inside.
 */
function surrogate(latent: Rows, codebook: Rows, held: { codes: number[]; q: Rows; z: Rows; dOut: Rows }): number {
  const z = latent.map(normal);
  const q = held.codes.map((code) => normal(codebook[code] ?? []));
  let total = 0;
  z.forEach((row, r) => {
    total += dot(held.dOut[r] ?? [], row);
    const gap = (a: readonly number[], b: readonly number[]): number =>
      a.reduce((sum, value, i) => sum + (value - at(b, i)) ** 2, 0);
    total += (weight / z.length) * (gap(q[r] ?? [], held.z[r] ?? []) + commitment * gap(held.q[r] ?? [], row));
  });
  return total;
}

describe('codebook', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  test.each([
    { rows: 1, codes: 1, size: 4 },
    { rows: 37, codes: 19, size: 8 },
    { rows: 130, codes: 70, size: 32 },
  ])('$rows rows, $codes codes of $size', async ({ rows, codes, size }) => {
    const latent = randomFloats(rows * size, 1);
    const book = randomFloats(codes * size, 2, 3);
    const dOut = randomFloats(rows * size, 3, 0.1);
    const workspace = new Workspace(device);
    const tape = new Tape(workspace);
    const z = device.tensor('z', [rows, size], 'f32', latent);
    const codebook = device.tensor('codebook', [codes, size], 'f32', book);
    const dZ = device.tensor('d z', z.shape);
    const dCodebook = device.tensor('d codebook', codebook.shape);
    tape.watch(z, dZ);
    tape.watch(codebook, dCodebook);
    const quantized = quantizeToCodebook(tape, z, codebook, { weight, commitment });
    const kept = [quantized.out, quantized.codes, quantized.losses].map((tensor) => tape.output(tensor));
    tape.seed(quantized.out, device.tensor('d out', z.shape, 'f32', dOut));
    tape.backward();
    const program = await tape.finish('quantize');
    program.run();
    const [out, chosen, losses, latentGradient, codeGradient] = await device.read([...kept, dZ, dCodebook]);

    const latentRows = rowsOf(latent, size);
    const bookRows = rowsOf(book, size);
    const zRows = latentRows.map(normal);
    const expectedCodes = zRows.map((row) => argmax(row, bookRows.map(normal)));
    const q = expectedCodes.map((code) => normal(bookRows[code] ?? []));
    expect([...(chosen ?? [])]).toEqual(expectedCodes);
    expect(maximumError(out ?? [], q.flat())).toBeLessThan(1e-6);
    const expectedLosses = zRows.map(
      (row, r) => (1 + commitment) * row.reduce((sum, value, i) => sum + (value - at(q[r] ?? [], i)) ** 2, 0),
    );
    expect(maximumError(losses ?? [], expectedLosses)).toBeLessThan(1e-5);

    const held = { codes: expectedCodes, q, z: zRows, dOut: rowsOf(dOut, size) };
    const slope = (data: Float32Array, index: number, value: (moved: Rows) => number): number => {
      const moved = (by: number): number =>
        value(
          rowsOf(
            Float64Array.from(data, (v, i) => (i === index ? v + by : v)),
            size,
          ),
        );
      return (moved(1e-5) - moved(-1e-5)) / 2e-5;
    };
    // Up to a few hundred elements of each; 41 is prime, so every position within a vector is met.
    const sampled = (count: number): number[] =>
      [...Array(count).keys()].filter((index) => count < 400 || index % 41 === 0);
    const ofLatent = sampled(latent.length);
    const ofBook = sampled(book.length);
    const latentSlopes = ofLatent.map((index) => slope(latent, index, (moved) => surrogate(moved, bookRows, held)));
    const codeSlopes = ofBook.map((index) => slope(book, index, (moved) => surrogate(latentRows, moved, held)));
    expect(
      relativeError(
        ofLatent.map((index) => at(latentGradient ?? [], index)),
        latentSlopes,
      ),
    ).toBeLessThan(1e-5);
    expect(
      relativeError(
        ofBook.map((index) => at(codeGradient ?? [], index)),
        codeSlopes,
      ),
    ).toBeLessThan(1e-5);
    program.dispose();
    workspace.close();
  });

  test('among equal codes the first is taken', async () => {
    const workspace = new Workspace(device);
    const tape = new Tape(workspace);
    const codebook = device.tensor(
      'codebook',
      [4, 4],
      'f32',
      Float32Array.of(0, 1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0),
    );
    const z = device.tensor('z', [2, 4], 'f32', Float32Array.of(0.5, 0, 0, 0, -1, 0, 0, 0));
    const codes = tape.output(assignCodes(tape, normalizeRows(tape, z).normal, normalizeRows(tape, codebook).normal));
    const program = await tape.finish('ties');
    program.run();
    expect([...(await device.readWords(codes))]).toEqual([1, 0]);
    program.dispose();
    workspace.close();
  });

  test('a latent of another size is refused', () => {
    const tape = new Tape(new Workspace(device));
    expect(() => quantizeToCodebook(tape, device.tensor('z', [2, 4]), device.tensor('book', [3, 8]))).toThrow(
      'z [2,4] does not fit book [3,8]',
    );
  });
});
