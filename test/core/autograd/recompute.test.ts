/** Blocks computed again on the way back, all of them or what a budget has no room for: the same bits in less memory. */
import { afterAll, describe, expect, test } from 'vitest';
import type { Program } from '../../../core/autograd/program.ts';
import type { Recompute } from '../../../core/autograd/recompute.ts';
import { usesOf } from '../../../core/autograd/value-uses.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Backbone } from '../../../core/contracts/backbone.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { MatrixProducts } from '../../../core/gpu/matrix-products.ts';
import { add } from '../../../core/ops/add.ts';
import { linear } from '../../../core/ops/linear.ts';
import { usableShapes } from '../../../core/ops/linear-matrix.ts';
import { rmsNorm } from '../../../core/ops/rms-norm.ts';
import { silu } from '../../../core/ops/silu.ts';
import { dimension, type Tensor } from '../../../core/tensor/tensor.ts';
import { randomFloats } from '../../../core/testing.ts';
import { packTokens } from '../../../core/testing/packed.ts';
import { AdaptedWeights, adapterSpecs, isAdapterName } from '../../../core/weights/adapters.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { janusBackbone } from '../../../plugins/janus/backbone.ts';
import { unifiedBackbone } from '../../../plugins/unified/backbone.ts';

const device = await openDevice();
afterAll(() => device.close());

const sizes = {
  hidden: 32,
  layers: 4,
  heads: 4,
  keyValueHeads: 2,
  mlp: 56,
  ropeTheta: 1e4,
  normEpsilon: 1e-6,
  textVocabulary: 40,
  imageVocabulary: 24,
  codeDimension: 8,
};

/** That of the presets in presets/nano. */
const nano = {
  ...sizes,
  hidden: 128,
  layers: 6,
  keyValueHeads: 4,
  mlp: 336,
  textVocabulary: 417,
  imageVocabulary: 256,
};

interface Pass {
  readonly program: Program;
  readonly hidden: Float32Array;
  readonly gradients: ReadonlyMap<string, { readonly data: Float32Array }>;
}

interface PassOptions {
  readonly workspace?: Workspace;
  /** Adapters with dropout over frozen int8 weights. */
  readonly adapters?: boolean;
}

/** Two passes over the same sequences, so that gradients add up as micro-batches do. */
async function pass(
  backbone: Backbone,
  recompute: Recompute,
  { workspace = new Workspace(device), adapters = false }: PassOptions = {},
): Promise<Pass> {
  const match = (name: string): boolean => name.includes('_proj');
  const parameters = new ParameterSet(
    device,
    [...backbone.parameters, ...(adapters ? adapterSpecs(backbone.parameters, { match, rank: 4 }) : [])],
    { seed: 3, trainable: (name) => !adapters || isAdapterName(name), ...(adapters && { storage: 'int8' }) },
  );
  const seed = device.tensor('dropout seed', [1], 'u32', Uint32Array.of(7));
  const weights = adapters
    ? new AdaptedWeights(parameters, parameters, { match, rank: 4, alpha: 8, dropout: { share: 0.2, seed } })
    : parameters;
  const sequences = [7, 19, 13, 30].map((length) =>
    Array.from({ length }, (_, index) => ({ id: (index * 5) % 24, isImage: index > length / 2 })),
  );
  const { tokens } = packTokens(device, sequences);
  const tape = new Tape(workspace, { recompute });
  parameters.watch(tape);
  const hidden = backbone.hidden(tape, weights, tokens);
  const kept = tape.output(hidden);
  tape.seed(hidden, device.tensor('seed', hidden.shape, 'f32', randomFloats(tokens.count * dimension(hidden, -1), 5)));
  tape.backward();
  const program = await tape.finish('pass');
  expectWritten(program);
  program.run();
  program.run();
  return { program, hidden: await device.readFloats(kept), gradients: await parameters.read('gradients') };
}

function expectSameBits(one: Pass, other: Pass): void {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  const expectSame = (name: string, a: Float32Array, b: Float32Array): void => {
    expect(bytes(a).equals(bytes(b)), `${name} has the same bits`).toBe(true);
  };
  expectSame('hidden states', one.hidden, other.hidden);
  expect([...one.gradients.keys()]).toEqual([...other.gradients.keys()]);
  for (const [name, { data }] of other.gradients)
    expectSame(name, one.gradients.get(name)?.data ?? new Float32Array(), data);
}

