import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { killedEvaluation } from './killed-evaluation.ts';

test(
  'an evaluation with a flaky judge that is killed twice ends complete, every picture judged once',
  { timeout: 120_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'reasongen-killed-'));
    const { record, verdicts, isRight, answers, killed } = await killedEvaluation(folder, 60, 2);
    expect(killed).toBe(2);
    expect(verdicts.map(({ index, pass }) => [index, pass])).toEqual(
      Array.from({ length: 60 }, (_, index) => [index, isRight(index)]),
    );
    expect(record.counts).toMatchObject({ prompts: 60, images: 60, missing: 0, judgeErrors: 0 });
    expect(record.overall).toEqual({ passes: 40, total: 60 });
    // What was in flight when it was killed is asked again, and nothing else.
    expect(answers).toBeGreaterThanOrEqual(60);
    expect(answers).toBeLessThanOrEqual(60 + 2 * 16);
    rmSync(folder, { recursive: true });
  },
);
