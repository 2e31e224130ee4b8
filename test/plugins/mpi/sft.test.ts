/** SFT over ranks that Open MPI has started: the same run twice, and that of one process but for rounding. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Workplace, root } from '../../support/runs.ts';
import { aloneTwoAndFour, describeWithMpi, memoryOf, metricsOf, relativeDifference, weightsOf } from './ranks.ts';

const place = new Workplace();
const small = `name: ranks
extends: ${join(root, 'presets/nano/sft.yaml')}
recipe: { steps: 3, batch: 8, microBatch: 4, warmup: 0, saveEvery: 3, validation: { every: 3, examples: 6 } }
`;

describeWithMpi('SFT over ranks', () => {
  test('two are the same twice, and one but for rounding; so are four', { timeout: 900_000 }, async () => {
    const { alone, two, four } = await aloneTwoAndFour(place, place.write('ranks.yaml', small));
    for (const directory of [two, four]) {
      // The gradients of parts of a batch are added up in another order: AdamW, whose first steps follow the signs of gradients, makes of rounding what it does.
      expect(relativeDifference(await weightsOf(alone), await weightsOf(directory))).toBeLessThan(1e-4);
      metricsOf(directory).forEach((metrics, index) => {
        const { loss = 0, gradientNorm = 0, 'validation/loss': validation } = metricsOf(alone)[index] ?? {};
        expect(metrics['loss']).toBeCloseTo(loss, 3);
        expect((metrics['gradientNorm'] ?? 0) / gradientNorm).toBeCloseTo(1, 2);
        if (validation !== undefined) expect(metrics['validation/loss']).toBeCloseTo(validation, 3);
      });
    }
    // Shares of the batch and of the optimizer's state, planned for the longest sequences and measured on those that came.
    const memory = [alone, two, four].map(memoryOf);
    memory.forEach(({ plannedBytes, peakBytes }, index) => {
      expect(peakBytes / plannedBytes).toBeGreaterThan(0.8);
      expect(peakBytes / plannedBytes).toBeLessThan(1.05);
      if (index > 0) expect(peakBytes).toBeLessThan(0.9 * (memory[index - 1]?.peakBytes ?? 0));
    });
    // One process writes, and the preset that is kept says nothing of ranks.
    expect(readFileSync(join(two, 'preset.yaml'), 'utf8')).not.toContain('communicator');
  });
});