/** No launch reads a value that none has written: memory that happens to hold the right numbers would hide it. */
function expectWritten({ steps }: Program): void {
  const written = new Set<number>();
  for (const step of steps) {
    const { values, writes } = usesOf(step);
    for (const id of writes) written.add(id);
    expect(values.filter((id) => !written.has(id))).toEqual([]);
  }
}

const [shape] = usableShapes(device);
const plain = (): PassOptions => ({});
const cases: [name: string, backbone: Backbone, options: () => PassOptions][] = [
  ['janus', janusBackbone('test', sizes), plain],
  ['janus, nano', janusBackbone('nano', nano), plain],
  ['unified', unifiedBackbone('test', { ...sizes, queryKeyNorm: true }), plain],
  ['janus, heads of 6', janusBackbone('test', { ...sizes, hidden: 24 }), plain],
  ['janus, adapters over int8', janusBackbone('test', sizes), () => ({ adapters: true })],
];
if (shape !== undefined)
  cases.push([
    'janus, on matrices',
    janusBackbone('test', nano),
    () => ({ workspace: new Workspace(device, new MatrixProducts(device, shape, 'f32-split')) }),
  ]);

test.each(cases)('%s: every gradient has the same bits, whatever is kept', async (_name, backbone, options) => {
  const everything = await pass(backbone, false, options());
  const nothing = await pass(backbone, true, options());
  for (const [name, { data }] of everything.gradients)
    if (!/head|lora_A/.test(name))
      expect(
        data.some((value) => value !== 0),
        `${name} has a gradient`,
      ).toBe(true);
  expectSameBits(nothing, everything);
  const most = everything.program.plan.bytes - nothing.program.plan.bytes;
  expect(most).toBeGreaterThan(0);
  const found = [nothing.program];
  for (const share of [0, 0.02, 0.1, 0.3, 0.6, 0.9, 4, Number.POSITIVE_INFINITY]) {
    const some = await pass(backbone, { budget: Math.floor(most * share) }, options());
    expectSameBits(some, everything);
    found.push(some.program);
  }
  const bytes = found.map(({ plan }) => plan.bytes);
  const launches = found.map(({ launchCount }) => launchCount);
  expect(bytes[1]).toBe(bytes[0]);
  expect(launches[1]).toBe(launches[0]);
  // Rising budgets: more memory, fewer launches.
  expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
  expect(launches).toEqual(launches.toSorted((a, b) => b - a));
  expect(new Set(launches).size).toBeGreaterThan(4);
  expect(bytes.at(-1)).toBeLessThanOrEqual(everything.program.plan.bytes);
  expect(launches.at(-1)).toBe(everything.program.launchCount);
});

test.each(cases.slice(0, 3))(
  '%s: keeping nothing takes less than half of keeping everything',
  async (_name, backbone) => {
    const [kept, again] = [await pass(backbone, false), await pass(backbone, true)];
    expect(again.program.plan.bytes).toBeLessThan(kept.program.plan.bytes / 2);
    // A second forward pass, but for what only led to the residual stream at its end.
    expect(again.program.launchCount).toBeGreaterThan(kept.program.launchCount);
  },
);

test('the budget is a bound on what is kept', async () => {
  const backbone = janusBackbone('nano', nano);
  const least = (await pass(backbone, true)).program.plan.lowerBound;
  for (const budget of [1e5, 3e5, 1e6])
    expect((await pass(backbone, { budget })).program.plan.lowerBound).toBeLessThanOrEqual(least + budget);
});

/** Products and what makes the rest of a layer, with as many bytes each. */
function layer(tape: Tape, x: Tensor, [first, second, gain]: readonly [Tensor, Tensor, Tensor]): Tensor {
  const normed = rmsNorm(tape, x, gain, 1e-6);
  return add(tape, x, linear(tape, silu(tape, linear(tape, normed, first)), second));
}

