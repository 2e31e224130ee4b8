import { expect, test } from 'vitest';
import { session, withDirectory, withServer } from './stand-in.ts';

const settings = { seed: 1, 'recipe.steps': 2 };

test('a run: logs with ids and config, warnings and the end as alerts, the key where the server looks for it', () =>
  withDirectory((directory) =>
    withServer(
      () => ({ body: { data: null } }),
      async ({ url, heard }) => {
        process.env['REASONGEN_TEST_TRACKIO'] = 'write-token-1';
        const { hooks, said } = await session('trackio', {
          url: `${url}/`,
          project: 'mine',
          keyVariable: 'REASONGEN_TEST_TRACKIO',
        });
        await hooks.start({ preset: 'night', directory, resume: false, settings });
        await hooks.step({ step: 1, metrics: { reward: 0.5, loss: Number.NaN } });
        await hooks.step({ step: 2, metrics: { reward: 0.6 }, warnings: ['flat', 'dark'] });
        await hooks.evaluation({
          step: 2,
          benchmark: 'nano',
          split: 'heldout',
          samples: [],
          verdicts: [],
          metrics: { passRate: 1 },
        });
        await hooks.finish({ outcome: 'done', directory });
        delete process.env['REASONGEN_TEST_TRACKIO'];
        expect(said).toEqual([]);
        expect(new Set(heard.map(({ path }) => path))).toEqual(new Set(['/api/bulk_log', '/api/bulk_alert']));
        expect(
          heard.every(
            ({ headers, body }) => headers['x-trackio-write-token'] === 'write-token-1' && body['hf_token'] === null,
          ),
        ).toBe(true);
        const logs = heard.flatMap(({ body }) => (body['logs'] ?? []) as Readonly<Record<string, unknown>>[]);
        const id = logs[0]?.['run_id'];
        expect(id).toMatch(/^[0-9a-f]{16}$/);
        expect(logs.map(({ timestamp, ...log }) => [Number.isFinite(Date.parse(String(timestamp))), log])).toEqual(
          [
            { step: 1, metrics: { reward: 0.5, loss: 'NaN' }, log_id: `${String(id)}-steps-1` },
            { step: 2, metrics: { reward: 0.6 }, log_id: `${String(id)}-steps-2` },
            { step: 2, metrics: { 'nano/heldout/passRate': 1 }, log_id: `${String(id)}-nano/heldout-2` },
          ].map((log) => [true, { project: 'mine', run: 'night', run_id: id, config: settings, ...log }]),
        );
        const alerts = heard.flatMap(({ body }) => (body['alerts'] ?? []) as Readonly<Record<string, unknown>>[]);
        expect(alerts.map(({ title, text, level, step }) => [title, text, level, step])).toEqual([
          ['warning', 'flat', 'warn', 2],
          ['warning', 'dark', 'warn', 2],
          ['the run is done', null, 'info', 2],
        ]);
        expect(new Set(alerts.map(({ alert_id }) => alert_id)).size).toBe(3);
      },
    ),
  ));

test('what the server says is wrong, with status 200, is said', () =>
  withDirectory((directory) =>
    withServer(
      () => ({ body: { error: 'no such function' } }),
      async ({ url }) => {
        const { hooks, said } = await session('trackio', { url, keyVariable: 'REASONGEN_TEST_TRACKIO' });
        await hooks.start({ preset: 'night', directory, resume: false });
        await hooks.finish({ outcome: 'done', directory });
        expect(said[0]).toMatch(/^trackio cannot be told of this run: the server says: no such function; /);
      },
    ),
  ));
