/** Tape, program, plan and device: what a replay may do, and what each mistake says. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { planMemory } from '../../../core/autograd/memory-plan.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { grid, type Step } from '../../../core/autograd/launch.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { loadKernel, packParams } from '../../../core/gpu/kernel.ts';
import { linear } from '../../../core/ops/linear.ts';
import type { Tensor } from '../../../core/tensor/tensor.ts';

const slot = (id: number, bytes: number): Tensor => ({
  name: `t${id}`,
  shape: [bytes / 4],
  type: 'f32',
  memory: { value: { id, bytes } },
});

/** Random launch lists in which every value is written once, then read a few times. */
const launchLists = fc
  .array(
    fc.record({ bytes: fc.integer({ min: 1, max: 40 }).map((n) => n * 16), lives: fc.integer({ min: 0, max: 6 }) }),
    { minLength: 1, maxLength: 40 },
  )
  .map((values): Step[] =>
    values.map((_, index) => {
      const bindings: Record<string, Tensor> = {};
      values.forEach(({ bytes, lives }, id) => {
        if (id <= index && index <= id + lives) bindings[`v${id}`] = slot(id, bytes);
      });
      return { kernel: 'k', bindings, groups: [1, 1, 1] };
    }),
  );

function lifetimes(steps: readonly Step[]): Map<number, { first: number; last: number; bytes: number }> {
  const result = new Map<number, { first: number; last: number; bytes: number }>();
  steps.forEach((step, index) => {
    if ('copy' in step) return;
    for (const { memory } of Object.values(step.bindings)) {
      if (!('value' in memory)) continue;
      const known = result.get(memory.value.id);
      result.set(memory.value.id, { first: known?.first ?? index, last: index, bytes: memory.value.bytes });
    }
  });
  return result;
}

describe('memory plans', () => {
  test('values alive together never share a buffer, every value fits, and no plan beats its lower bound', () => {
    fc.assert(
      fc.property(launchLists, (steps) => {
        const plan = planMemory(steps);
        const lives = [...lifetimes(steps)];
        for (const [id, life] of lives) {
          expect(plan.buffers[plan.placement.get(id) ?? -1] ?? 0).toBeGreaterThanOrEqual(life.bytes);
          for (const [other, otherLife] of lives) {
            if (other === id || otherLife.first > life.last || life.first > otherLife.last) continue;
            expect(plan.placement.get(other)).not.toBe(plan.placement.get(id));
          }
        }
        expect(plan.bytes).toBeGreaterThanOrEqual(plan.lowerBound);
      }),
    );
  });

  test('grid folds any count into dispatchable dimensions', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 ** 9 }), (count) => {
        const [x, y, z] = grid(count);
        expect(x * y * z).toBeGreaterThanOrEqual(count);
        expect(Math.max(x, y)).toBeLessThanOrEqual(65535);
      }),
    );
  });
});

describe('on the device', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  async function chain(): Promise<{
    program: Awaited<ReturnType<Tape['finish']>>;
    out: Tensor;
    x: Tensor;
    gradient: Tensor;
  }> {
    const tape = new Tape(new Workspace(device));
    const x = device.tensor(
      'x',
      [5, 8],
      'f32',
      Float32Array.from({ length: 40 }, (_, i) => Math.sin(i)),
    );
    const weight = device.tensor(
      'weight',
      [8, 8],
      'f32',
      Float32Array.from({ length: 64 }, (_, i) => Math.cos(i)),
    );
    const gradient = device.tensor('d weight', [8, 8]);
    tape.watch(weight, gradient);
    const hidden = linear(tape, linear(tape, x, weight), weight);
    const out = tape.output(hidden);
    tape.seed(hidden, x);
    tape.backward();
    return { program: await tape.finish('chain'), out, x, gradient };
  }

  test('a replay allocates nothing, gives the same bits, and follows its inputs; weight gradients accumulate', async () => {
    const { program, out, x, gradient } = await chain();
    program.run();
    const [first, once] = (await device.read([out, gradient])) as Float32Array[];
    const before = device.allocatedBytes;
    for (let i = 0; i < 50; i++) program.run();
    const [again, fiftyOne] = (await device.read([out, gradient])) as Float32Array[];
    expect(device.allocatedBytes).toBe(before);
    expect(again).toEqual(first);
    fiftyOne?.forEach((value, index) => expect(value / 51).toBeCloseTo(once?.[index] ?? Number.NaN, 4));
    device.write(x, new Float32Array(40));
    program.run();
    expect((await device.readFloats(out)).every((value) => value === 0)).toBe(true);
  });

  test('a tape that watches nothing records no backward', async () => {
    const tape = new Tape(new Workspace(device));
    const x = device.tensor('x', [5, 8]);
    const out = linear(tape, x, device.tensor('weight', [8, 8]));
    const forward = tape.recorded.length;
    tape.seed(out, x);
    tape.backward();
    expect(tape.recorded.length).toBe(forward);
  });

  test('two devices work side by side', async () => {
    const other = await openDevice();
    const values = Float32Array.of(1, 2, 3, 4);
    const [a, b] = [device.tensor('a', [4], 'f32', values), other.tensor('b', [4], 'f32', values)];
    expect(await device.readFloats(a)).toEqual(await other.readFloats(b));
    other.close();
  });

  test('mistakes of a launch are named: kernel, binding, parameter, constant', async () => {
    const x = device.tensor('x', [4]);
    const launch = (bindings: Record<string, Tensor>, params: Record<string, number>) => {
      const tape = new Tape(new Workspace(device));
      tape.launch({ kernel: 'pointwise/add', bindings, params, groups: [1, 1, 1] });
      return tape.finish('mistake');
    };
    await expect(launch({ a: x, b: x }, { count: 4 })).rejects.toThrow('pointwise/add: nothing is bound to "sum"');
    await expect(launch({ a: x, b: x, sum: x, c: x }, { count: 4 })).rejects.toThrow(
      'pointwise/add has no binding "c"',
    );
    await expect(launch({ a: x, b: x, sum: x }, {})).rejects.toThrow(
      'pointwise/add: parameter count: u32 is undefined',
    );
    expect(() => loadKernel('pointwise/nothing')).toThrow(
      'the kernel file kernels/pointwise/nothing.wgsl cannot be read',
    );
    expect(() => loadKernel('pointwise/add', { TILE: 8 })).toThrow('the file declares no constant TILE');
    expect(() => packParams(loadKernel('pointwise/add'), { count: 4, size: 1 })).toThrow('no parameter size');
  });

  test('what Dawn reports later is thrown at the next read', async () => {
    device.gpu.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE }).destroy();
    await expect(device.readFloats(device.tensor('x', [4]))).rejects.toThrow('the device reported');
    await expect(device.readFloats(device.tensor('x', [4]))).resolves.toHaveLength(4);
  });

  test('a buffer beyond the adapter is refused before it is made', () => {
    expect(() => device.createBuffer(device.limits.maxBufferSize + 4, 'too large')).toThrow(
      /"too large" needs a buffer/,
    );
  });

  test('a lost device is an error that says how to go on', async () => {
    const lost = await openDevice();
    const x = lost.tensor('x', [4]);
    lost.gpu.destroy();
    await expect(lost.readFloats(x)).rejects.toMatchObject({ code: 'DEVICE_LOST', exitCode: 5 });
  });
});

