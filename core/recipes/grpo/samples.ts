/** Saves drawings of a step with everything that explains them: picture, prompt, rationale, every score, advantage. */
import type { Extension, Judgement } from '../../contracts/hooks.ts';
import type { Sample } from '../../contracts/reward.ts';
import { encodePng } from '../../io/image.ts';
import { type DrawnSample, writeSamples } from '../../io/sample-folder.ts';
import { at } from '../../tensor/at.ts';
import type { GrpoOptions } from './options.ts';

interface JudgedSample {
  readonly sample: Sample;
  readonly judgement: Judgement;
  readonly advantage: number;
}

/**
 * Of the first step and of every `samplesEvery`-th, the first `samplesShown` drawings, refills included: as all other extensions left
 * them, written when the numbers of the step are final.
 */
export function savedSamples(
  { samplesEvery, samplesShown }: Pick<GrpoOptions, 'samplesEvery' | 'samplesShown'>,
  seed: number,
): Extension {
  let directory = '';
  let kept: { readonly step: number; readonly samples: readonly JudgedSample[] } = { step: 0, samples: [] };
  const isDue = (step: number): boolean => step === 1 || step % samplesEvery === 0;
  return {
    start: (event) => {
      directory = event.directory;
    },
    advantages: {
      order: 'late',
      handler: ({ step, samples, judgements, advantages }) => {
        if (!isDue(step)) return undefined;
        const before = kept.step === step ? kept.samples : [];
        const added = samples.map((sample, index): JudgedSample => ({
          sample,
          judgement: at(judgements, index),
          advantage: at(advantages, index),
        }));
        kept = { step, samples: [...before, ...added].slice(0, samplesShown) };
        return undefined;
      },
    },
    step: async ({ step }) => {
      if (!isDue(step)) return;
      const { samples } = kept;
      kept = { step: 0, samples: [] };
      await writeSamples(directory, step, await Promise.all(samples.map((sample) => recordOf(sample, seed))));
    },
  };
}

async function recordOf({ sample, judgement, advantage }: JudgedSample, seed: number): Promise<DrawnSample> {
  const { id, prompt, task, rationale, rationaleEnded, image, codes } = sample;
  const png = await encodePng(image, { prompt, rationale, seed: String(seed) });
  const { scores, total } = judgement;
  return { id, prompt, task, rationale, rationaleEnded, codes, png, scores, total, advantage, seed };
}
