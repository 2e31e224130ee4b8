/** Saves drawings of a step with everything that explains them: picture, prompt, rationale, every score, advantage. */
import type { Extension, Judgement } from '../../contracts/hooks.ts';
import type { Sample } from '../../contracts/reward.ts';
import { encodePng } from '../../io/image.ts';
import { type DrawnSample, writeSamples } from '../../io/sample-folder.ts';
import { at } from '../../tensor/at.ts';
import type { GrpoOptions } from './options.ts';

/** A drawing whose picture is being encoded. */
interface Drawn {
  readonly sample: Sample;
  readonly png: Promise<Uint8Array>;
}

interface Verdict {
  readonly judgement: Judgement;
  readonly advantage: number;
}

/**
 * Of the first step and of every `samplesEvery`-th, the first `samplesShown` drawings, refills included: as all other extensions left
 * them, written when the numbers of the step are final. Pictures are encoded while they are judged.
 */
export function savedSamples(
  { samplesEvery, samplesShown }: Pick<GrpoOptions, 'samplesEvery' | 'samplesShown'>,
  seed: number,
): Extension {
  let directory = '';
  let drawn: Drawn[] = [];
  let verdicts: Verdict[] = [];
  const isDue = (step: number): boolean => step === 1 || step % samplesEvery === 0;
  return {
    start: (event) => {
      directory = event.directory;
    },
    rollout: ({ step, samples }) => {
      if (isDue(step)) drawn.push(...samples.slice(0, samplesShown - drawn.length).map((each) => encode(each, seed)));
    },
    advantages: {
      order: 'late',
      handler: ({ step, judgements, advantages }) => {
        const judged = judgements.map((judgement, index): Verdict => ({ judgement, advantage: at(advantages, index) }));
        if (isDue(step)) verdicts.push(...judged.slice(0, samplesShown - verdicts.length));
        return undefined;
      },
    },
    step: async ({ step }) => {
      const records = drawn.map((each, index) => recordOf(each, at(verdicts, index), seed));
      [drawn, verdicts] = [[], []];
      if (isDue(step)) await writeSamples(directory, step, await Promise.all(records));
    },
  };
}

function encode(sample: Sample, seed: number): Drawn {
  const { image, prompt, rationale } = sample;
  const png = encodePng(image, { prompt, rationale, seed: String(seed) });
  // Heard when the picture is written.
  png.catch(() => undefined);
  return { sample, png };
}

async function recordOf({ sample, png }: Drawn, { judgement, advantage }: Verdict, seed: number): Promise<DrawnSample> {
  const { id, prompt, task, rationale, rationaleEnded, codes } = sample;
  const { scores, total } = judgement;
  return { id, prompt, task, rationale, rationaleEnded, codes, png: await png, scores, total, advantage, seed };
}
