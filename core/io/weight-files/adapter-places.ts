/** What a file of low-rank adapters holds, and which weights of a base each part belongs to. */
import type { SourceEntry, WeightSource } from '../../contracts/weight-source.ts';
import { nameTable, type NameRule } from '../../tensor/name-rules.ts';
import type { AdapterConfig } from './adapter-config.ts';
import { badWeights } from './errors.ts';
import { assembledSource, whole, type Assembled } from './pieces.ts';
import { renamed } from './renamed.ts';

/** A range of the elements of a tensor in the file of the adapters. */
interface Range {
  readonly name: string;
  readonly first: number;
  readonly count: number;
}

/** scale · up · down, to be added to a weight [rows, columns]; an axis beyond the second counts with the columns. */
export interface Delta {
  readonly rank: number;
  readonly scale: number;
  readonly columns: number;
  /** [rank, columns]; a single 1 where it is missing. */
  readonly down?: Range;
  /** [rows, rank]. Transposed, and `down` with it, for embeddings. */
  readonly up: Range & { readonly isTransposed: boolean };
}

export interface Placed {
  /** By the name of the weight in the base. */
  readonly deltas: ReadonlyMap<string, Delta>;
  /** Tensors that were saved as a whole, under names of the base. Closing it closes the source of the adapters. */
  readonly replaced: WeightSource;
}

/** The tensors of one adapted module. */
interface Parts {
  down?: string;
  up?: string;
  bias?: string;
  isEmbedding: boolean;
}

interface Contents {
  readonly modules: ReadonlyMap<string, Parts>;
  /** Full name of a weight → the tensor that takes its place. */
  readonly wholes: ReadonlyMap<string, string>;
}

/** `base` under the names of the port; the adapters under those, or under others that `rules` translate. Throws BAD_WEIGHTS. */
export function placeAdapters(
  { source, config }: { readonly source: WeightSource; readonly config: AdapterConfig },
  base: WeightSource,
  rules: readonly NameRule[],
): Placed {
  const contents = readContents(source);
  refuseOtherConfig(contents, config, source);
  const { prefix, targets } = findTargets(contents, base, rules, source);
  const deltas = new Map<string, Delta>();
  const add = (name: string, delta: Delta): void => {
    if (deltas.has(name)) throw badWeights(source.origin, `it holds two adapters of "${name}"`);
    deltas.set(name, delta);
  };
  for (const [module, parts] of contents.modules) {
    const { rank, scale } = config.scaling(module);
    const weights = targets(`${module}.weight`);
    weights.forEach((name, index) =>
      add(name, weightDelta(source, base, module, parts, name, { rank, scale, index, of: weights.length })),
    );
    if (parts.bias === undefined) continue;
    const { bias } = parts;
    const biases = targets(`${module}.bias`);
    biases.forEach((name, index) =>
      add(name, biasDelta(source, base, bias, name, { scale, index, of: biases.length })),
    );
  }
  return { deltas, replaced: replacements(source, contents, base, rules, prefix) };
}

function readContents(source: WeightSource): Contents {
  const modules = new Map<string, Parts>();
  const wholes = new Map<string, string>();
  for (const name of source.entries.keys()) {
    const [, module, kind = '', end = ''] =
      /^(.*)\.lora_(A|B|embedding_A|embedding_B)(?:\.default)?(?:\.(weight|bias))?$/.exec(name) ?? [];
    const isEmbedding = kind.startsWith('embedding');
    if (module === undefined) {
      if (/\.lora_\w+(\.|$)/.test(name))
        throw badWeights(
          source.origin,
          `"${name}" is a part of adapters of another kind than plain low-rank ones`,
          'merge these adapters with PEFT first (merge_and_unload), and use the merged weights',
        );
      wholes.set(name.replace(/\.(base_layer|modules_to_save(\.default)?)\./, '.'), name);
      continue;
    }
    const parts = modules.get(module) ?? { isEmbedding };
    modules.set(module, parts);
    const key = end === 'bias' ? 'bias' : kind.endsWith('A') ? 'down' : 'up';
    if (parts[key] !== undefined || parts.isEmbedding !== isEmbedding || (key === 'bias' && kind !== 'B'))
      throw badWeights(source.origin, `it holds two adapters of "${module}"`);
    parts[key] = name;
  }
  for (const [module, { up, down }] of modules) {
    if (up === undefined || down === undefined)
      throw badWeights(source.origin, `the adapter "${module}" has only one of lora_A and lora_B`);
  }
  return { modules, wholes };
}

/** The file must be the one that the configuration describes. */
function refuseOtherConfig({ modules, wholes }: Contents, config: AdapterConfig, source: WeightSource): void {
  const strange = [...modules.keys()].find((module) => !config.isTarget(module));
  if (strange !== undefined)
    throw badWeights(
      config.place,
      `"${strange}" is in the file of the adapters, but no module that is to be adapted (target_modules, exclude_modules, layers_to_transform)`,
      'use the configuration that was saved with these adapters',
    );
  const lost = config.savedModules.find((end) => ![...wholes.keys()].some((name) => `.${name}`.includes(`.${end}.`)));
  if (lost !== undefined)
    throw badWeights(
      source.origin,
      `modules_to_save says that "${lost}" was saved with the adapters, and it is not there`,
      'use the configuration that was saved with these adapters',
    );
}

/**
 * Names of the base for a tensor of the adapters. PEFT may have wrapped a part of the model only: then what comes before the names is the
 * one beginning of a name in the table under which all of them fit.
 */
