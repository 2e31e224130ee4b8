/** What a prompt demands: the closed space of specifications, its hold-out rules and GenEval's wording. */
import type { Split } from '../../core/plugin.ts';
import type { RandomStream } from './random.ts';
import { classNames, colorNames, numberWords, plural, relations, tasks, withArticle } from './vocabulary.ts';
import type { ClassName, ColorName, Relation, Task } from './vocabulary.ts';

/** One kind of object a prompt asks for. */
export interface Wanted {
  readonly name: ClassName;
  readonly color?: ColorName;
}

/** Plain JSON. `wanted` in prompt order. */
export interface Specification {
  readonly task: Task;
  readonly wanted: readonly Wanted[];
  /** Task `counting`: how many of the one wanted kind, 2–4. */
  readonly count?: number;
  /** Task `position`: how the first wanted object lies to the second. */
  readonly relation?: Relation;
}

/** Every specification of the world, by task and split, each list in a fixed order. */
export interface SpecificationSpace {
  readonly pools: Readonly<Record<Task, Readonly<Record<Split, readonly Specification[]>>>>;
  /** The specification with this prompt; wording is unique in this world. Undefined for any other text. */
  ofPrompt(prompt: string): Specification | undefined;
}

/** Shares of the tasks in the training mix. */
export const trainingMix: Readonly<Record<Task, number>> = {
  single_object: 0.05,
  two_object: 0.15,
  counting: 0.15,
  colors: 0.2,
  position: 0.2,
  color_attr: 0.25,
};

/** All 4740 specifications: 12 single, 132 two-object, 36 counting, 72 colors, 528 position, 3960 attribution. */
export function specificationSpace(): SpecificationSpace {
  const byPrompt = new Map<string, Specification>();
  const pools = Object.fromEntries(
    tasks.map((task) => [task, { seen: [] as Specification[], heldout: [] as Specification[] }]),
  ) as Record<Task, Record<Split, Specification[]>>;
  for (const { specification, isHeldOut } of everySpecification()) {
    byPrompt.set(promptOf(specification), specification);
    const pool = pools[specification.task];
    // Single objects are never held out: both splits share them.
    if (specification.task === 'single_object') {
      pool.seen.push(specification);
      pool.heldout.push(specification);
    } else {
      pool[isHeldOut ? 'heldout' : 'seen'].push(specification);
    }
  }
  return { pools, ofPrompt: (prompt) => byPrompt.get(prompt) };
}

/** A specification of the training mix: the task by its share, then uniform within the task. */
export function drawSpecification(space: SpecificationSpace, split: Split, random: RandomStream): Specification {
  let rest = random.uniform();
  const task = tasks.find((name) => (rest -= trainingMix[name]) < 0) ?? 'color_attr';
  return random.pick(space.pools[task][split]);
}

/** GenEval's sentence for a specification. */
export function promptOf(specification: Specification): string {
  return `a photo of ${demandOf(specification)}`;
}

/** What is asked for, in the words of the prompt: "two cakes", "a red car and a blue bird". */
export function demandOf({ wanted, count, relation }: Specification): string {
  if (count !== undefined) return `${numberWords[count]} ${plural(wanted[0]?.name ?? '')}`;
  return wanted.map((one) => withArticle(describeSpecification(one))).join(` ${relation ?? 'and'} `);
}

/** "red car", or "car" when no color is named. */
export function describeSpecification({ name, color }: Wanted): string {
  return color ? `${color} ${name}` : name;
}

interface Entry {
  readonly specification: Specification;
  readonly isHeldOut: boolean;
}

/**
 * Enumerates the space with its hold-out rules. Each rule is a linear form of class number (0–11), color number
 * (1–6), count (2–4) and relation number (0–3), so every class, color and count is held out equally often.
 */
function* everySpecification(): Generator<Entry> {
  for (const [c, name] of classNames.entries()) {
    yield { specification: { task: 'single_object', wanted: [{ name }] }, isHeldOut: false };
    for (const count of [2, 3, 4]) {
      yield { specification: { task: 'counting', wanted: [{ name }], count }, isHeldOut: (c + count) % 6 === 0 };
    }
    for (const [k, color] of colorNames.entries()) {
      yield { specification: { task: 'colors', wanted: [{ name, color }] }, isHeldOut: (c + 5 * (k + 1)) % 6 === 0 };
    }
    for (const [other, second] of classNames.entries()) {
      if (other !== c) yield* pairSpecifications(name, second, 7 * c + 3 * other);
    }
  }
}

function* pairSpecifications(first: ClassName, second: ClassName, sum: number): Generator<Entry> {
  const wanted = [{ name: first }, { name: second }];
  yield { specification: { task: 'two_object', wanted }, isHeldOut: sum % 8 === 0 };
  for (const [r, relation] of relations.entries()) {
    yield { specification: { task: 'position', wanted, relation }, isHeldOut: (sum + 5 * r) % 8 === 0 };
  }
  for (const [i, firstColor] of colorNames.entries()) {
    for (const [j, secondColor] of colorNames.entries()) {
      if (i === j) continue;
      const colored = [
        { name: first, color: firstColor },
        { name: second, color: secondColor },
      ];
      const isHeldOut = (sum + 5 * (i + 1) + (j + 1)) % 8 === 0;
      yield { specification: { task: 'color_attr', wanted: colored }, isHeldOut };
    }
  }
}
