/** What a group of the harness hands back, and the few ways of comparing. */
import type { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Device } from '../../core/gpu/device.ts';
import type { Tensor } from '../../core/tensor/tensor.ts';
import { maximumError, relativeError } from '../../core/testing.ts';
import type { Fixture } from './fixture.ts';

export interface Comparison {
  readonly name: string;
  readonly error: number;
  /** The largest error that passes. */
  readonly tolerance: number;
  /** What the error should be like; the repository's own tests hold their fixtures to it. */
  readonly aim: number;
}

/** Where a group computes. */
export interface Bench {
  readonly device: Device;
  readonly workspace: Workspace;
  readonly fixture: Fixture;
}

export type Group = (bench: Bench) => Promise<Comparison[]>;

/** Bounds of test/golden/README.md, in f32: what passes and what to aim at. */
export const bounds = {
  hidden: { tolerance: 1e-4, aim: 2e-5 },
  logits: { tolerance: 1e-4, aim: 2e-5 },
  /** Guidance w magnifies the errors of both streams up to 2w - 1 times. */
  guided: { tolerance: 9e-4, aim: 1.8e-4 },
  pixels: { tolerance: 1e-3, aim: 1e-4 },
  latents: { tolerance: 1e-3, aim: 1e-4 },
  gradient: { tolerance: 1e-3, aim: 1e-4 },
  trained: { tolerance: 1e-3, aim: 1e-3 },
  norm: { tolerance: 1e-3, aim: 1e-4 },
  loss: { tolerance: 1e-4, aim: 1e-5 },
  /** Of values of some 1e-4, computed in f32 there. */
  coefficient: { tolerance: 1e-8, aim: 1e-9 },
  /** Means of log-probabilities, ratios and entropies. */
  objective: { tolerance: 2e-5, aim: 5e-6 },
  advantage: { tolerance: 1e-5, aim: 1e-6 },
  exact: { tolerance: 0, aim: 0 },
} as const;

type Bound = Pick<Comparison, 'tolerance' | 'aim'>;

export function compare(name: string, error: number, bound: Bound): Comparison {
  return { name, error, ...bound };
}

/** Largest absolute difference. */
export function farthest(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: Bound,
): Comparison {
  return compare(
    name,
    actual.length === expected.length ? maximumError(actual, expected) : Number.POSITIVE_INFINITY,
    bound,
  );
}

/** ‖actual - expected‖ / ‖expected‖. */
export function apart(name: string, actual: ArrayLike<number>, expected: ArrayLike<number>, bound: Bound): Comparison {
  return compare(
    name,
    actual.length === expected.length ? relativeError(actual, expected) : Number.POSITIVE_INFINITY,
    bound,
  );
}

/** Relative difference of two numbers; absolute where the expected one is zero. */
export function ratio(name: string, actual: number, expected: number, bound: Bound): Comparison {
  return compare(name, Math.abs(actual - expected) / (expected === 0 ? 1 : Math.abs(expected)), bound);
}

export function passes({ error, tolerance }: Comparison): boolean {
  return error <= tolerance;
}

/** Records, runs once, reads what `make` returns. */
export async function compute(
  { device, workspace }: Pick<Bench, 'device' | 'workspace'>,
  make: (tape: Tape) => readonly Tensor[],
): Promise<Float32Array[]> {
  const tape = new Tape(workspace);
  const kept = make(tape).map((tensor) => tape.output(tensor));
  const program = await tape.finish('golden');
  program.run();
  const values = await device.read(kept);
  program.dispose();
  for (const tensor of kept) device.destroyTensor(tensor);
  return values.map((value) => (value instanceof Float32Array ? value : Float32Array.from(value)));
}