describe('what is kept first', () => {
  const x = device.tensor('x', [64, 64], 'f32', randomFloats(64 * 64, 1));
  const weights = [
    device.tensor('first', [64, 64], 'f32', randomFloats(64 * 64, 2)),
    device.tensor('second', [64, 64], 'f32', randomFloats(64 * 64, 3)),
    device.tensor('gain', [64], 'f32', randomFloats(64, 4)),
  ] as const;
  const again = async (budget: number, layers = 1): Promise<string[]> => {
    const tape = new Tape(new Workspace(device), { recompute: { budget } });
    for (const weight of weights) tape.watch(weight, device.tensor('gradient', weight.shape));
    let out = x;
    for (let index = 0; index < layers; index++) {
      const entering = out;
      out = tape.block(() => layer(tape, entering, weights));
    }
    const forward = tape.recorded.length;
    tape.seed(out, x);
    tape.backward();
    const program = await tape.finish('layers');
    return program.steps
      .slice(forward)
      .flatMap((item) => ('kernel' in item && /forward|nt-|silu/.test(item.kernel.label) ? [item] : []))
      .filter(({ kernel }) => !/gradient/.test(kernel.label))
      .map(({ kernel }) => kernel.label.replace(/ .*/, ''));
  };
  const bytes = 64 * 64 * 4;

  test('is the product, then what is cheaper; what nobody reads is never computed again', async () => {
    const [norm, product, activation, ...others] = await again(0);
    expect([norm, activation, others]).toEqual(['rms-norm/forward', expect.stringContaining('silu'), []]);
    expect(product).toMatch(/^linear\//);
    expect(await again(bytes)).toEqual([norm, activation]);
    expect(await again(2 * bytes)).toHaveLength(1);
    expect(await again(4 * bytes)).toEqual([]);
  });

  test('is that of the last block among equals', async () => {
    const all = await again(0, 2);
    expect(all).toHaveLength(6);
    expect(await again(bytes, 2)).toEqual(all.toSpliced(1, 1));
  });
});

test('what a block computes again and nobody reads is left out', async () => {
  const record = (recompute: boolean): Promise<Program> => {
    const tape = new Tape(new Workspace(device), { recompute });
    const x = device.tensor('x', [8, 8]);
    const [weight, other] = [device.tensor('weight', [8, 8]), device.tensor('other', [8, 8])];
    tape.watch(weight, device.tensor('d weight', [8, 8]));
    tape.watch(other, device.tensor('d other', [8, 8]));
    const out = tape.block(() => {
      const inner = linear(tape, x, weight);
      return add(tape, inner, linear(tape, inner, other));
    });
    tape.seed(out, x);
    tape.backward();
    return tape.finish('block');
  };
  // Three launches forward; of these only the first is needed again.
  expect((await record(true)).launchCount).toBe((await record(false)).launchCount + 1);
});

test('a block on a tape that watches nothing is just recorded', () => {
  const tape = new Tape(new Workspace(device), { recompute: true });
  const x = device.tensor('x', [8, 8]);
  const out = tape.block(() => linear(tape, x, device.tensor('weight', [8, 8])));
  tape.seed(out, x);
  tape.backward();
  expect(tape.recorded).toHaveLength(1);
});

describe('launches that cannot be taken back', () => {
  const count = 64;
  const groups = [1, 1, 1] as const;
  const x = device.tensor('x', [8, 8], 'f32', randomFloats(count, 1));
  const weight = device.tensor('weight', [8, 8], 'f32', randomFloats(count, 2));
  const dOut = device.tensor('dOut', [8, 8], 'f32', randomFloats(count, 3));

  /** value · factor, written by a launch without a way back. */
  const scaled = (tape: Tape, value: Tensor, factor: number, out = tape.empty('scaled', [8, 8])): Tensor => {
    tape.launch({ kernel: 'pointwise/scale', bindings: { x: value, out }, params: { count, factor }, groups });
    return out;
  };
  const accumulated = (tape: Tape, value: Tensor, sum: Tensor): void =>
    tape.launch({ kernel: 'pointwise/accumulate', bindings: { value, sum }, params: { count }, groups });
  /** As `value` to the tape, with the gradient of it times `by`. */
  const times = (tape: Tape, value: Tensor, by: Tensor): Tensor => {
    const out = scaled(tape, value, 1);
    tape.differentiable([value], out, (dValue) => [add(tape, dValue, by)]);
    return out;
  };

  /** Twice `value`, with a way back that reads what it made. */
  const remembered = (tape: Tape, value: Tensor): Tensor => {
    const out = scaled(tape, value, 2);
    tape.differentiable([value], out, (dDoubled) => [add(tape, dDoubled, out)]);
    return out;
  };

  async function gradient(
    recompute: Recompute,
    block: (tape: Tape, x: Tensor) => Tensor,
    behind: (tape: Tape, out: Tensor) => void = () => undefined,
  ): Promise<Float32Array> {
    const tape = new Tape(new Workspace(device), { recompute });
    const sum = device.tensor('d weight', [8, 8]);
    tape.watch(weight, sum);
    const entering = linear(tape, x, weight);
    const out = tape.block(() => block(tape, entering));
    behind(tape, out);
    tape.seed(out, dOut);
    tape.backward();
    const program = await tape.finish('block');
    expectWritten(program);
    program.run();
    return device.readFloats(sum);
  }

  const lasting = device.tensor('lasting', [8, 8]);
  const blocks: Record<string, (tape: Tape, x: Tensor) => Tensor> = {
    'a sum in place, read when it is done': (tape, value) => {
      const sum = tape.detached(() => scaled(tape, value, 2));
      accumulated(tape, x, sum);
      return times(tape, value, sum);
    },
    'a sum in place, read before and behind': (tape, value) => {
      const sum = tape.detached(() => scaled(tape, value, 2));
      const early = tape.detached(() => scaled(tape, sum, 3));
      accumulated(tape, x, sum);
      return times(tape, times(tape, value, early), sum);
    },
    'a copy': (tape, value) => {
      const copied = tape.empty('copied', [8, 8]);
      tape.detached(() => tape.copy(scaled(tape, value, 2), copied));
      return times(tape, value, copied);
    },
    'memory that outlives the program and is written again': (tape, value) => {
      tape.detached(() => scaled(tape, value, 2, lasting));
      const out = times(
        tape,
        value,
        tape.detached(() => scaled(tape, lasting, 3)),
      );
      tape.detached(() => scaled(tape, value, 5, lasting));
      return out;
    },
    'a block within a block': (tape, value) =>
      tape.block(() =>
        times(
          tape,
          tape.block(() => silu(tape, linear(tape, value, weight))),
          value,
        ),
      ),
    'a block within a block, whose value both ways back read': (tape, value) => {
      const inner = tape.block(() => remembered(tape, linear(tape, value, weight)));
      return times(tape, inner, inner);
    },
  };

  test.each(Object.keys(blocks))('%s: the same gradient', async (name) => {
    const block = blocks[name];
    if (block === undefined) throw new RangeError('unreachable');
    const wanted = await gradient(false, block);
    expect(wanted.some((value) => value !== 0)).toBe(true);
    for (const recompute of [true, { budget: 256 }, { budget: 512 }, { budget: 1e9 }])
      expect(await gradient(recompute, block), JSON.stringify(recompute)).toEqual(wanted);
  });

  test('a value that is overwritten behind the block is not taken for the one that was', async () => {
    const overwritten = (tape: Tape, out: Tensor): void => tape.detached(() => accumulated(tape, x, out));
    const wanted = await gradient(true, remembered, overwritten);
    expect(wanted).not.toEqual(await gradient(false, remembered, overwritten));
    expect(await gradient({ budget: 1e9 }, remembered, overwritten)).toEqual(wanted);
  });
});

describe('a block that records something else the second time is refused', () => {
  const x = device.tensor('x', [8, 8]);
  const weight = device.tensor('weight', [8, 8]);
  const back = (record: (tape: Tape, time: number) => Tensor): (() => void) => {
    const tape = new Tape(new Workspace(device), { recompute: true });
    tape.watch(weight, device.tensor('d weight', [8, 8]));
    let time = 0;
    tape.seed(
      tape.block(() => record(tape, time++)),
      x,
    );
    return () => tape.backward();
  };

  test.each<[string, (tape: Tape, time: number) => Tensor, RegExp]>([
    [
      'one launch more',
      (tape, time) => (time === 0 ? linear(tape, x, weight) : silu(tape, linear(tape, x, weight))),
      /2 steps instead of 1/,
    ],
    [
      'another kernel',
      (tape, time) => (time === 0 ? silu : add1)(tape, linear(tape, x, weight)),
      /step 2 is pointwise\/add .* instead of silu/,
    ],
    [
      'another parameter',
      (tape, time) => rmsNorm(tape, linear(tape, x, weight), device.tensor('gain', [8]), 1e-6 * (time + 1)),
      /"epsilon":0.000002.* instead of .*"epsilon":0.000001/,
    ],
    [
      'another tensor',
      (tape, time) => linear(tape, time === 0 ? x : device.tensor('other x', [8, 8]), weight),
      /has other x as (x|a) instead of x/,
    ],
  ])('%s', (_what, record, message) => {
    expect(back(record)).toThrow(message);
  });

  test('a variable that changes behind the block', () => {
    const tape = new Tape(new Workspace(device), { recompute: true });
    tape.watch(weight, device.tensor('d weight', [8, 8]));
    let out = x;
    for (let index = 0; index < 2; index++) out = tape.block(() => silu(tape, linear(tape, out, weight)));
    tape.seed(out, x);
    expect(() => tape.backward()).toThrow(/give it a constant/);
  });
});

function add1(tape: Tape, value: Tensor): Tensor {
  return add(tape, value, value);
}
