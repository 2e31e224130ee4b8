import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParameterSet } from '../../core/weights/parameters.ts';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import type { OpenOptimizer, Optimizer } from '../../core/contracts/optimizer.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { byteLength } from '../../core/tensor/tensor.ts';
import { at } from '../../core/testing.ts';
import optimizers from '../../plugins/optimizers/index.ts';
import {
  adamwRule,
  codedAdamwRule,
  lionRule,
  muonRule,
  sgdRule,
  type HostTensor,
  type Rule,
} from './optimizer-rules.ts';

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

const specs = [
  { name: 'block.matrix', shape: [7, 11], init: { normal: 0.5 } },
  { name: 'block.tall', shape: [12, 5], init: { normal: 0.5 } },
  { name: 'vector', shape: [13], init: { normal: 0.5 } },
  { name: 'frozen', shape: [3, 5], init: { normal: 0.5 } },
  { name: 'embed', shape: [9, 8], init: { normal: 0.5 } },
] as const;
const names = ['adamw', 'adamw-8bit', 'lion', 'muon', 'sgd'];

function component(name: string, options: Record<string, unknown>): Optimizer {
  const found = optimizers.provides.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no optimizer ${name}`);
  return found.create(found.options.parse(options), {} as never) as Optimizer;
}

/** Trained weights with a recorded update. */
async function open(
  optimizer: Optimizer,
): Promise<{ parameters: ParameterSet; opened: OpenOptimizer; update: () => void }> {
  const parameters = new ParameterSet(device, specs, { seed: 3, trainable: (name) => name !== 'frozen' });
  const opened = optimizer.open(parameters);
  const tape = new Tape(new Workspace(device));
  opened.record(tape);
  const program = await tape.finish('update');
  return { parameters, opened, update: () => program.run() };
}

/** Gradients of very different sizes, so that a block holds large and small ones. */
function gradientAt(step: number, index: number): number {
  return Math.fround(Math.sin(step * 3.7 + index * 1.3) * 10 ** -(index % 4));
}

function setGradients(parameters: ParameterSet, step: number): Map<string, Float32Array> {
  const gradients = new Map<string, Float32Array>();
  for (const { name, shape } of specs) {
    const gradient = parameters.gradient(name);
    if (gradient === undefined) continue;
    const values = Float32Array.from({ length: shape.reduce((product: number, n) => product * n, 1) }, (_, index) =>
      gradientAt(step, index),
    );
    device.write(gradient, values);
    gradients.set(name, values);
  }
  return gradients;
}

/** Runs updates on the device and by `rule` in float64, and compares every weight after each. */
async function compare(optimizer: Optimizer, maxNorm: number, rule: Rule, tolerance = 2e-6, steps = 12): Promise<void> {
  const { parameters, opened, update } = await open(optimizer);
  const hosts = new Map<string, HostTensor>();
  for (const { name, shape } of specs) {
    const data = await parameters.readTensor(name);
    hosts.set(name, {
      name,
      shape,
      weights: Float64Array.from(data),
      first: new Float64Array(data.length),
      second: new Float64Array(data.length),
    });
  }
  for (let step = 1; step <= steps; step++) {
    const gradients = setGradients(parameters, step);
    const squares = [...gradients.values()].reduce(
      (sum, values) => sum + values.reduce((part, value) => part + value * value, 0),
      0,
    );
    opened.prepare(step, optimizer.learningRate);
    update();
    const [norm, wasApplied] = await device.readFloats(opened.report);
    expect(norm).toBeCloseTo(Math.sqrt(squares), 4);
    expect(wasApplied).toBe(1);
    const scale = maxNorm > 0 ? Math.min(1, maxNorm / (Math.sqrt(squares) + 1e-6)) : 1;
    const actual = await parameters.read();
    for (const [name, host] of hosts) {
      const gradient = gradients.get(name);
      if (gradient !== undefined)
        rule(
          host,
          Float64Array.from(gradient, (value) => value * scale),
          step,
        );
      actual
        .get(name)
        ?.data.forEach((value, index) =>
          expect(Math.abs(value - at(host.weights, index)), `${name}[${index}] after step ${step}`).toBeLessThan(
            tolerance,
          ),
        );
    }
  }
  for (const gradient of (await parameters.read('gradients')).values())
    expect(gradient.data.every((value) => value === 0)).toBe(true);
  parameters.close();
}

describe('optimizers against float64, 12 steps', () => {
  const [rate, decay, b1, b2] = [0.01, 0.1, 0.9, 0.95];

  test.each([0, 1])('adamw, maxNorm %d', async (maxNorm) => {
    await compare(
      component('adamw', { learningRate: rate, weightDecay: decay, betas: [b1, b2], maxNorm }),
      maxNorm,
      adamwRule(rate, decay, b1, b2),
    );
  });

  test('adamw-8bit: the float64 twin rounds with the same words', async () => {
    await compare(
      component('adamw-8bit', { learningRate: rate, weightDecay: decay, betas: [b1, b2] }),
      1,
      codedAdamwRule(
        rate,
        decay,
        b1,
        b2,
        specs.filter(({ name }) => name !== 'frozen'),
      ),
      2e-5,
    );
  });

  test('lion', async () => {
    await compare(
      component('lion', { learningRate: rate, weightDecay: decay, betas: [b1, b2], maxNorm: 0 }),
      0,
      lionRule(rate, decay, b1, b2),
    );
  });

  test('muon: matrices by Newton–Schulz, embedding and vector by AdamW', async () => {
    await compare(
      component('muon', { learningRate: rate, weightDecay: decay, betas: [b1, b2], maxNorm: 1, momentum: 0.9 }),
      1,
      muonRule(rate, decay, b1, b2, 0.9),
      1e-5,
    );
  });

  test('sgd with momentum', async () => {
    await compare(
      component('sgd', { learningRate: 0.05, weightDecay: decay, momentum: 0.8, maxNorm: 0 }),
      0,
      sgdRule(0.05, decay, 0.8),
    );
  });
});

describe.each(names)('%s', (name) => {
  test('leaves the weights alone when a gradient is not finite, and says so', async () => {
    const { parameters, opened, update } = await open(component(name, { learningRate: 0.1 }));
    setGradients(parameters, 1);
    opened.prepare(1, 0.1);
    update();
    const states = [...opened.state.values()];
    const before = [...(await parameters.read())];
    const stateBefore = await device.read(states);
    const gradient = parameters.gradient('vector');
    if (gradient === undefined) throw new Error('vector is trained');
    device.write(gradient, new Float32Array(13).fill(Number.NaN));
    opened.prepare(2, 0.1);
    update();
    const [norm, wasApplied] = await device.readFloats(opened.report);
    expect(Number.isFinite(norm)).toBe(false);
    expect(wasApplied).toBe(0);
    expect([...(await parameters.read())]).toEqual(before);
    expect(await device.read(states)).toEqual(stateBefore);
    expect((await parameters.readTensor('vector', 'gradients')).every((value) => value === 0)).toBe(true);
    parameters.close();
  });

  test('goes on bit by bit from its saved state, words and floats', async () => {
    const optimizer = component(name, { learningRate: 0.02 });
    const whole = await open(optimizer);
    const resumed = await open(optimizer);
    const step = (run: typeof whole, number: number): void => {
      setGradients(run.parameters, number);
      run.opened.prepare(number, optimizer.learningRate);
      run.update();
    };
    for (let number = 1; number <= 3; number++) step(whole, number);
    resumed.parameters.load(await whole.parameters.read(), 'the whole run');
    for (const [key, tensor] of whole.opened.state) {
      const [saved] = await device.read([tensor]);
      const target = resumed.opened.state.get(key);
      if (saved === undefined || target === undefined) throw new Error(`no state ${key}`);
      device.write(target, saved);
    }
    for (const run of [whole, resumed]) for (let number = 4; number <= 6; number++) step(run, number);
    expect([...(await resumed.parameters.read())]).toEqual([...(await whole.parameters.read())]);
    whole.parameters.close();
    resumed.parameters.close();
  });

  test('takes the state it says, and none for what is frozen', () => {
    // Bytes per parameter: f32 moments, or a byte each with two scales for 64; Muon keeps one velocity for a matrix, AdamW's two moments for the rest.
    const matrices = 256 * 256;
    const others = 64 * 256;
    const expected: Readonly<Record<string, number>> = {
      adamw: 8 * (matrices + others),
      'adamw-8bit': 2.125 * (matrices + others),
      lion: 4 * (matrices + others),
      muon: 4 * matrices + 8 * others,
      sgd: 4 * (matrices + others),
    };
    const optimizer = component(name, { learningRate: 0.1 });
    const large = [
      { name: 'block.a', shape: [256, 256], init: { constant: 0 } },
      { name: 'embed', shape: [64, 256], init: { constant: 0 } },
      { name: 'frozen', shape: [512, 512], init: { constant: 0 } },
    ] as const;
    const parameters = new ParameterSet(device, large, { seed: 1, trainable: (each) => each !== 'frozen' });
    const { state } = optimizer.open(parameters);
    const bytes = [...state.values()].reduce((sum, { shape, type }) => sum + byteLength(shape, type), 0);
    expect(bytes).toBe(expected[name]);
    parameters.close();
  });

  test('solves least squares', async () => {
    // Gradients of ½‖W − T‖², the target far from where the weights begin: every rule must come close to it.
    const rates: Readonly<Record<string, number>> = {
      adamw: 0.05,
      'adamw-8bit': 0.05,
      lion: 0.05,
      muon: 0.2,
      sgd: 0.05,
    };
    const rate = rates[name] ?? 0;
    const { parameters, opened, update } = await open(
      component(name, { learningRate: rate, weightDecay: 0, maxNorm: 0 }),
    );
    const targets = new Map<string, Float32Array>(
      specs.map(({ name: each, shape }) => [
        each,
        Float32Array.from({ length: shape.reduce((product: number, n) => product * n, 1) }, (_, index) =>
          Math.cos(index * 0.7),
        ),
      ]),
    );
    const distance = (weights: ReadonlyMap<string, { readonly data: Float32Array }>): number =>
      Math.sqrt(
        specs
          .filter(({ name: each }) => each !== 'frozen')
          .reduce(
            (sum, { name: each }) =>
              sum +
              (weights.get(each)?.data ?? new Float32Array()).reduce(
                (part, value, index) => part + (value - at(targets.get(each) ?? [], index)) ** 2,
                0,
              ),
            0,
          ),
      );
    const start = distance(await parameters.read());
    for (let step = 1; step <= 150; step++) {
      for (const [each, { data }] of await parameters.read()) {
        const gradient = parameters.gradient(each);
        if (gradient !== undefined)
          device.write(
            gradient,
            data.map((value, index) => value - at(targets.get(each) ?? [], index)),
          );
      }
      opened.prepare(step, rate * (1 - step / 151));
      update();
    }
    expect(distance(await parameters.read())).toBeLessThan(0.05 * start);
    parameters.close();
  });
});
