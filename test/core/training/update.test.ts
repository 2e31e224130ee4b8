/** Updates over ranks that share out the state of the optimizer: the weights are those of one process, and so is the state put together. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape } from '../../../core/autograd/tape.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Communicator } from '../../../core/contracts/communicator.ts';
import type { Optimizer } from '../../../core/contracts/optimizer.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { deviceSource } from '../../../core/io/safetensors-stream.ts';
import { single } from '../../../core/ranks/single.ts';
import { at } from '../../../core/tensor/at.ts';
import { sizeOf } from '../../../core/tensor/tensor.ts';
import { WeightAverage } from '../../../core/training/average.ts';
import { writeParts } from '../../../core/training/parted-state.ts';
import { partOf, reduceGradients } from '../../../core/training/parts.ts';
import { openUpdate } from '../../../core/training/update.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { randomFloats } from '../../../core/testing.ts';
import optimizers from '../../../plugins/optimizers/index.ts';
import { onRanks } from '../../support/ranks-in-process.ts';

const specs = [
  { name: 'blocks.0.wide', shape: [96, 130], init: { normal: 0.3 } },
  { name: 'blocks.0.norm', shape: [77], init: { constant: 1 } },
  { name: 'blocks.1.tall', shape: [210, 40], init: { normal: 0.3 } },
  { name: 'head', shape: [64, 64], init: { normal: 0.3 } },
] as const;
const updates = 3;

let device: Device;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(() => device.close());

interface End {
  readonly weights: Float32Array;
  readonly average: Float32Array;
  readonly norm: number;
  readonly gradientNorms: ReadonlyMap<string, number>;
  readonly unmovedShare: number;
  readonly leftGradients: number;
  readonly stateBytes: number;
  /** As the first rank would write it. */
  readonly state: ReadonlyMap<string, Uint8Array> | undefined;
}

function flat(all: ReadonlyMap<string, { readonly data: Float32Array }>): Float32Array {
  return Float32Array.from([...all.values()].flatMap(({ data }) => [...data]));
}

/** With the gradients of these ranks added up. */
async function train(optimizer: Optimizer, communicator: Communicator, ranks: readonly number[]): Promise<End> {
  const trained = new ParameterSet(device, specs, { seed: 5, trainable: () => true });
  const average = new WeightAverage(trained, { decay: 0.5, start: 0 });
  await average.begin();
  const workspace = new Workspace(device);
  const update = await openUpdate(trained, { optimizer, average, communicator, workspace });
  for (let step = 1; step <= updates; step++) {
    for (const [index, name] of trained.names.entries()) {
      const gradient = trained.gradient(name);
      if (gradient === undefined) throw new Error(`${name} is not trained`);
      const sum = new Float32Array(sizeOf(gradient.shape));
      for (const rank of ranks)
        randomFloats(sum.length, 1000 * step + 10 * rank + index).forEach((value, place) => {
          sum[place] = (sum[place] ?? 0) + value;
        });
      device.write(gradient, sum);
    }
    await update.complete(undefined);
    update.optimizer.prepare(step, 0.01);
    average.prepare(step);
    await update.run();
  }
  const findings = await update.watch.read();
  const [report] = await device.read([update.optimizer.report]);
  const { state } = update.optimizer;
  let written: Map<string, Uint8Array> | undefined;
  const write = async (source: ReturnType<typeof deviceSource>): Promise<void> => {
    written = new Map();
    for (const [name, { shape }] of source.entries) {
      const count = sizeOf(shape);
      const cut = Math.floor(count / 3 / 64) * 64;
      const pieces = [await source.read(name, 0, cut), await source.read(name, cut, count - cut)];
      written.set(name, new Uint8Array(Buffer.concat(pieces)));
    }
  };
  if (update.isPart) await writeParts({ device, state, communicator }, 'optimizer', write);
  else if (communicator.rank === 0) await write(deviceSource(device, state, 'optimizer'));
  const left = flat(await trained.read('gradients'));
  const end: End = {
    weights: flat(await trained.read()),
    average: Float32Array.from(
      (await device.read(trained.names.map((name) => average.get(name)))).flatMap((values) => [...values]),
    ),
    norm: report?.[0] ?? Number.NaN,
    gradientNorms: findings.gradientNorms,
    unmovedShare: findings.unmovedShare,
    leftGradients: left.reduce((sum, value) => sum + Math.abs(value), 0),
    stateBytes: [...state.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0),
    state: written,
  };
  update.close();
  average.close();
  trained.close();
  return end;
}

function largest(one: ArrayLike<number>, other: ArrayLike<number>): number {
  expect(one.length).toBe(other.length);
  return Array.from(one).reduce((most, value, index) => Math.max(most, Math.abs(value - (other[index] ?? NaN))), 0);
}

test('parts of an arena follow one another and leave nothing out', () => {
  for (const elements of [64, 4096, 4160, 50_048, 1_000_000 * 64])
    for (const size of [1, 2, 3, 7]) {
      const parts = Array.from({ length: size }, (_, rank) => partOf(elements, { rank, size }));
      expect(at(parts, 0)[0]).toBe(0);
      expect(at(parts, size - 1)[1]).toBe(elements);
      parts.slice(1).forEach(([start], index) => expect(start).toBe(at(parts, index)[1]));
    }
});

