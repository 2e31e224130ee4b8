/** What a GRPO run will do and need, in words and bytes. */
import type { NamedReward, Plan, PlanContext, Smaller } from '../../contracts/recipe.ts';
import { exitCodes, ReasongenError } from '../../errors.ts';
import { comeAndGo, reserveJudges } from '../../judging/reserve.ts';
import { planEvaluation } from './evaluation.ts';
import type { GrpoOptions } from './options.ts';
import { openGrpo } from './setup.ts';
import { drawingsAtOnce, miniBatchSize, promptsAtOnce } from './sizes.ts';
import { changesOf, MemoryAccount, planningRun, smallerValues } from '../../models/memory-accounting.ts';
import { describeModel, planDecoding } from '../../drawing/plan.ts';
import type { Communicator } from '../../contracts/communicator.ts';
import { largestShare } from '../../ranks/shares.ts';
import { isAnyTrainedOn, isTrainedOn } from '../../rl/combine.ts';
import { adapterChange, keepingMore } from '../../training/options.ts';
import { Training } from '../../training/training.ts';

export async function planGrpo(context: PlanContext, choice: GrpoOptions): Promise<Plan> {
  const account = new MemoryAccount(context);
  const run = planningRun(context);
  const training = await Training.build(run, context.backbone.parameters, choice);
  account.note('weights, gradients, optimizer');
  await openGrpo(run, choice, training);
  account.note('programs and sampler');
  await planDecoding(run, { prompts: promptsAtOnce(choice, run.communicator), samplesPerPrompt: choice.groupSize });
  account.note('image tokenizer');
  await reserveJudges(run);
  account.note('judges');
  // Last: all but the first evaluation draw while everything else is there.
  await planEvaluation(run, choice, training);
  // And those that come and go come behind it, too.
  if (comeAndGo(run)) await reserveJudges(run);
  const codes = context.imageTokenizer.grid.rows * context.imageTokenizer.grid.columns;
  const capacity = choice.promptTokens + (choice.rationale ? choice.rationaleTokens : 1) + codes;
  return account.plan([describeModel(context.backbone), ...planLines(choice, codes, capacity, context.communicator)]);
}

/** Throws where every drawing would get the total 0, whatever its rewards say: no step could teach anything. */
export function refuseNoReward(rewards: readonly NamedReward[], { steps }: Pick<GrpoOptions, 'steps'>): void {
  if (isAnyTrainedOn(rewards, steps)) return;
  const weightless = rewards.filter((named) => isTrainedOn(named) && named.gate !== true).map(({ name }) => name);
  const areHeldOut = weightless.length === 0;
  throw new ReasongenError({
    code: 'NO_REWARD',
    message: `${areHeldOut ? 'every reward is held out' : `the weight of ${weightless.join(', ')} is 0 at every step, and no other reward is added up`}: every drawing would get the total 0, and nothing could be learnt`,
    place: 'rewards',
    hint: areHeldOut
      ? 'take heldOut away from one of them'
      : 'give one of them a weight; what is only to be measured is heldOut: true',
    exitCode: exitCodes.badPreset,
  });
}

/** Smaller micro-batches first, then computing again, then keys and values in 16 bits: what costs least comes first. */
export function smallerGrpo(choice: GrpoOptions): Smaller[] {
  const sizes = smallerValues(drawingsAtOnce(choice, { size: 1 }));
  const micro = (values: readonly number[], more: Partial<GrpoOptions> = {}): GrpoOptions[] =>
    values.map((microBatch) => ({ ...choice, microBatch, ...more }));
  const again = { recompute: true };
  const all = [
    ...micro(sizes.slice(0, 2)),
    { ...choice, ...again },
    ...micro(sizes, again),
    ...micro(sizes.slice(-1), { ...again, cache: 'f16' }),
  ];
  const fewer = smallerValues(promptsAtOnce(choice, { size: 1 })).map((value) => ({ ...choice, promptsAtOnce: value }));
  all.push(
    ...fewer,
    ...fewer.map((each): GrpoOptions => ({
      ...each,
      ...again,
      cache: 'f16',
      microBatch: sizes.at(-1) ?? drawingsAtOnce(choice, { size: 1 }),
    })),
  );
  const adapters = adapterChange(choice);
  const drastic: GrpoOptions[] =
    adapters === undefined
      ? []
      : [
          { ...choice, ...adapters },
          { ...(all.at(-1) ?? choice), ...adapters },
        ];
  const propose = (smaller: GrpoOptions, isDrastic: boolean): Smaller => ({
    change: changesOf(choice, smaller, ['lora', 'storage', 'recompute', 'microBatch', 'cache', 'promptsAtOnce']),
    isDrastic,
    plan: (context) => planGrpo(context, smaller),
    ...keepingMore(choice, smaller, (kept) => propose(kept, isDrastic)),
  });
  return [...all.map((smaller) => propose(smaller, false)), ...drastic.map((smaller) => propose(smaller, true))];
}

/** The arithmetic of batches, one fact a line. */
export function planLines(
  choice: GrpoOptions,
  codes: number,
  capacity: number,
  ranks: Pick<Communicator, 'size'> = { size: 1 },
): string[] {
  const { prompts, groupSize, downSample, miniBatches, epochs, steps } = choice;
  const { refillRounds, guidance, pool, promptFiles, curriculum, kl } = choice;
  const rows = prompts * groupSize;
  const perUpdate = miniBatchSize(choice);
  const atOnce = drawingsAtOnce(choice, ranks);
  const passes = Math.ceil(largestShare(perUpdate, ranks) / atOnce);
  const files = promptFiles.length === 1 ? 'one file' : `${promptFiles.length} files`;
  return [
    `${prompts} prompts x groups of ${groupSize} = ${rows} drawings a step${downSample === undefined || downSample >= groupSize ? '' : `, of each group the ${downSample} whose rewards differ most are trained on`}${refillRounds === 0 ? '' : `, up to ${refillRounds + 1} times where groups are dropped`}, ${steps} steps`,
    `${miniBatches} mini-batches x ${epochs} pass${epochs === 1 ? '' : 'es'} per rollout = ${miniBatches * epochs} updates a step, ${miniBatches * epochs * steps} in all; each on at most ${Math.ceil(prompts / miniBatches)} groups = ${perUpdate} drawings`,
    `${passes} micro-batch${passes === 1 ? '' : 'es'} of at most ${atOnce} drawings per update, each of at most ${capacity} tokens (${codes} of them image codes)${guidance === 1 ? '' : ', and as many again for the unconditional branch'}`,
    promptFiles.length > 0
      ? `prompts from ${files}`
      : pool > 0
        ? `a pool of ${pool} fixed prompts`
        : 'fresh prompts at every step',
    ...curriculum.map(({ from, tasks }) => `from step ${from}: ${tasks.join(', ')}`),
    ...(kl === undefined || kl.coefficient === 0 ? [] : ['a reference policy beside the one that is trained']),
  ];
}