describe('the first number that is none', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice();
  });
  afterAll(() => device.close());

  /** x → linear → linear, with gradients; a value of `x` or of the second weight may be spoilt. */
  async function spoilt(spoil: {
    readonly x?: number;
    readonly weight?: number;
  }): Promise<Awaited<ReturnType<Tape['finish']>>> {
    const tape = new Tape(new Workspace(device));
    const values = (at: number | undefined): Float32Array =>
      Float32Array.from({ length: 64 }, (_, index) => (index === 11 && at !== undefined ? at : Math.sin(index)));
    const x = device.tensor('x', [8, 8], 'f32', values(spoil.x));
    const [first, second] = [
      device.tensor('first', [8, 8], 'f32', values(undefined)),
      device.tensor('second', [8, 8], 'f32', values(spoil.weight)),
    ];
    tape.watch(first, device.tensor('d first', [8, 8]));
    tape.watch(second, device.tensor('d second', [8, 8]));
    const hidden = linear(tape, linear(tape, x, first), second);
    tape.output(hidden);
    tape.seed(hidden, device.tensor('seed', [8, 8], 'f32', values(undefined)));
    tape.backward();
    return tape.finish('spoilt');
  }

  test('is not found where all are finite, also after many runs', async () => {
    const program = await spoilt({});
    program.run();
    expect(await program.findNonFinite()).toBeUndefined();
  });

  test('is found in what the program was handed', async () => {
    const program = await spoilt({ weight: Number.NEGATIVE_INFINITY });
    program.run();
    expect(await program.findNonFinite()).toEqual({
      kernel: undefined,
      tensor: 'second',
      launch: -1,
      element: 11,
      value: Number.NEGATIVE_INFINITY,
    });
  });

  test('is found in weights of 16 bits', async () => {
    const tape = new Tape(new Workspace(device));
    const weight = device.tensor(
      'half',
      [8, 8],
      'bf16',
      Uint16Array.from({ length: 64 }, (_, index) => (index === 7 ? 0x7f80 : 0x3f80)),
    );
    tape.output(linear(tape, device.tensor('x', [8, 8]), weight));
    const program = await tape.finish('half');
    expect(await program.findNonFinite()).toEqual({
      kernel: undefined,
      tensor: 'half',
      launch: -1,
      element: 7,
      value: Number.POSITIVE_INFINITY,
    });
  });

  test('is found where a kernel makes it, although the gradients of the failed run are spoilt by then', async () => {
    // Finite, and so are its products; sums of these are not.
    const program = await spoilt({ x: 3e38 });
    program.run();
    program.run();
    const found = await program.findNonFinite();
    expect(found).toMatchObject({ tensor: 'second out', launch: 1 });
    expect(found?.kernel).toMatch(/^linear\//);
    expect(Number.isFinite(found?.value)).toBe(false);
    expect(await program.findNonFinite()).toEqual(found);
  });
});
