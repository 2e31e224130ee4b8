/** metrics.ndjson: what is written comes back, whatever has torn it. */
import { appendFileSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MetricsFile, readMetrics } from '../../../core/io/metrics.ts';
import { openRun } from '../../../core/io/run-directory.ts';
import { root, start, useRuns } from '../../support/quick-run.ts';

useRuns();

describe('metrics', { timeout: 30_000 }, () => {
  test('come back as written, NaN and infinity included', async () => {
    const value = fc.oneof(
      fc.double(),
      fc.string().filter((text) => !/^(NaN|-?Infinity)$/.test(text)),
    );
    let index = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.dictionary(
            fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
            value,
          ),
          { maxLength: 5 },
        ),
        async (lines) => {
          const file = new MetricsFile(join(root, `${index++}.ndjson`));
          for (const line of lines) file.append(line);
          file.close();
          // JSON writes -0 as 0.
          const expected = lines.map((line) =>
            Object.fromEntries(Object.entries(line).map(([key, entry]) => [key, entry === 0 ? 0 : entry])),
          );
          expect((await readMetrics(file.path)).metrics.map((line) => ({ ...line }))).toEqual(expected);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('go back to the position of a checkpoint', async () => {
    const run = await start();
    run.metrics.append({ step: 1, loss: 2 });
    const position = run.metrics.position();
    run.metrics.append({ step: 2, loss: 1, note: 'größer' });
    await run.close('stopped');
    // A kill in the middle of a line.
    appendFileSync(join(run.path, 'metrics.ndjson'), '{"step":3,"lo');
    expect((await readMetrics(run.metrics.path)).metrics).toHaveLength(2);
    const again = await openRun(run.path, []);
    again.metrics.truncate(position);
    again.metrics.append({ step: 2, loss: 1.5 });
    expect(() => again.metrics.truncate(10_000)).toThrow(
      /the metrics end at byte \d+, but the checkpoint was saved at byte 10000/,
    );
    await again.close('done');
    const metrics = [
      { step: 1, loss: 2 },
      { step: 2, loss: 1.5 },
    ];
    expect(await readMetrics(run.metrics.path)).toEqual({ metrics, badLines: 0 });
    appendFileSync(run.metrics.path, 'broken\n{}\n');
    expect(await readMetrics(run.metrics.path)).toEqual({ metrics: [...metrics, {}], badLines: 1 });
  });

  test('a full disk is told as such', { skip: process.platform !== 'linux' }, async () => {
    await symlink('/dev/full', join(root, 'full.ndjson'));
    const file = new MetricsFile(join(root, 'full.ndjson'));
    expect(() => file.append({ step: 1 })).toThrow('there is no space left on the disk while writing metrics');
    file.close();
  });
});
