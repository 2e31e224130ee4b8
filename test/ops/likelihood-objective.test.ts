import { afterAll, beforeAll, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { likelihoodObjective } from '../../core/ops/likelihood-objective.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

const k3 = (l: number, r: number): number =>
  Math.exp(Math.max(-20, Math.min(20, r - l))) - Math.max(-20, Math.min(20, r - l)) - 1;

test('the derivative of the weighted loss by each log-probability, and the divergence itself', async () => {
  const count = 131;
  const scored = Float32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? -((i * 7) % 50) / 9 : 1));
  const terms = Float32Array.from(
    { length: 4 * count },
    (_, i) => [((i % 5) + 1) / 100, -((i * 3) % 40) / 8, (i >> 2) % 3 === 0 ? 0 : 0.01, 0][i % 4] ?? 0,
  );
  // Far apart: the exponential must not overflow.
  terms[4 * 5 + 1] = 300;
  terms[4 * 7 + 1] = -300;
  const tensors = {
    scored: device.tensor('scored', [count, 2], 'f32', scored),
    terms: device.tensor('terms', [count, 4], 'f32', terms),
  };
  const tape = new Tape(new Workspace(device));
  const { dOut, divergences } = likelihoodObjective(tape, tensors.scored, tensors.terms);
  const outputs = [tape.output(dOut), tape.output(divergences)];
  const program = await tape.finish('likelihood');
  program.run();
  const [slopes, apart] = (await device.read(outputs)) as [Float32Array, Float32Array];
  for (let i = 0; i < count; i++) {
    const [weight, reference, share] = [terms[4 * i] ?? 0, terms[4 * i + 1] ?? 0, terms[4 * i + 2] ?? 0];
    const l = scored[2 * i] ?? 0;
    const loss = (x: number): number => -weight * x + (share === 0 ? 0 : share * k3(x, reference));
    const isCut = share !== 0 && Math.abs(reference - l) > 20;
    const expected = isCut
      ? -weight + share * (1 - Math.exp(Math.sign(reference - l) * 20))
      : (loss(l + 1e-5) - loss(l - 1e-5)) / 2e-5;
    expect(Math.abs((slopes[2 * i] ?? NaN) - expected)).toBeLessThan(1e-4 * Math.max(1e-2, Math.abs(expected)));
    expect(slopes[2 * i + 1]).toBe(0);
    const divergence = share === 0 ? 0 : k3(l, reference);
    expect(Math.abs((apart[i] ?? NaN) - divergence)).toBeLessThan(1e-5 * Math.max(1, divergence));
  }
  program.dispose();
});
