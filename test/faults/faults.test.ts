/** All faults of the small run, and a seeded sample of the others (`npm run faults` walks them whole); whether the walk sees what is missing. */
import { afterAll, expect, test } from 'vitest';
import { faultPoints, readFaultPlan, type FaultKind, type FaultPlan } from '../../core/faults.ts';
import { forgotten } from './forgotten.ts';
import { OneProcess, processes } from './runner.ts';
import { scenario, small } from './scenarios.ts';
import { survey, tryFault } from './walk.ts';

const runner = new OneProcess();
afterAll(() => runner.close());

test('faults are switched by one variable, and a text that is no fault is refused', () => {
  expect(readFaultPlan(undefined)).toBeUndefined();
  expect(readFaultPlan('')).toBeUndefined();
  expect(readFaultPlan('armed')).toBe('armed');
  expect(readFaultPlan('rename:3:SIGKILL')).toEqual({ point: 'rename', occurrence: 3, kind: 'SIGKILL' });
  expect(readFaultPlan('request:1:429')).toEqual({ point: 'request', occurrence: 1, kind: '429' });
  expect(readFaultPlan('device:1:device-lost')).toEqual({ point: 'device', occurrence: 1, kind: 'device-lost' });
  expect(readFaultPlan('remove:2:lost:without-flush@7')).toEqual({
    ...{ point: 'remove', occurrence: 2, kind: 'lost' },
    ...{ without: 'flush', withoutOccurrence: 7 },
  });
  for (const text of [
    'rename',
    'rename:0:EIO',
    'rename:x:EIO',
    'other:1:EIO',
    'constructor:1:EIO',
    'rename:1:other',
    'rename:1:429',
    'device:1:EIO',
    'rename:1:EIO:2',
    'rename:1:EIO:without-x',
    'rename:1:EIO:without-flush@0',
  ])
    expect(() => readFaultPlan(text), text).toThrow(RangeError);
});

/** One of each kind, spread over the run. */
function sampleOf(faults: readonly FaultPlan[], seed: number): FaultPlan[] {
  const kinds = [...new Set(faults.map(({ kind }) => kind))];
  return kinds.flatMap((kind, place) => {
    const those = faults.filter((fault) => fault.kind === kind);
    return those[(place * 5309 + seed) % those.length] ?? [];
  });
}

test(
  'one fault of each kind in a process of its own: it ends as it does on paper, and what it leaves is gone on with',
  { timeout: 120_000 },
  async () => {
    const known = await survey(small, runner, () => true);
    expect(Object.keys(known.passes).sort()).toEqual([
      'append',
      'end',
      'flush',
      'link',
      'mkdir',
      'open',
      'read',
      'remove',
      'rename',
      'truncate',
      'write',
    ]);
    expect(known.faults.length).toBeGreaterThan(800);
    const sample = sampleOf(known.faults, 41);
    expect(new Set(sample.map(({ kind }) => kind))).toEqual(new Set<FaultKind>(faultPoints.write));
    for (const fault of sample) expect(await tryFault(small, fault, known, processes)).toBeUndefined();
  },
);

test('a share of all faults of the small run, on paper', { timeout: 120_000 }, async () => {
  const known = await survey(small, runner);
  const share = known.faults.filter((_, index) => index % 11 === 5);
  for (const fault of share) expect(await tryFault(small, fault, known, runner)).toBeUndefined();
});

test.each(['export', 'pull'])('one fault of each kind in %s', { timeout: 120_000 }, async (name) => {
  const which = await scenario(name);
  const known = await survey(which, runner);
  // A hub that says nothing is waited for a minute.
  const quick = known.faults.filter(({ kind }) => kind !== 'silent');
  for (const fault of sampleOf(quick, 7)) expect(await tryFault(which, fault, known, runner)).toBeUndefined();
});

test.each(['flush', 'rename'] as const)('one %s that is missing is found out', { timeout: 60_000 }, async (point) => {
  const { caught, missed } = await forgotten(point, runner, (number) => number === 5);
  expect(missed).toEqual([]);
  expect([...caught.keys()]).toEqual([5]);
});
