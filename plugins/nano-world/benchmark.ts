/** nano-geneval: the same number of prompts for each of GenEval's six tasks, judged by its rules. */
import type { DirectBenchmark, PromptItem, Split } from '../../core/plugin.ts';
import { purposes } from './dataset.ts';
import { drawStream } from './random.ts';
import { promptOf } from './specification.ts';
import type { Specification } from './specification.ts';
import { judgeScene, partsOf } from './verdict.ts';
import { tasks } from './vocabulary.ts';
import { createInspector, createReader, drawnCells, planAgreement, worldSpace } from './world.ts';

/** `verdict`: which of the two verdicts decides whether a sample passes. */
export function createNanoGeneval({ verdict }: { readonly verdict: 'strict' | 'geneval' }): DirectBenchmark {
  const read = createReader();
  const inspect = createInspector();
  return {
    tasks,
    prompts(split, count, seed) {
      const pools = tasks.map((task, number) =>
        shuffledPool(worldSpace().pools[task][split], count, seed, split, number),
      );
      return Array.from({ length: count }, (_, index) => itemOf(pools, index));
    },
    judge: (samples, signal) =>
      samples.map((sample) => {
        signal.throwIfAborted();
        const inspection = inspect(sample);
        const judgement = judgeScene(read(sample), inspection);
        const plan = sample.rationale === '' ? {} : { plan_picture: planAgreement(sample.rationale, inspection) };
        return { pass: judgement[verdict], why: judgement.why, parts: { ...partsOf(judgement), ...plan } };
      }),
    // GRPO tends to buy accuracy with layouts that are always the same: the share of the commonest says how far it went.
    measure: (samples) =>
      Object.fromEntries(
        tasks.flatMap((task) => {
          const layouts = samples
            .filter((sample) => sample.task === task)
            .map((sample) => drawnCells(inspect(sample)).join());
          return layouts.length === 0 ? [] : [[`commonest layout, ${task}`, shareOfCommonest(layouts)]];
        }),
      ),
  };
}

function shareOfCommonest(values: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return Math.max(...counts.values()) / values.length;
}

/** Tasks in turn, so that any count is spread evenly. */
function itemOf(pools: readonly (readonly Specification[])[], index: number): PromptItem {
  const specification = pools[index % pools.length]?.[Math.floor(index / pools.length)];
  if (!specification) throw new RangeError(`nano-geneval has no prompt ${index}.`);
  return { prompt: promptOf(specification), task: specification.task, specification };
}

/** A random order of a task's specifications, over and over until there are enough: repeats only when all are used. */
function shuffledPool(
  pool: readonly Specification[],
  count: number,
  seed: number,
  split: Split,
  task: number,
): Specification[] {
  const result: Specification[] = [];
  for (let round = 0; result.length * tasks.length < count + tasks.length; round++) {
    const stream = (round * tasks.length + task) * 2 + Number(split === 'heldout');
    result.push(...drawStream(seed, purposes.benchmark, stream).shuffled(pool));
  }
  return result;
}
