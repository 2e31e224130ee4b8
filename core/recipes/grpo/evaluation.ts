/** How a policy does before, while and after it is trained: benchmarks, files of held-out prompts, and the pool itself. */
import { exitCodes, ReasongenError } from '../../errors.ts';
import type { Benchmark } from '../../contracts/benchmark.ts';
import type { Evaluation } from '../../contracts/evaluation.ts';
import type { NamedBenchmark, RunContext } from '../../contracts/recipe.ts';
import { Drawer, type Sampling } from '../../drawing/drawer.ts';
import { evaluateBenchmark, evaluateItems, summarize } from '../evaluate.ts';
import { evaluationFilesName, passRateName } from './metric-names.ts';
import { drawnIn, type GrpoOptions } from './options.ts';
import { promptsAtOnce } from './sizes.ts';
import { PromptMix, type PromptList } from './prompt-files.ts';
import type { PromptSource } from './prompt-source.ts';
import { gatherJson, largestShare } from '../../ranks/shares.ts';
import type { Training } from '../../training/training.ts';

export interface EvaluationTools {
  readonly training: Training;
  readonly source: PromptSource;
  /** Of `evaluationFiles`. */
  readonly heldOut: readonly PromptList[];
}

/**
 * Draws and judges everything that is to be evaluated. Returns its pass rates as `pass/BENCHMARK/SPLIT`, for `keepBest`; those that
 * a requested stop cut off are missing. Over ranks all draw, the first one judges, and all are told what it found.
 */
export async function evaluatePolicy(
  context: RunContext,
  choice: GrpoOptions,
  tools: EvaluationTools,
  label: string,
  step: number,
): Promise<Record<string, number>> {
  const [passes = {}] = await gatherJson(
    context.communicator,
    await evaluateShare(context, choice, tools, label, step),
  );
  return passes;
}

/** What this rank finds: everything on the first one, nothing on the others. A pool is evaluated besides held-out prompts: learning a pool says nothing about others. */
async function evaluateShare(
  context: RunContext,
  choice: GrpoOptions,
  { training, source, heldOut }: EvaluationTools,
  label: string,
  step: number,
): Promise<Record<string, number>> {
  const files: NamedBenchmark[] =
    heldOut.length === 0 ? [] : [{ name: evaluationFilesName, benchmark: fileBenchmark(heldOut) }];
  const passes: Record<string, number> = {};
  if (choice.evaluations === 0 || context.benchmarks.length + files.length === 0) return passes;
  const sampling = evaluationSampling(choice);
  const drawer = await openDrawer(context, choice, training);
  const plan = { label, step, seed: choice.evaluationSeed, pictures: choice.evaluationPictures };
  const note = (record: Evaluation | undefined): void => {
    if (record === undefined) return;
    context.log.info(summarize(record, context.benchmarks.length + files.length));
    passes[passRateName(record.benchmark, record.split)] = record.overall.passes / record.overall.total;
  };
  for (const named of context.benchmarks) {
    const isDrawn = named.benchmark.picture === undefined;
    if (source.pool.length > 0 && isDrawn) {
      const items = Array.from(
        { length: choice.evaluations },
        (_, index) => source.pool[index % source.pool.length],
      ).filter((item) => item !== undefined);
      note(await evaluateItems(context, drawer, named, sampling, { ...plan, split: 'pool' }, items));
    }
    note(
      await evaluateBenchmark(context, drawer, named, sampling, {
        ...plan,
        split: splitOf(named.benchmark),
        count: isDrawn ? choice.evaluations : (named.benchmark.size ?? choice.evaluations),
      }),
    );
  }
  for (const named of files)
    note(
      await evaluateBenchmark(context, drawer, named, sampling, {
        ...plan,
        split: 'heldout',
        count: choice.evaluations,
      }),
    );
  drawer.close();
  return passes;
}

function openDrawer(context: RunContext, choice: GrpoOptions, training: Training): Promise<Drawer> {
  const prompts = evaluatedAtOnce(choice, context);
  return Drawer.open(context, training.evaluationWeights, training.workspace, {
    sampling: evaluationSampling(choice),
    prompts,
    samplesPerPrompt: 1,
    promptTokens: choice.promptTokens,
  });
}

/** Held-out prompts where there are some. */
function splitOf({ splits }: Benchmark): 'heldout' | 'seen' {
  return splits?.includes('heldout') === false ? 'seen' : 'heldout';
}

/** For a plan: makes what an evaluation takes, and gives it back. Throws UNKNOWN_METRIC where `keepBest` waits for what no evaluation measures. */
export async function planEvaluation(context: RunContext, choice: GrpoOptions, training: Training): Promise<void> {
  refuseUnmeasured(context, choice);
  if (choice.evaluations === 0 || context.benchmarks.length + choice.evaluationFiles.length === 0) return;
  (await openDrawer(context, choice, training)).close();
}

function refuseUnmeasured({ benchmarks }: RunContext, { keepBest, pool }: GrpoOptions): void {
  const named = benchmarks.find(({ name }) => keepBest?.metric.startsWith(passRateName(name, '')) === true);
  if (keepBest === undefined || named === undefined) return;
  const { name, benchmark } = named;
  const splits = [splitOf(benchmark), ...(pool > 0 && benchmark.picture === undefined ? ['pool'] : [])];
  const known = splits.map((split) => passRateName(name, split));
  if (known.includes(keepBest.metric)) return;
  throw new ReasongenError({
    code: 'UNKNOWN_METRIC',
    message: `recipe.keepBest.metric: no evaluation of this run measures "${keepBest.metric}"`,
    hint: `of this benchmark there is: ${known.join(', ')}`,
    exitCode: exitCodes.badPreset,
  });
}

/**
 * As many as need the memory that drawing for training needs: guidance doubles it. Where the preset leaves it open how many those are, no more than a
 * rank's share, so that none is without work.
 */
function evaluatedAtOnce(choice: GrpoOptions, { communicator }: Pick<RunContext, 'communicator'>): number {
  const branches = (guidance: number): number => (guidance === 1 ? 1 : 2);
  const rows =
    (promptsAtOnce(choice, communicator) * choice.groupSize * branches(choice.guidance)) /
    branches(evaluationSampling(choice).guidance);
  const most = choice.promptsAtOnce === undefined ? largestShare(choice.evaluations, communicator) : choice.evaluations;
  return Math.max(1, Math.min(most, Math.floor(rows)));
}

/** As training draws, but for what the preset says. */
export function evaluationSampling(choice: GrpoOptions): Sampling {
  const own = Object.entries(choice.evaluationSampling).filter(([, value]) => value !== undefined);
  return { ...choice, precision: drawnIn(choice), ...(Object.fromEntries(own) as Partial<Sampling>) };
}

/** Prompts of files, judged by the rewards: one passes when every reward is at its best, 1. */
export function fileBenchmark(lists: readonly PromptList[]): Benchmark {
  return {
    tasks: [...new Set(lists.flatMap(({ items }) => items.map(({ task }) => task)))],
    prompts: (_split, count, seed) => {
      const mix = new PromptMix(lists, seed);
      return Array.from({ length: count }, (_, index) => mix.at(index));
    },
    judgedByRewards: true,
  };
}
