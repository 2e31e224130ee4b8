import { expect, test } from 'vitest';
import { KlController } from '../../../core/rl/kl-controller.ts';

test('a fixed coefficient stays', () => {
  const kl = new KlController({ coefficient: 0.02, horizon: 100 });
  kl.update(50, 100);
  expect(kl.coefficient).toBe(0.02);
});

test('it follows the published rule: proportional to the error, which is cut to 0.2', () => {
  const kl = new KlController({ coefficient: 0.1, target: 0.5, horizon: 1000 });
  kl.update(0.55, 100); // error 0.1
  expect(kl.coefficient).toBeCloseTo(0.1 * (1 + (0.1 * 100) / 1000), 12);
  kl.update(40, 100); // cut to 0.2
  expect(kl.coefficient).toBeCloseTo(0.1 * 1.01 * 1.02, 12);
  kl.update(0, 100); // cut to -0.2
  expect(kl.coefficient).toBeCloseTo(0.1 * 1.01 * 1.02 * 0.98, 12);
});

test('it goes on from its state', () => {
  const options = { coefficient: 0.1, target: 0.5, horizon: 1000 };
  const [whole, before, after] = [new KlController(options), new KlController(options), new KlController(options)];
  [whole, before].forEach((kl) => kl.update(0.7, 64));
  after.restore(before.state());
  [whole, after].forEach((kl) => kl.update(0.2, 64));
  expect(after.coefficient).toBe(whole.coefficient);
});

test('numbers that are none, or make no sense, are refused', () => {
  expect(() => new KlController({ coefficient: -1, horizon: 1 })).toThrow(RangeError);
  expect(() => new KlController({ coefficient: 1, target: 1, horizon: 1 }).update(NaN, 1)).toThrow(/divergence is NaN/);
});
