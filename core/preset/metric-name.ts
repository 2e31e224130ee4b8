/**
 * Names of the numbers of a step in the options of a preset. A recipe says which there are, and a name that is none of them is a mistake of
 * the preset: nobody must find out at the end of a run that the number to keep checkpoints by never came.
 */
import type { ComponentChoice } from '../contracts/preset.ts';
import type { Slot } from '../contracts/slots.ts';
import { PresetError, suggest } from '../errors.ts';
import type { Catalog } from './catalog.ts';
import { type LocatedMap, nearestPart, place } from './located.ts';
import { markedOptions } from './marked-options.ts';
import { metaOf } from './schemas.ts';
import { z } from './zod.ts';

const mark = 'reasongenMetricName';

/** An option that names a number of a step, as it stands in metrics.ndjson: `check` reports one that the recipe has not. */
export function metricName(): z.ZodString {
  return z
    .string()
    .min(1)
    .meta({ [mark]: true });
}

/** Reports the options made by `metricName()` that name no number of the recipe. */
export function checkMetricNames(
  tree: LocatedMap,
  components: Readonly<Record<string, readonly ComponentChoice[]>>,
  catalog: Catalog,
  problems: PresetError[],
): void {
  const [recipe] = components['recipe'] ?? [];
  const names = (slot: Slot): string[] => (components[slot] ?? []).map(({ name }) => name);
  const known =
    recipe &&
    catalog
      .component('recipe', recipe.use)
      ?.metrics?.(recipe.options, { rewards: names('reward'), benchmarks: names('benchmark') });
  if (recipe === undefined || known === undefined) return;
  for (const option of markedOptions(components, catalog, (schema) => metaOf(schema, mark) === true)) {
    const { slot, index, path, called, value } = option;
    if (isMetric(value, known)) continue;
    problems.push(
      new PresetError({
        code: 'UNKNOWN_METRIC',
        message: `${called}: with these options the steps of recipe "${recipe.use}" have no number "${value}"`,
        place: place(nearestPart(tree, [slot.key, ...(slot.many ? [index] : []), ...path]).origin),
        hint: suggest(value, known),
      }),
    );
  }
}

/** Whether a number may be called so; `*`, at most once in a name, stands for any characters. */
export function isMetric(name: string, known: readonly string[]): boolean {
  return known.some((pattern) => {
    const [start = '', end] = pattern.split('*');
    if (end === undefined) return name === pattern;
    return name.length > start.length + end.length && name.startsWith(start) && name.endsWith(end);
  });
}
