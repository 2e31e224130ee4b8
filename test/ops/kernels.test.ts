/**
 * Every kernel compiles on every kind of adapter: each file with its defaults and with every constant at its other values, and every form
 * an op launches, chosen by the op itself, with subgroups of several widths, without them, and without halves. Dawn's null back end runs nothing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { Device } from '../../core/gpu/device.ts';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { loadKernel, type Kernel, type KernelConstants } from '../../core/gpu/kernel.ts';
import { kernelFiles } from '../../core/testing.ts';
import { testDevice } from './device.ts';
import { exercises, Stage } from './exercises.ts';

const everything = await testDevice({ nullBackend: true });

/** Values the ops give to constants that are numbers; booleans are flipped. */
const otherValues: Readonly<Record<string, readonly number[]>> = {
  LANES: [4, 16, 32, 64],
  HEAD: [8, 12, 64, 128],
  VECTORS: [2, 4, 16],
  BITS: [16, 8, 4],
  AXES: [2, 3],
  PARTS: [2],
};

function variantsOf(path: string): KernelConstants[] {
  const source = readFileSync(new URL(`../../kernels/${path}.wgsl`, import.meta.url), 'utf8');
  const constants = [...source.matchAll(/^const ([A-Z_0-9]+)\s*(?::\s*\w+\s*)?=\s*([^;]+);/gm)];
  return constants.flatMap(([, name = '', value = '']): KernelConstants[] => {
    if (value === 'true' || value === 'false') return [{ [name]: value === 'false' }];
    return (otherValues[name] ?? []).map((other) => ({ [name]: other }));
  });
}

function refuseManyBindings(kernel: Kernel): void {
  expect(kernel.bindings.length, kernel.label).toBeGreaterThan(0);
  // WebGPU promises eight storage buffers per stage.
  expect(kernel.bindings.filter(({ access }) => access !== 'uniform').length, kernel.label).toBeLessThanOrEqual(8);
}

test('there are kernels', () => expect(kernelFiles().length).toBeGreaterThan(20));

test('no kernel uses a builtin that adds in an order WGSL leaves open: drivers differ in it, and so would trained weights', () => {
  // distance, length and normalize are defined by dot(). The sum over a subgroup is named in its file.
  const open = /(?<!fn )\b(dot|length|distance|normalize|subgroup(?:Exclusive|Inclusive)?(?:Add|Mul))\s*\(/g;
  const paths = readdirSync(new URL('../../kernels/', import.meta.url), { recursive: true, encoding: 'utf8' });
  const used = paths
    .filter((path) => path.endsWith('.wgsl'))
    .flatMap((path) => {
      const code = readFileSync(new URL(`../../kernels/${path}`, import.meta.url), 'utf8').replaceAll(/\/\/.*$/gm, '');
      return [...code.matchAll(open)].map(([, name]) => `${path}: ${name}`);
    });
  expect(used).toEqual(['lib/rows/subgroup.wgsl: subgroupAdd']);
});

test.each(kernelFiles())('%s', async (path) => {
  for (const constants of [{}, ...variantsOf(path)])
    refuseManyBindings((await everything.pipeline(loadKernel(path, constants))).kernel);
});

/** The null back end with these features, taken for an adapter that says so about itself. */
async function adapter(without: readonly GPUFeatureName[], claims: Partial<Device['adapter']>): Promise<Device> {
  const base = await testDevice({ nullBackend: true, without });
  return new Device(base.gpu, { ...base.adapter, ...claims });
}

const adapters = [
  [
    'a software adapter, subgroups of 8',
    await adapter([], { isSoftware: true, subgroupMinSize: 8, subgroupMaxSize: 8 }),
  ],
  ['a software adapter without subgroups', await adapter(['subgroups'], { isSoftware: true })],
  ['a GPU, subgroups of 32', await adapter([], { subgroupMinSize: 32, subgroupMaxSize: 32 })],
  ['a GPU, subgroups of 4 to 128', everything],
  ['a GPU without subgroups', await adapter(['subgroups'], {})],
  ['a GPU without halves', await adapter(['shader-f16'], { subgroupMinSize: 32, subgroupMaxSize: 32 })],
  ['a GPU without either', await adapter(['shader-f16', 'subgroups'], {})],
] as const;

/**
 * Every shape of subgroup matrices that cards are known to list, and the lanes that multiply one; subgroups of 8 are executed by
 * `npm run verify:matrix` (the null back end wants workgroups of 128).
 */
const matrixAdapters = await Promise.all(
  (
    [
      [8, 8, 8, 32],
      [16, 16, 16, 32],
      [16, 8, 16, 32],
      [16, 8, 8, 32],
      [8, 16, 16, 32],
      [16, 16, 16, 64],
    ] as const
  ).flatMap(([M, N, K, lanes]) =>
    (['f16', 'f32-split'] as const).map(async (precision) => {
      const matrices = [{ operands: 'f16', sums: 'f32', M, N, K }];
      const device = await adapter([], { subgroupMinSize: lanes, subgroupMaxSize: lanes, matrices });
      const products = new MatrixProducts(device, { M, N, K }, precision);
      return [`matrices of ${M} x ${N} x ${K}, ${lanes} lanes, ${precision}`, device, products] as const;
    }),
  ),
);
const ofProducts = Object.entries(exercises).filter(
  ([name]) => name.startsWith('linear') || name === 'attention' || name === 'pictures',
);

const launched = new Set<string>();

describe.each([
  ...adapters.map(([name, device]) => [name, device, Object.entries(exercises), undefined] as const),
  ...matrixAdapters.map(([name, device, products]) => [name, device, ofProducts, products] as const),
])('%s', (_name, device, chosen, products) => {
  test.each(chosen)('%s', async (name, exercise) => {
    const tape = new Tape(new Workspace(device, products));
    exercise(new Stage(tape));
    tape.backward();
    expect(tape.recorded).not.toEqual([]);
    for (const step of tape.recorded) {
      if (!('kernel' in step)) continue;
      launched.add(String(step.kernel));
      refuseManyBindings(loadKernel(step.kernel, step.constants));
    }
    // Compiles every form, and finds what is bound to nothing or to the wrong type.
    (await tape.finish(name)).dispose();
    device.throwFailure();
  });
});

/** `fillOnDevice` launches its kernel by itself, and a trial of the adapter is no op. */
const launchedBeside = ['parameters/fill', 'trial/halves'];

test('every kernel is launched by an op in one of its forms', () => {
  const idle = kernelFiles().filter((path) => !launched.has(path) && !launchedBeside.includes(path));
  expect(idle, 'kernels that no exercise launches: add one to exercises.ts, or delete them').toEqual([]);
});
