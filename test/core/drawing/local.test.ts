/** Drawing that is divided among devices of a software driver: the same sequences to the bit, of the weights as they are when it is asked for. */
import { afterAll, describe, expect, test, vi } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import type { Weights } from '../../../core/contracts/backbone.ts';
import type { DrawRequest, DrawSizes, SequenceDrawer } from '../../../core/contracts/executor.ts';
import { openLocalDrawer } from '../../../core/drawing/local.ts';
import { openSequenceDrawer } from '../../../core/drawing/sequences.ts';
import { Device, openDevice } from '../../../core/gpu/device.ts';
import { PlanningDevice } from '../../../core/gpu/planning-device.ts';
import type { SampleProgress } from '../../../core/nn/sampling.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { SmallBackbone } from '../../support/small-backbone.ts';
import { smallTokenizer as tokenizer } from '../../support/small-tokenizer.ts';

const real = await openDevice();
const opened: Device[] = [];

/** With so many threads to divide, whatever the adapter. */
class Divisible extends Device {
  private readonly threads: number;

  constructor(threads: number, openAnother = (of: number) => openDevice({ threads: of })) {
    super(real.gpu, real.adapter, async (of) => {
      const device = await openAnother(of);
      opened.push(device);
      return device;
    });
    this.threads = threads;
  }

  override get divisibleThreads(): number {
    return this.threads;
  }
}

afterAll(() => {
  for (const device of [...opened, real]) device.close();
});

const backbone = new SmallBackbone();
const sizes: DrawSizes = {
  rows: 96,
  prompts: 12,
  promptTokens: 14,
  textTokens: 5,
  codes: 9,
  isGuided: true,
  cache: 'f32',
  precision: 'f32',
};
const promptOf = (index: number): number[] => [0, ...Array.from({ length: 1 + ((7 * index) % 13) }, (_, i) => 4 + i)];
const requestOf = (prompts: number, samplesPerPrompt = 8, more: Partial<DrawRequest> = {}): DrawRequest => ({
  prompts: Array.from({ length: prompts }, (_, index) => promptOf(index)),
  samplesPerPrompt,
  seed: 9,
  rowKeys: Array.from({ length: prompts * samplesPerPrompt }, (_, row) => 1000 + row),
  text: { temperature: 1, topK: 0, topP: 1 },
  image: { temperature: 1, topK: 0, topP: 1, guidance: 2 },
  rationale: 'write',
  ...more,
});

const threads = 3;
const device = new Divisible(threads);
const open = (weights: Weights, of: DrawSizes = sizes, on: Device = device): Promise<SequenceDrawer> =>
  openLocalDrawer({ workspace: new Workspace(on), backbone, weights, tokenizer }, of);
const openWhole = (weights: Weights, of: DrawSizes = sizes): Promise<SequenceDrawer> =>
  openSequenceDrawer({ workspace: new Workspace(real), backbone, weights, tokenizer }, of);

describe('a request that is divided', async () => {
  const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
  const [divided, whole] = [await open(weights), await openWhole(weights)];

  test.each<readonly [string, DrawRequest]>([
    ['all prompts', requestOf(12)],
    ['prompts that cannot be shared evenly', requestOf(5)],
    ['samples of one prompt', requestOf(1)],
    ['samples of two prompts, with a rationale each', requestOf(2, 7, { rationale: [[5, 6], 'write'] })],
    ['a single drawing', requestOf(1, 1)],
    ['more than fit at a time', requestOf(30)],
    ['rationales of some', requestOf(6, 8, { rationale: ['write', [7], 'write', [8, 9], [], 'write'] })],
    ['without guidance', requestOf(12, 8, { image: { temperature: 1, topK: 0, topP: 1 } })],
    [
      'without rationales',
      requestOf(4, 8, { prompts: [0, 1, 2, 3].map((index) => [...promptOf(index), 3]), rationale: 'skip' }),
    ],
  ])('gives the same bits: %s', async (_name, request) => {
    expect(await divided.draw(request)).toEqual(await whole.draw(request));
  });

  test('is drawn by devices beside that of the run', async () => {
    const before = [real, ...opened].map(({ memory }) => memory.submits);
    await divided.draw(requestOf(12));
    const after = [real, ...opened].map(({ memory }) => memory.submits);
    const used = after.map((submits, index) => submits - (before[index] ?? 0));
    expect(opened).toHaveLength(threads);
    expect(used[0]).toBe(0);
    for (const submits of used.slice(1)) expect(submits).toBeGreaterThan(5);
  });

  test('tells how far it is as one that is not', async () => {
    const heard = async (drawer: SequenceDrawer): Promise<SampleProgress[]> => {
      const all: SampleProgress[] = [];
      await drawer.draw(requestOf(12), (progress) => void all.push(progress));
      return all;
    };
    const told = await heard(divided);
    expect(told.at(-1)).toEqual((await heard(whole)).at(-1));
    expect(told.at(-1)).toMatchObject({ phase: 'image', step: 9, steps: 9, rows: 96, finished: 0, samples: 96 });
    const order = told.map(({ phase, step }) => (phase === 'image' ? 1000 : 0) + step);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
  });

  test('fails as one that is not', async () => {
    const long = requestOf(12, 8, { prompts: Array.from({ length: 12 }, () => new Array<number>(40).fill(4)) });
    await expect(whole.draw(long)).rejects.toThrow(/40|tokens/);
    await expect(divided.draw(long)).rejects.toThrow(/40|tokens/);
    expect(await divided.draw(requestOf(12))).toEqual(await whole.draw(requestOf(12)));
  });
});

