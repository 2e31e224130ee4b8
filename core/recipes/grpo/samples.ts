/** Saves drawings of a step with everything that explains them: picture, prompt, rationale, every score, advantage. */
import type { Judgement } from '../../contracts/hooks.ts';
import type { RunContext } from '../../contracts/recipe.ts';
import { encodePng } from '../../io/image.ts';
import type { Drawing } from '../../drawing/drawer.ts';

export interface JudgedDrawing {
  readonly drawing: Drawing;
  readonly judgement: Judgement | undefined;
  readonly advantage: number;
}

export async function saveSamples(
  context: RunContext,
  step: number,
  drawings: readonly JudgedDrawing[],
): Promise<void> {
  const records = await Promise.all(
    drawings.map(async ({ drawing: { sample }, judgement, advantage }) => {
      const { id, prompt, task, rationale, rationaleEnded, image, codes } = sample;
      const png = await encodePng(image, { prompt, rationale, seed: String(context.seed) });
      return {
        id,
        prompt,
        task,
        rationale,
        rationaleEnded,
        codes,
        png,
        scores: judgement?.scores ?? {},
        total: judgement?.total ?? 0,
        advantage,
        seed: context.seed,
      };
    }),
  );
  await context.directory.writeSamples(step, records);
}