function findTargets(
  { modules, wholes }: Contents,
  base: WeightSource,
  rules: readonly NameRule[],
  source: WeightSource,
): { readonly prefix: string; readonly targets: (tensor: string) => readonly string[] } {
  const table = nameTable(rules);
  const tensors = [...[...modules.keys()].map((module) => `${module}.weight`), ...wholes.keys()];
  const under =
    (prefix: string) =>
    (tensor: string): readonly string[] => {
      const name = prefix + tensor;
      if (base.entries.has(name)) return [name];
      const names = table.toPort(name)?.names ?? [];
      return names.every((each) => base.entries.has(each)) ? names : [];
    };
  const misfit = tensors.find((tensor) => under('')(tensor).length === 0);
  if (misfit === undefined) return { prefix: '', targets: under('') };
  const fitting = beginnings(rules).filter((prefix) => tensors.every((tensor) => under(prefix)(tensor).length > 0));
  const places = new Set(fitting.map((prefix) => tensors.flatMap(under(prefix)).join('\n')));
  const [prefix] = fitting;
  if (prefix !== undefined && places.size === 1) return { prefix, targets: under(prefix) };
  const what = wholes.has(misfit) ? `"${misfit}"` : `the adapter "${misfit.replace(/\.weight$/, '')}"`;
  const end = misfit.split('.').slice(-2).join('.');
  const known = [...base.entries.keys()];
  const example = known.find((name) => name.endsWith(`.${end}`)) ?? known[0] ?? 'nothing';
  throw badWeights(
    source.origin,
    places.size > 1
      ? `${what} fits several weights of ${base.origin}: those under ${fitting.join(' and ')}`
      : `${what} fits no weight of ${base.origin}, whose weights have names such as "${example}"`,
    'use the weights these adapters were trained on',
  );
}

/** What the names of a table begin with, up to each dot. */
function beginnings(rules: readonly NameRule[]): string[] {
  const patterns = rules.flatMap(({ original, port }) => [original, port].flat());
  const found = patterns.flatMap((pattern) => {
    const parts = pattern.split('.').slice(0, -1);
    const plain = parts.findIndex((part) => /[#*]/.test(part));
    const count = plain < 0 ? parts.length : plain;
    return Array.from({ length: count }, (_, index) => `${parts.slice(0, index + 1).join('.')}.`);
  });
  return [...new Set(found)];
}

function weightDelta(
  source: WeightSource,
  base: WeightSource,
  module: string,
  { down = '', up = '', isEmbedding }: Parts,
  name: string,
  {
    rank,
    scale,
    index,
    of,
  }: { readonly rank: number; readonly scale: number; readonly index: number; readonly of: number },
): Delta {
  const [{ shape: downShape }, { shape: upShape }] = [entryOf(source, down), entryOf(source, up)];
  const { shape } = entryOf(base, name);
  const [rows = 0, ...inner] = shape;
  const found = downShape[0];
  if (found !== rank)
    throw badWeights(
      source.origin,
      `the adapter "${module}" has rank ${found}, and ${rank} by adapter_config.json (r and rank_pattern)`,
      'use the configuration that was saved with these adapters',
    );
  // A weight of a convolution has more axes; the second factor then has axes of length 1.
  const wanted = isEmbedding
    ? { down: [rank, rows], up: [...inner, rank] }
    : { down: [rank, ...inner], up: [rows * of, rank, ...inner.slice(1).map(() => 1)] };
  if (shape.length < 2 || downShape.join() !== wanted.down.join() || upShape.join() !== wanted.up.join())
    throw badWeights(
      source.origin,
      `the adapter "${module}" of [${downShape}] and [${upShape}] does not fit the weight [${shape}] of ${base.origin}`,
      'use the weights these adapters were trained on',
    );
  const columns = inner.reduce((product, n) => product * n, 1);
  const share = rows * rank;
  return isEmbedding
    ? {
        rank,
        scale,
        columns,
        up: { name: down, first: 0, count: rank * rows, isTransposed: true },
        down: { name: up, first: 0, count: rank * columns },
      }
    : {
        rank,
        scale,
        columns,
        up: { name: up, first: index * share, count: share, isTransposed: false },
        down: { name: down, first: 0, count: rank * columns },
      };
}

/** The bias of the second factor: it is added to the bias of the module. */
function biasDelta(
  source: WeightSource,
  base: WeightSource,
  bias: string,
  name: string,
  { scale, index, of }: { readonly scale: number; readonly index: number; readonly of: number },
): Delta {
  const { shape } = entryOf(source, bias);
  const { shape: own } = entryOf(base, name);
  const [count = 0] = own;
  if (own.length !== 1 || shape.join() !== String(count * of))
    throw badWeights(source.origin, `"${bias}" of [${shape}] does not fit "${name}" of [${own}] in ${base.origin}`);
  return { rank: 1, scale, columns: 1, up: { name: bias, first: index * count, count, isTransposed: false } };
}

function entryOf({ entries, origin }: WeightSource, name: string): SourceEntry {
  const entry = entries.get(name);
  if (entry === undefined) throw badWeights(origin, `it has no "${name}", to which adapters belong`);
  return entry;
}

/** Under the names of the base. */
function replacements(
  source: WeightSource,
  { wholes }: Contents,
  base: WeightSource,
  rules: readonly NameRule[],
  prefix: string,
): WeightSource {
  const tensors = [...wholes].map(([name, stored]): [string, Assembled] => [
    prefix + name,
    whole(source, stored, entryOf(source, stored)),
  ]);
  const view = assembledSource(source.origin, new Map(tensors), {}, () => source.close());
  const replaced = renamed(view, rules, 'port');
  for (const [name, { shape }] of replaced.entries) {
    const own = entryOf(base, name).shape;
    if (shape.join() !== own.join())
      throw badWeights(
        source.origin,
        `"${name}" of [${shape}] was trained as a whole and does not fit that of [${own}] in ${base.origin}`,
        'use the weights these adapters were trained on',
      );
  }
  return replaced;
}
