/** Published checkpoints under the names of another layout: a table of names, both ways, without touching an element. */
import type { SourceEntry, WeightSource } from '../../contracts/weight-source.ts';
import { nameTable, type NameRule, type OriginalName } from '../../tensor/name-rules.ts';
import { elementsOf } from './element-types.ts';
import { badWeights } from './errors.ts';
import { assembledSource, whole, type Assembled } from './pieces.ts';

/** Closing the view closes the source. A name that no rule knows stays as it is, so a source already in the wanted layout comes out unchanged. */
export function renamed(source: WeightSource, rules: readonly NameRule[], to: 'port' | 'original'): WeightSource {
  const tensors = to === 'port' ? portTensors(source, rules) : originalTensors(source, rules);
  return assembledSource(source.origin, tensors, source.metadata, () => source.close());
}

function portTensors(source: WeightSource, rules: readonly NameRule[]): Map<string, Assembled> {
  const table = nameTable(rules);
  const result = new Map<string, Assembled>();
  for (const [name, entry] of source.entries) {
    const found = table.toPort(name);
    if (found === undefined) {
      add(result, source, name, whole(source, name, entry));
      continue;
    }
    const { names, rule } = found;
    const shape = rule.leadingAxis ? withoutLeadingAxis(source, name, entry) : entry.shape;
    const [rows = 0, ...rest] = shape;
    if (names.length > 1 && rows % names.length !== 0)
      throw badWeights(
        source.origin,
        `tensor "${name}" [${entry.shape}] holds ${names.length} tensors, but its rows do not divide by that`,
      );
    const count = elementsOf(entry) / Math.max(1, names.length);
    names.forEach((target, index) => {
      const part = { shape: names.length > 1 ? [rows / names.length, ...rest] : shape, type: entry.type };
      add(result, source, target, { entry: part, pieces: [{ source, name, first: index * count, count }] });
    });
  }
  return result;
}

function originalTensors(source: WeightSource, rules: readonly NameRule[]): Map<string, Assembled> {
  const table = nameTable(rules);
  const result = new Map<string, Assembled>();
  const shared = new Map<string, { readonly name: string; readonly found: OriginalName }[]>();
  for (const [name, entry] of source.entries) {
    const found = table.toOriginal(name);
    if (found === undefined) add(result, source, name, whole(source, name, entry));
    else if (found.of === 1)
      add(result, source, found.name, {
        ...whole(source, name, entry),
        entry: { ...entry, shape: found.rule.leadingAxis ? [1, ...entry.shape] : entry.shape },
      });
    else shared.set(found.name, [...(shared.get(found.name) ?? []), { name, found }]);
  }
  for (const [target, parts] of shared) add(result, source, target, fuse(source, target, parts));
  return result;
}

/** Tensors of one kind, one below the other, in the order of the rule. */
function fuse(
  source: WeightSource,
  target: string,
  parts: { readonly name: string; readonly found: OriginalName }[],
): Assembled {
  const [first] = parts;
  const entries = parts.map(({ name }) => source.entries.get(name));
  const entry = entries[0];
  if (first === undefined || entry === undefined || parts.length !== first.found.of) {
    throw badWeights(
      source.origin,
      `"${target}" is made of ${first?.found.of} tensors, of which there are only: ${parts.map(({ name }) => name).join(', ')}`,
    );
  }
  if (entries.some((other) => other?.type !== entry.type || other.shape.join() !== entry.shape.join())) {
    throw badWeights(
      source.origin,
      `"${target}" is made of tensors that differ in shape or type: ${parts.map(({ name }) => name).join(', ')}`,
    );
  }
  const [rows = 0, ...rest] = entry.shape;
  const ordered = parts.toSorted((a, b) => a.found.index - b.found.index);
  return {
    entry: { type: entry.type, shape: [rows * parts.length, ...rest] },
    pieces: ordered.map(({ name }) => ({ source, name, first: 0, count: elementsOf(entry) })),
  };
}

function withoutLeadingAxis(source: WeightSource, name: string, { shape }: SourceEntry): readonly number[] {
  if (shape[0] !== 1)
    throw badWeights(source.origin, `tensor "${name}" [${shape}] should begin with an axis of length 1`);
  return shape.slice(1);
}

function add(result: Map<string, Assembled>, source: WeightSource, name: string, tensor: Assembled): void {
  if (result.has(name))
    throw badWeights(
      source.origin,
      `two of its tensors are both "${name}": it mixes the names of two layouts`,
      'use a checkpoint in one layout',
    );
  result.set(name, tensor);
}
