/** A seeded sample of the walk of all faults (`npm run faults`), and whether the walk would see a flush or a rename that is missing. */
import { expect, test } from 'vitest';
import { faultKinds, readFaultPlan } from '../../core/io/faults.ts';
import { small } from './scenarios.ts';
import { survey, tryFault, type Fault } from './walk.ts';

test('faults are switched by one variable, and a text that is no fault is refused', () => {
  expect(readFaultPlan(undefined)).toBeUndefined();
  expect(readFaultPlan('')).toBeUndefined();
  expect(readFaultPlan('rename:3:SIGKILL')).toEqual({ point: 'rename', occurrence: 3, kind: 'SIGKILL' });
  expect(readFaultPlan('remove:2:lost:without-flush@7')).toEqual({
    ...{ point: 'remove', occurrence: 2, kind: 'lost' },
    ...{ without: 'flush', withoutOccurrence: 7 },
  });
  for (const text of [
    'rename',
    'rename:0:EIO',
    'rename:x:EIO',
    'other:1:EIO',
    'rename:1:other',
    'rename:1:EIO:2',
    'rename:1:EIO:without-x',
    'rename:1:EIO:without-flush@0',
  ])
    expect(() => readFaultPlan(text), text).toThrow(RangeError);
});

test('a sample of all faults of a small run is withstood', { timeout: 120_000 }, async () => {
  const { faults, reference } = await survey(small);
  const points = new Set(faults.map(({ point }) => point));
  expect([...points].sort()).toEqual([
    'append',
    'flush',
    'link',
    'mkdir',
    'open',
    'remove',
    'rename',
    'truncate',
    'write',
  ]);
  expect(faults.length).toBeGreaterThan(800);
  // One of each kind, spread over the run.
  const sample = new Map<string, Fault>();
  for (const [place, kind] of faultKinds.entries()) {
    const those = faults.filter((fault) => fault.kind === kind);
    const chosen = those[(place * 5309 + 41) % those.length];
    if (chosen !== undefined) sample.set(kind, chosen);
  }
  expect(sample.size).toBe(8);
  for (const fault of sample.values()) expect(await tryFault(small, fault, reference)).toBeUndefined();
});

test('the walk finds out a program that never flushes, or never renames', { timeout: 60_000 }, async () => {
  const { faults, reference } = await survey(small);
  const last = faults.findLast(({ point, kind }) => point === 'remove' && kind === 'lost');
  expect(last).toBeDefined();
  if (last === undefined) return;
  expect(await tryFault(small, { ...last, without: 'flush' }, reference)).toMatch(/./);
  expect(await tryFault(small, { ...last, without: 'rename' }, reference)).toMatch(/./);
});
