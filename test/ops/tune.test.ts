/** Kernels chosen by measurement: kept by adapter, recorded with the run, never a different bit. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { Tape } from '../../core/autograd/tape.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { defaultTuning } from '../../core/gpu/tuning.ts';
import { linear } from '../../core/ops/linear.ts';
import { bestThreshold, recordedTuning, tuningFor, tuningRecord } from '../../core/tune.ts';
import { randomFloats } from '../../core/testing.ts';

const cache = mkdtempSync(join(tmpdir(), 'tuning-'));
afterAll(() => rmSync(cache, { recursive: true }));

test('large tiles are taken from where that gains most, and a small loss at one size does not outweigh gains at others', () => {
  expect(bestThreshold([32, 64, 128], [0.9, 0.9, 0.9])).toBe(32);
  expect(bestThreshold([32, 64, 128], [1.1, 0.95, 0.9])).toBe(64);
  expect(bestThreshold([32, 64, 128], [1.2, 1.1, 1.1])).toBe(256);
  expect(bestThreshold([32, 64, 128, 256], [1.05, 0.9, 0.88, 1.02])).toBe(64);
  expect(bestThreshold([32, 64, 128, 256], [0.99, 1.2, 0.9, 0.88])).toBe(128);
  expect(bestThreshold([32], [1])).toBe(64);
});

test('measured once, then taken from the cache; a spoilt cache is measured again; off means the defaults', async () => {
  const device = await openDevice();
  const environment = { REASONGEN_CACHE: cache };
  const first = await tuningFor(device, environment);
  expect(first.source).toBe('measured');
  expect(device.tuning).toBe(defaultTuning);
  const second = await tuningFor(device, environment);
  expect(second).toEqual({ ...first, source: 'cache' });
  const [file = ''] = readdirSync(join(cache, 'tuning'));
  writeFileSync(join(cache, 'tuning', file), '{"tallTilesFrom": ');
  expect((await tuningFor(device, environment)).source).toBe('measured');
  expect((await tuningFor(device, { ...environment, REASONGEN_TUNING: 'again' })).source).toBe('measured');
  expect(await tuningFor(device, { ...environment, REASONGEN_TUNING: 'off' })).toBe(defaultTuning);
  await expect(tuningFor(device, { ...environment, REASONGEN_TUNING: 'agian' })).rejects.toMatchObject({
    code: 'UNKNOWN_TUNING',
    hint: expect.stringContaining('again'),
  });
  device.close();
});

test('what a run began with is read from its record', () => {
  const tuning = { tallTilesFrom: 64, largeTilesFrom: 24, source: 'measured' } as const;
  expect(recordedTuning(tuningRecord(tuning))).toEqual({ ...tuning, source: 'recorded' });
  expect(recordedTuning({ description: 'a record of before' })).toBeUndefined();
});

test('the choice changes no bit, forward or backward', async () => {
  const results: Float32Array[][] = [];
  for (const from of [0, Number.MAX_SAFE_INTEGER]) {
    const device = await openDevice();
    device.tuning = { ...defaultTuning, tallTilesFrom: from, largeTilesFrom: from };
    const [rows, columns, inner] = [100, 64, 48];
    const x = device.tensor('x', [rows, inner], 'f32', randomFloats(rows * inner, 1));
    const weight = device.tensor('weight', [columns, inner], 'f32', randomFloats(columns * inner, 2));
    const gradients = [device.tensor('d x', [rows, inner]), device.tensor('d weight', [columns, inner])];
    const tape = new Tape(new Workspace(device));
    [x, weight].forEach((tensor, index) => tape.watch(tensor, gradients[index] ?? tensor));
    const out = linear(tape, x, weight);
    const kept = tape.output(out);
    tape.seed(out, device.tensor('d out', [rows, columns], 'f32', randomFloats(rows * columns, 3)));
    tape.backward();
    (await tape.finish('product')).run();
    results.push((await device.read([kept, ...gradients])) as Float32Array[]);
    device.close();
  }
  expect(results[0]).toEqual(results[1]);
});
