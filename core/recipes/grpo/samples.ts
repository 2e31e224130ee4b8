/** Saves drawings of a step with everything that explains them: picture, prompt, rationale, every score, advantage, and how sure the model was. */
import { join } from 'node:path';
import type { DrawnTokens, Extension, Judgement } from '../../contracts/hooks.ts';
import type { Sample } from '../../contracts/reward.ts';
import type { Tokenizer } from '../../contracts/tokenizer.ts';
import { encodePng } from '../../io/image.ts';
import { sampleFolder, type RecordedTokens } from '../../io/records.ts';
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
  readonly drawn: DrawnTokens | undefined;
}

/**
 * Of the first step and of every `samplesEvery`-th, the first `samplesShown` drawings, refills included: as all other extensions left
 * them, written when the numbers of the step are final. Pictures are encoded while they are judged. `tokenizer` is asked for the texts of tokens
 * when drawings are written.
 */
export function savedSamples(
  { samplesEvery, samplesShown }: Pick<GrpoOptions, 'samplesEvery' | 'samplesShown'>,
  seed: number,
  tokenizer?: () => Promise<Pick<Tokenizer, 'decode'>>,
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
      handler: ({ step, judgements, advantages, drawn: tokens }) => {
        const judged = judgements.map((judgement, index): Verdict => ({
          judgement,
          advantage: at(advantages, index),
          drawn: tokens[index],
        }));
        if (isDue(step)) verdicts.push(...judged.slice(0, samplesShown - verdicts.length));
        return undefined;
      },
    },
    step: async ({ step }) => {
      const words = drawn.length > 0 ? await tokenizer?.() : undefined;
      const records = drawn.map((each, index) => recordOf(each, at(verdicts, index), seed, words));
      [drawn, verdicts] = [[], []];
      if (isDue(step)) await writeSamples(directory, join('samples', sampleFolder(step)), await Promise.all(records));
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

async function recordOf(
  { sample, png }: Drawn,
  { judgement, advantage, drawn }: Verdict,
  seed: number,
  words: Pick<Tokenizer, 'decode'> | undefined,
): Promise<DrawnSample> {
  const { id, prompt, task, rationale, rationaleEnded, codes } = sample;
  const { scores, total } = judgement;
  const tokens = drawn === undefined || words === undefined ? undefined : recordedTokens(drawn, words);
  return {
    ...{ id, prompt, task, rationale, rationaleEnded, codes, png: await png, scores, total, advantage, seed },
    ...(tokens !== undefined && { tokens }),
  };
}

/** Numbers with four digits: they are looked at, and computed with nowhere. */
export function recordedTokens(
  { rationaleIds, logProbability, entropy }: DrawnTokens,
  tokenizer: Pick<Tokenizer, 'decode'>,
): RecordedTokens {
  const short = (values: ArrayLike<number>): number[] => Array.from(values, (value) => Number(value.toPrecision(4)));
  return {
    text: textsOf(rationaleIds, tokenizer),
    logProbability: short(logProbability),
    entropy: short(entropy),
  };
}

/** What each token adds to the text: one alone would lose the space in front of it. A character of several tokens belongs to its last. */
function textsOf(ids: readonly number[], tokenizer: Pick<Tokenizer, 'decode'>): string[] {
  let before = '';
  return ids.map((id, index) => {
    const now = tokenizer.decode(ids.slice(0, index + 1)).replace(/\ufffd+$/, '');
    const added = now.startsWith(before) ? now.slice(before.length) : tokenizer.decode([id]);
    before = now;
    return added;
  });
}
