/** Every kernel file compiles, with its defaults and with every constant at its other values; Dawn's null back end runs nothing. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loadKernel, type KernelConstants } from '../../core/gpu/kernel.ts';
import { kernelFiles } from '../../core/testing.ts';
import { testDevice } from './device.ts';

const device = await testDevice({ nullBackend: true });

/** Values the ops give to constants that are numbers; booleans are flipped. */
const otherValues: Readonly<Record<string, readonly number[]>> = {
  LANES: [4, 16, 32, 64],
  HEAD: [8, 12, 64, 128],
  VECTORS: [2, 4, 16],
  BITS: [16, 8, 4],
};

function variantsOf(path: string): KernelConstants[] {
  const source = readFileSync(new URL(`../../kernels/${path}.wgsl`, import.meta.url), 'utf8');
  const constants = [...source.matchAll(/^const ([A-Z_0-9]+)\s*(?::\s*\w+\s*)?=\s*([^;]+);/gm)];
  return constants.flatMap(([, name = '', value = '']): KernelConstants[] => {
    if (value === 'true' || value === 'false') return [{ [name]: value === 'false' }];
    return (otherValues[name] ?? []).map((other) => ({ [name]: other }));
  });
}

test('there are kernels', () => expect(kernelFiles().length).toBeGreaterThan(20));

test.each(kernelFiles())('%s', async (path) => {
  for (const constants of [{}, ...variantsOf(path)]) {
    const { kernel } = await device.pipeline(loadKernel(path, constants));
    expect(kernel.bindings.length, kernel.label).toBeGreaterThan(0);
    // WebGPU promises eight storage buffers per stage.
    expect(kernel.bindings.filter(({ access }) => access !== 'uniform').length, kernel.label).toBeLessThanOrEqual(8);
  }
});
