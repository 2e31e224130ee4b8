import { describe, expect, test } from 'vitest';
import { EntropyController } from '../../../core/rl/entropy-controller.ts';

const options = { target: 2, learningRate: 5e-5, minimum: -5e-3, maximum: 5e-3 };

describe('the entropy controller', () => {
  test('starts at 0 and moves by about its learning rate at first, against the side the entropy is on', () => {
    const above = new EntropyController(options);
    expect(above.coefficient).toBe(0);
    above.update(2.5);
    expect(above.coefficient).toBeCloseTo(5e-5, 9);
    const below = new EntropyController(options);
    below.update(1.5);
    expect(below.coefficient).toBeCloseTo(-5e-5, 9);
  });

  test('stays within its bounds, and leaves them again', () => {
    const controller = new EntropyController(options);
    for (let i = 0; i < 300; i++) controller.update(9);
    expect(controller.coefficient).toBeCloseTo(5e-3, 12);
    for (let i = 0; i < 400; i++) controller.update(0.1);
    expect(controller.coefficient).toBeLessThan(0);
  });

  test('holds the mean entropy of a policy near the target that would settle at twice that by itself', () => {
    const controller = new EntropyController({ target: 1, learningRate: 2e-3, minimum: -0.5, maximum: 0.5 });
    let entropy = 3;
    const recent: number[] = [];
    for (let i = 0; i < 4000; i++) {
      entropy += 0.02 * (0.05 - controller.coefficient - 0.05 * (entropy - 1));
      controller.update(entropy);
      if (i >= 3000) recent.push(entropy);
    }
    const mean = recent.reduce((sum, value) => sum + value, 0) / recent.length;
    expect(Math.abs(mean - 1)).toBeLessThan(0.2);
  });

  test('goes on from its state exactly, through JSON', () => {
    const first = new EntropyController(options);
    for (const entropy of [2.4, 1.9, 2.2]) first.update(entropy);
    const second = new EntropyController(options);
    second.restore(JSON.parse(JSON.stringify(first.state())));
    for (const entropy of [2.6, 1.1]) {
      first.update(entropy);
      second.update(entropy);
      expect(second.coefficient).toBe(first.coefficient);
    }
  });

  test('refuses what is no number', () => {
    expect(() => new EntropyController(options).update(NaN)).toThrow(/entropy is NaN/);
    expect(() => new EntropyController({ ...options, minimum: 1, maximum: 2 })).toThrow(/not within/);
    expect(() => new EntropyController({ ...options, target: Infinity })).toThrow(/finite/);
  });
});
