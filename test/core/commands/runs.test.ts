/** The list of runs in a terminal: of records that were cut off, damaged, or written by somebody else. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Workplace } from '../../support/runs.ts';
import { appendStep, writeWatchedRun } from '../../support/watched-run.ts';

const place = new Workplace();

test('a run is listed by what can be read of it, and no record keeps the others from being listed', async () => {
  const session = { command: ['run'], startedAt: '2026-01-01T00:00:00.000Z', outcome: 'failed' };
  const written = (name: string, options: Parameters<typeof writeWatchedRun>[1] = {}): string => {
    writeWatchedRun(place.path('runs', name), options);
    return place.path('runs', name);
  };
  const cut = written('cut');
  appendFileSync(join(cut, 'metrics.ndjson'), '{"step":4,"rew\n');
  appendStep(cut, 5);
  appendStep(written('diverged'), 4, { passRate: 'Infinity', reward: 'NaN' });
  written('dateless', { sessions: [{ ...session, startedAt: 'yesterday' }] });
  written('noted', { sessions: [{ ...session, note: 7 }] });
  written('null', { sessions: [null] as never });
  const runs = JSON.parse((await place.command('runs', place.path('runs'), '--json')).output) as object[];
  const of = (name: string): object | undefined =>
    runs.find((run) => 'directory' in run && run.directory === place.path('runs', name));
  expect(of('cut')).toMatchObject({ state: 'interrupted', step: 5, passRate: 0.5, reward: 0.5 });
  expect(of('diverged')).toMatchObject({ step: 4 });
  expect(of('diverged')).not.toHaveProperty('reward');
  expect(of('noted')).toMatchObject({ state: 'failed', step: 3 });
  expect(of('null')).toMatchObject({ state: 'interrupted', step: 3 });
  const { output, code } = await place.command('runs', place.path('runs'));
  expect(code).toBe(0);
  expect(output.split('\n').filter((line) => line.includes('/runs/'))).toHaveLength(5);
  expect(output).not.toMatch(/NaN|Infinity|unreadable/);
});
