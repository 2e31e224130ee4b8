/** The entropy controller against the trace of the published one, run in PyTorch. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EntropyController } from '../../core/rl/entropy-controller.ts';
import { at } from '../../core/testing.ts';
import { fixtureFolders } from './support.ts';

interface Trace {
  readonly init: number;
  readonly target: number;
  readonly lr: number;
  readonly bounds: readonly [number, number];
  readonly entropies: readonly number[];
  readonly alpha: readonly number[];
}

test.each(fixtureFolders())('$name: the coefficient before every update and after the last', ({ folder }) => {
  const { adaptive_entropy: trace } = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8')) as { adaptive_entropy: Trace };
  const controller = new EntropyController({ target: trace.target, learningRate: trace.lr, minimum: trace.bounds[0], maximum: trace.bounds[1], initial: trace.init });
  const coefficients = [controller.coefficient];
  for (const entropy of trace.entropies) {
    controller.update(entropy);
    coefficients.push(controller.coefficient);
  }
  expect(coefficients).toHaveLength(trace.alpha.length);
  // The trace was computed in f32: six digits of values of some 1e-4.
  coefficients.forEach((value, index) => expect(Math.abs(value - at(trace.alpha, index))).toBeLessThan(1e-9));
});
