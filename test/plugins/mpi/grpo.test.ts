/** GRPO over ranks that Open MPI has started: what is drawn is what one process draws, and updates differ by rounding. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Workplace, root } from '../../support/runs.ts';
import { aloneTwoAndFour, describeWithMpi, metricsOf, relativeDifference, timeless, weightsOf } from './ranks.ts';

const place = new Workplace();
const small = `name: ranks
extends: ${join(root, 'presets/nano/grpo.yaml')}
rewards:
  - nano-verdict
  - { use: diversity, weight: 0.1 }
recipe: { steps: 2, prompts: 4, promptsAtOnce: 1, groupSize: 4, miniBatches: 2, warmup: 0, saveEvery: 2, evaluations: 10, samplesEvery: 2 }
`;

describeWithMpi('GRPO over ranks', () => {
  test('two are the same twice, and one but for rounding; so are four', { timeout: 900_000 }, async () => {
    const { alone, two, four } = await aloneTwoAndFour(place, place.write('ranks.yaml', small));
    const [first = {}] = metricsOf(alone).map(timeless);
    // Drawn with equal weights by equal requests, judged alike: of the numbers of what was drawn no bit depends on who drew it.
    const drawn = Object.keys(first).filter((name) => /^(reward|passRate|pictures|rationale|forced|kept)/.test(name));
    expect(drawn.length).toBeGreaterThan(8);
    for (const directory of [two, four]) {
      const [own = {}] = metricsOf(directory);
      for (const name of drawn) expect([name, own[name]]).toEqual([name, first[name]]);
      expect((own['gradientNorm'] ?? 0) / (first['gradientNorm'] ?? 0)).toBeCloseTo(1, 3);
      expect(relativeDifference(await weightsOf(alone), await weightsOf(directory))).toBeLessThan(1e-4);
      // Evaluated, in shares of four prompts of which the last is a smaller one, and its drawings saved, once.
      const records = readdirSync(join(alone, 'evaluations'));
      expect(readdirSync(join(directory, 'evaluations'))).toEqual(records);
      const before = records.filter((name) => name.includes('before'));
      expect(before.length).toBeGreaterThan(0);
      for (const name of before)
        expect(readFileSync(join(directory, 'evaluations', name), 'latin1'), name).toBe(
          readFileSync(join(alone, 'evaluations', name), 'latin1'),
        );
      expect(readdirSync(join(directory, 'samples'))).toEqual(readdirSync(join(alone, 'samples')));
    }
  });
});
