/** Kernels compiled side by side: once for a driver, without touching the device of the run, whatever one of them is. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { compileAhead } from '../../core/compile-ahead.ts';
import { Device, openDevice } from '../../core/gpu/device.ts';
import { type Kernel, loadKernel } from '../../core/gpu/kernel.ts';

const device = await openDevice();
const folder = mkdtempSync(join(tmpdir(), 'compiled-'));
afterAll(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

/** More than are left to the run. */
const kernels: readonly Kernel[] = [
  ...[true, false].map((HAS_BIAS) => loadKernel('linear/nt-broadcast-8', { HAS_BIAS })),
  ...['pointwise/add', 'pointwise/accumulate', 'rows/gather', 'rows/scatter'].map((name) => loadKernel(name)),
  ...['rms-norm/forward', 'swiglu/forward', 'swiglu/rows', 'gelu/forward'].map((name) => loadKernel(name)),
];

let cache = '';
beforeEach(() => {
  cache = mkdtempSync(join(folder, 'cache-'));
});

const isAlone = availableParallelism() < 2;

test.skipIf(isAlone)('each is compiled once, and who waits is told how many', async () => {
  const told: number[] = [];
  const { created, bytes } = device.memory;
  const ahead = (which: readonly Kernel[]): Promise<number> =>
    compileAhead(device, which, (count) => told.push(count), { REASONGEN_CACHE: cache });
  expect(await ahead(kernels)).toBe(kernels.length);
  expect(told).toEqual([kernels.length]);
  expect(await ahead(kernels)).toBe(0);
  // One more is left to the run.
  expect(await ahead([...kernels, loadKernel('silu/forward')])).toBe(0);
  expect(told).toHaveLength(1);
  expect(device.memory).toMatchObject({ created, bytes });
});

test.skipIf(isAlone)('what does not compile is left to the run, and tried again', async () => {
  const file = join(cache, 'wrong.wgsl');
  writeFileSync(file, '@compute @workgroup_size(1) fn main() { nothing(); }\n');
  const wanted = [...kernels, loadKernel(pathToFileURL(file))];
  const ahead = (): Promise<number> => compileAhead(device, wanted, undefined, { REASONGEN_CACHE: cache });
  expect(await ahead()).toBe(wanted.length - 1);
  expect(await ahead()).toBe(0);
});

test('a driver that opens no further device leaves all of it to the run', async () => {
  const refuse = (): Promise<Device> => Promise.reject(new Error('no more devices'));
  expect(await compileAhead(device, kernels, undefined, { REASONGEN_CACHE: cache }, refuse)).toBe(0);
  if (isAlone) return;
  expect(await compileAhead(device, kernels, undefined, { REASONGEN_CACHE: cache })).toBe(kernels.length);
});

test('a list that is none is begun anew', async () => {
  await compileAhead(device, kernels, undefined, { REASONGEN_CACHE: cache });
  if (isAlone) return;
  const [name = ''] = readdirSync(join(cache, 'compiled'));
  writeFileSync(join(cache, 'compiled', name), '{"broken":');
  expect(await compileAhead(device, kernels, undefined, { REASONGEN_CACHE: cache })).toBe(kernels.length);
});

test('a GPU compiles while pipelines are made', async () => {
  const gpu = new Device(device.gpu, { ...device.adapter, isSoftware: false });
  expect(await compileAhead(gpu, kernels, () => expect.unreachable(), { REASONGEN_CACHE: cache })).toBe(0);
});