describe('weights', () => {
  test('are those of the moment, where nobody counts their changes', async () => {
    const weights = new ParameterSet(device, backbone.parameters, { seed: 4, trainable: (name) => name === 'q' });
    const [divided, whole] = [await open(weights), await openWhole(weights)];
    const first = await divided.draw(requestOf(12));
    const values = await weights.read();
    const { shape, data } = values.get('q')!;
    weights.load(new Map(values).set('q', { shape, data: data.map((value) => -value) }), 'a step');
    const second = await divided.draw(requestOf(12));
    expect(second).toEqual(await whole.draw(requestOf(12)));
    expect(second).not.toEqual(first);
    for (const drawer of [divided, whole]) drawer.close();
    weights.close();
  });

  test('are handed out once for a version', async () => {
    const weights = new ParameterSet(device, backbone.parameters, { seed: 4 });
    let version = 1;
    const counted: Weights = { get: (name) => weights.get(name), moves: () => true, version: () => version };
    const divided = await open(counted);
    const reads = vi.spyOn(device, 'read');
    await divided.draw(requestOf(12));
    await divided.draw(requestOf(12));
    expect(reads).toHaveBeenCalledTimes(1);
    version += 1;
    await divided.draw(requestOf(12));
    expect(reads).toHaveBeenCalledTimes(2);
    reads.mockRestore();
    divided.close();
    weights.close();
  });
});

describe('not divided', () => {
  const weights = new ParameterSet(real, backbone.parameters, { seed: 4 });
  const isDivided = async (of: DrawSizes, on: Device): Promise<boolean> => {
    const before = on.memory.created;
    const spied = vi.spyOn(on, 'beside');
    const drawer = await open(weights, of, on);
    drawer.close();
    expect(on.memory.created).toBeGreaterThan(before);
    return spied.mock.calls.length > 0;
  };

  test('are few rows, products on tensor cores, and what an adapter cannot divide', async () => {
    const two = new Divisible(2);
    expect(await isDivided({ ...sizes, rows: 63, prompts: 9 }, two)).toBe(false);
    expect(await isDivided({ ...sizes, precision: 'f32-split' }, two)).toBe(false);
    expect(await isDivided({ ...sizes, rows: 64, prompts: 8 }, two)).toBe(true);
    expect(await isDivided(sizes, new Divisible(1))).toBe(false);
    expect(await isDivided(sizes, new Device(real.gpu, real.adapter))).toBe(false);
  });

  test('nor is a large model', async () => {
    class Large extends SmallBackbone {
      override readonly parameters = [
        ...new SmallBackbone().parameters,
        { name: 'unused', shape: [2 ** 12, 2 ** 11 + 2 ** 9], init: { constant: 0 } },
      ];
    }
    const large = new Large();
    const on = new Divisible(2);
    const many = new ParameterSet(on, large.parameters, { seed: 4, initialize: 'none' });
    const spied = vi.spyOn(on, 'beside');
    (await openLocalDrawer({ workspace: new Workspace(on), backbone: large, weights: many, tokenizer }, sizes)).close();
    expect(spied).not.toHaveBeenCalled();
    many.close();
  });

  test('where no other device can be opened, and that is said', async () => {
    const alone = new Divisible(2, () => Promise.reject(new Error('there is none')));
    const warn = vi.fn<(message: string) => void>();
    const log = { info: () => undefined, warn };
    const drawer = await openLocalDrawer({ workspace: new Workspace(alone), backbone, weights, tokenizer, log }, sizes);
    expect(warn.mock.calls).toEqual([['drawing on one device: no other could be opened (Error: there is none)']]);
    expect(await drawer.draw(requestOf(3))).toEqual(await (await openWhole(weights)).draw(requestOf(3)));
  });
});

test('threads that other devices do not share are divided as well', async () => {
  const asked: number[] = [];
  const on = new Divisible(8, (of) => {
    asked.push(of);
    return openDevice({ threads: of });
  });
  const weights = new ParameterSet(on, backbone.parameters, { seed: 4 });
  for (const drawer of [await open(weights, sizes, on), await open(weights, sizes, on)]) drawer.close();
  // 96 rows are enough for three; who asks again is given the same.
  expect(asked).toEqual([2, 2, 2]);
});

test('a plan counts the devices beside that of the run', async () => {
  const planning = new PlanningDevice(real.limits, { ...real.adapter, description: 'llvmpipe' });
  const on = new Divisible(planning.divisibleThreads);
  const peak = async (of: Device): Promise<number> => {
    const weights = new ParameterSet(of, backbone.parameters, { seed: 4 });
    await open(weights, { ...sizes, rows: 32 * 2 * 16, prompts: 128 }, of);
    return of.memory.peakBytes;
  };
  expect(planning.divisibleThreads).toBeGreaterThan(0);
  expect(await peak(planning)).toBe(await peak(on));
});

test('a device that is closed closes those beside it, and the variable of the driver is as it was', async () => {
  const before = process.env['LP_NUM_THREADS'];
  const parent = await openDevice();
  const [one, two] = await Promise.all([parent.beside(1, 1), parent.beside(2, 1)]);
  expect(process.env['LP_NUM_THREADS']).toBe(before);
  expect(two[0]).toBe(one[0]);
  expect(two).toHaveLength(2);
  parent.close();
  for (const { gpu } of two) await expect(gpu.lost).resolves.toMatchObject({ reason: 'destroyed' });
});
