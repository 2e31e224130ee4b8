/** Prompts that somebody wants to see drawn while a run goes on. No random number, weight or state of the run depends on them. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunContext } from '../../contracts/recipe.ts';
import type { Tokenizer } from '../../contracts/tokenizer.ts';
import type { Drawer, Drawing } from '../../drawing/drawer.ts';
import { explainError } from '../../failure.ts';
import { encodePng } from '../../io/image.ts';
import { sampleFolder } from '../../io/records.ts';
import { type DrawnSample, writeSamples } from '../../io/sample-folder.ts';
import { recordedTokens } from './samples.ts';

/** Drawings of a prompt that are kept. */
const shownOfEach = 4;

/** Draws the prompts with the weights behind `step` into `playground/step-000012-1/`. One that cannot be drawn is a warning. */
export async function drawAsked(
  { directory, log, seed, tokenizer }: Pick<RunContext, 'directory' | 'log' | 'seed' | 'tokenizer'>,
  drawer: Pick<Drawer, 'draw'>,
  prompts: readonly string[],
  step: number,
): Promise<void> {
  const samples: DrawnSample[] = [];
  for (const [index, prompt] of prompts.entries()) {
    try {
      const purpose = { label: 'playground', step, phase: 'evaluation' } as const;
      const drawings = await drawer.draw([{ prompt, task: '', specification: {} }], seed, purpose, index);
      for (const drawing of drawings.slice(0, shownOfEach)) samples.push(await recordOf(drawing, seed, tokenizer));
    } catch (error) {
      log.warn(`"${prompt.slice(0, 80)}" was asked for and could not be drawn: ${explainError(error).message}`);
    }
  }
  if (samples.length === 0) return;
  const earlier = await readdir(join(directory.path, 'playground')).catch((): string[] => []);
  const count = earlier.filter((name) => name.startsWith(`${sampleFolder(step)}-`)).length;
  await writeSamples(directory.path, join('playground', `${sampleFolder(step)}-${count + 1}`), samples);
}

/** Nobody has judged it. */
async function recordOf(
  { sample, sequence }: Drawing,
  seed: number,
  tokenizer: Pick<Tokenizer, 'decode'>,
): Promise<DrawnSample> {
  const { id, prompt, task, rationale, rationaleEnded, codes, image } = sample;
  return {
    ...{ id, prompt, task, rationale, rationaleEnded, codes, scores: {}, total: 0, seed },
    png: await encodePng(image, { prompt, rationale, seed: String(seed) }),
    tokens: recordedTokens(sequence, tokenizer),
  };
}