test('gradients that are whole travel while the last program still computes others, and the sums are the same', async () => {
  const three = ['first', 'second', 'third'].map((name) => ({ name, shape: [100, 130], init: { constant: 0 } }));
  const events: string[][] = [[], []];
  const sums = await onRanks(2, async (communicator) => {
    const { rank } = communicator;
    const trained = new ParameterSet(device, three, { seed: 0, trainable: () => true, bindingLimit: 2 ** 16 });
    expect(trained.arenas).toHaveLength(3);
    const workspace = new Workspace(device);
    const tape = new Tape(workspace);
    // As backward does: the last weights first.
    const given = trained.arenas.map(({ elements }, index) =>
      device.tensor(`given ${index}`, [elements], 'f32', randomFloats(elements, 10 * rank + index)),
    );
    for (const index of [2, 1, 0]) tape.copy(at(given, index), at(trained.arenas, index).gradients ?? at(given, index));
    const program = await tape.finish('gradients');
    const slices = program.inSlices(3);
    const own = events[rank] ?? [];
    program.inSlices = () => {
      const next = slices.next.bind(slices);
      slices.next = () => {
        own.push('slice');
        next();
      };
      return slices;
    };
    const spied: Communicator = {
      ...communicator,
      reduceScatter: (values, counts) => {
        own.push('sum');
        return communicator.reduceScatter(values, counts);
      },
    };
    await reduceGradients(trained, spied, program);
    const read = flat(await trained.read('gradients'));
    program.dispose();
    trained.close();
    return read;
  });
  // The copy of each arena is its own slice, and the next one is under way before the arena is summed.
  expect(events).toEqual([
    ['slice', 'sum', 'slice', 'sum', 'slice', 'sum'],
    ['slice', 'sum', 'slice', 'sum', 'slice', 'sum'],
  ]);
  const count = 100 * 130;
  three.forEach((_, index) => {
    const [a, b] = [randomFloats(count, index), randomFloats(count, 10 + index)];
    const both = at(sums, 0).map((value, place) => value + (at(sums, 1)[place] ?? 0));
    a.forEach((value, place) => expect(both[index * count + place]).toBe(Math.fround(value + (b[place] ?? 0))));
  });
});

describe.each(optimizers.provides.map((each) => each.name))('%s over three ranks', (name) => {
  test('moves the weights as one process does, and keeps a third of the state on each', async () => {
    const chosen = optimizers.provides.find((each) => each.name === name);
    if (chosen === undefined) throw new Error(`no optimizer is named ${name}`);
    const make = (): Optimizer =>
      chosen.create(chosen.options.parse({ learningRate: 0.01, maxNorm: 5 }), {} as never) as Optimizer;
    const alone = await train(make(), single, [0, 1, 2]);
    const ranks = await onRanks(3, (communicator) => train(make(), communicator, [communicator.rank]));
    const [first] = ranks;
    if (first === undefined) throw new Error('unreachable: there are three ranks');
    for (const rank of ranks) {
      expect(rank.weights).toEqual(first.weights);
      expect(rank.average).toEqual(first.average);
      expect(rank.norm).toBe(first.norm);
      expect(rank.gradientNorms).toEqual(first.gradientNorms);
      expect([rank.unmovedShare, rank.leftGradients]).toEqual([0, 0]);
    }
    // The norm is added up in another order; what the sign of a momentum or a code of eight bits makes of its last bit is rare.
    expect(first.norm / alone.norm).toBeCloseTo(1, 6);
    expect(largest(first.weights, alone.weights)).toBeLessThan(name === 'adamw-8bit' ? 1e-4 : 1e-5);
    expect(largest(first.average, alone.average)).toBeLessThan(name === 'adamw-8bit' ? 1e-4 : 1e-5);
    for (const [part, norm] of alone.gradientNorms)
      expect((first.gradientNorms.get(part) ?? 0) / norm).toBeCloseTo(1, 5);
    expect([...(first.state ?? [])].map(([key, { length }]) => [key, length])).toEqual(
      [...(alone.state ?? [])].map(([key, { length }]) => [key, length]),
    );
    if (make().openPart === undefined) return expect(first.stateBytes).toBe(alone.stateBytes);
    expect(ranks.reduce((sum, { stateBytes }) => sum + stateBytes, 0)).toBe(alone.stateBytes);
    for (const { stateBytes } of ranks) expect(stateBytes).toBeLessThan(0.45 * alone.stateBytes);
    for (const [key, bytes] of alone.state ?? []) {
      const words = (of: Uint8Array): Float32Array => new Float32Array(of.slice().buffer);
      if (/codes/.test(key)) continue;
      expect(largest(words(first.state?.get(key) ?? new Uint8Array()), words(bytes)), key).toBeLessThan(1e-4);
    }
    return undefined;
  });
});
