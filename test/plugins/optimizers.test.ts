import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/autograd/parameters.ts';
import { Workspace } from '../../core/autograd/program.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { Optimizer } from '../../core/contracts/optimizer.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import optimizers from '../../plugins/optimizers/index.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

const specs = [
  { name: 'matrix', shape: [7, 11], init: { normal: 0.5 } },
  { name: 'vector', shape: [13], init: { normal: 0.5 } },
  { name: 'frozen', shape: [3, 5], init: { normal: 0.5 } },
] as const;

function component(name: string, options: Record<string, unknown>): Optimizer {
  const found = optimizers.provides.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no optimizer ${name}`);
  return found.create(found.options.parse(options), {} as never) as Optimizer;
}

function gradientAt(step: number, index: number): number {
  return Math.fround(Math.sin(step * 3.7 + index * 1.3));
}

interface Host {
  weights: Float64Array;
  m: Float64Array;
  v: Float64Array;
}

/** Runs `steps` updates on the device and by `rule` in float64, and compares every weight after each. */
async function compare(optimizer: Optimizer, maxNorm: number, rule: (host: Host, gradient: number, index: number, step: number, decays: boolean) => void): Promise<void> {
  const parameters = new ParameterSet(device, specs, { seed: 3, trainable: (name) => name !== 'frozen' });
  const open = optimizer.open(parameters);
  const tape = new Tape(new Workspace(device));
  open.record(tape);
  const program = await tape.finish('update');
  const initial = await parameters.read();
  const hosts = new Map([...initial].map(([name, { data }]) => [name, { weights: Float64Array.from(data), m: new Float64Array(data.length), v: new Float64Array(data.length) }]));
  for (let step = 1; step <= 4; step++) {
    let squares = 0;
    for (const { name } of specs) {
      const gradient = parameters.gradient(name);
      if (gradient === undefined) continue;
      const values = Float32Array.from({ length: hosts.get(name)?.weights.length ?? 0 }, (_, index) => gradientAt(step, index));
      device.write(gradient, values);
      squares += values.reduce((sum, value) => sum + value * value, 0);
    }
    open.prepare(step, optimizer.learningRate);
    program.run();
    const [norm, wasApplied] = await device.readFloats(open.report);
    expect(norm).toBeCloseTo(Math.sqrt(squares), 4);
    expect(wasApplied).toBe(1);
    const scale = maxNorm > 0 ? Math.min(1, maxNorm / (Math.sqrt(squares) + 1e-6)) : 1;
    for (const { name, shape } of specs.slice(0, 2)) {
      const host = hosts.get(name);
      host?.weights.forEach((_, index) => rule(host, gradientAt(step, index) * scale, index, step, shape.length > 1));
    }
    const actual = await parameters.read();
    for (const { name } of specs) {
      const expected = hosts.get(name)?.weights ?? new Float64Array();
      actual.get(name)?.data.forEach((value, index) => expect(Math.abs(value - (expected[index] ?? 0)), `${name}[${index}] after step ${step}`).toBeLessThan(2e-6));
    }
  }
  for (const gradient of (await parameters.read('gradients')).values()) expect(gradient.data.every((value) => value === 0)).toBe(true);
  parameters.close();
}

describe('optimizers against float64', () => {
  test.each([0, 1])('adamw, maxNorm %d', async (maxNorm) => {
    const [rate, decay, b1, b2, epsilon] = [0.01, 0.1, 0.9, 0.95, 1e-8];
    const optimizer = component('adamw', { learningRate: rate, weightDecay: decay, betas: [b1, b2], maxNorm });
    await compare(optimizer, maxNorm, (host, gradient, index, step, decays) => {
      const m = b1 * (host.m[index] ?? 0) + (1 - b1) * gradient;
      const v = b2 * (host.v[index] ?? 0) + (1 - b2) * gradient * gradient;
      host.m[index] = m;
      host.v[index] = v;
      const weight = (host.weights[index] ?? 0) * (decays ? 1 - rate * decay : 1);
      host.weights[index] = weight - (rate * (m / (1 - b1 ** step))) / (Math.sqrt(v / (1 - b2 ** step)) + epsilon);
    });
  });

  test('sgd with momentum', async () => {
    const [rate, decay, momentum] = [0.05, 0.1, 0.8];
    const optimizer = component('sgd', { learningRate: rate, weightDecay: decay, momentum, maxNorm: 0 });
    await compare(optimizer, 0, (host, gradient, index, _step, decays) => {
      host.m[index] = momentum * (host.m[index] ?? 0) + gradient;
      host.weights[index] = (host.weights[index] ?? 0) * (decays ? 1 - rate * decay : 1) - rate * (host.m[index] ?? 0);
    });
  });

  test.each(['adamw', 'sgd'])('%s leaves the weights alone when a gradient is not finite, and says so', async (name) => {
    const optimizer = component(name, { learningRate: 0.1 });
    const parameters = new ParameterSet(device, specs, { seed: 3, trainable: () => true });
    const open = optimizer.open(parameters);
    const tape = new Tape(new Workspace(device));
    open.record(tape);
    const program = await tape.finish('update');
    const before = await parameters.read();
    const gradient = parameters.gradient('vector');
    if (gradient === undefined) throw new Error('vector is trained');
    device.write(gradient, new Float32Array(13).fill(Number.NaN));
    open.prepare(1, 0.1);
    program.run();
    const [norm, wasApplied] = await device.readFloats(open.report);
    expect(Number.isFinite(norm)).toBe(false);
    expect(wasApplied).toBe(0);
    expect([...(await parameters.read())]).toEqual([...before]);
    parameters.close();
  });
});
