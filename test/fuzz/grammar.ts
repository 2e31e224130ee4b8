/**
 * Presets by their grammar: the slots and the schemas of all options say what a valid one looks like, and changes of keys, values and
 * structure make others of it. The same seed and number always give the same text.
 */
import { stringify } from 'yaml';
import type { Component } from '../../core/contracts/slots.ts';
import type { Catalog } from '../../core/preset/catalog.ts';
import { inputFileWords } from '../../core/preset/input-file.ts';
import { z } from '../../core/preset/zod.ts';
import { mutate, randomOf, type Random } from './mutate.ts';

export type Tree = null | boolean | number | string | Tree[] | { [key: string]: Tree };

/** Text of a preset in which `changes` things are wrong, or more. */
export function presetText(catalog: Catalog, seed: number, number: number): string {
  const random = randomOf(seed, number, 7);
  const tree = validPreset(catalog, random);
  // The first are as they are made.
  const changes = number < 12 ? 0 : Math.floor(random() ** 2 * 5);
  let changed: Tree = tree;
  for (let left = changes; left > 0; left--) changed = pick(treeChanges, random)(changed, random);
  const text = stringify(changed, { lineWidth: 0, aliasDuplicateObjects: false });
  if (number < 12 || random() < 0.6) return text;
  return random() < 0.5 ? pick(textChanges, random)(text, random) : damaged(text, seed, number);
}

/** Bytes changed at random, taken as text. */
function damaged(text: string, seed: number, number: number): string {
  return Buffer.from(mutate([new TextEncoder().encode(text)], number, seed)).toString('utf8');
}

function validPreset(catalog: Catalog, random: Random): Tree {
  const tree: Record<string, Tree> = { name: pick(['a', 'my-run', 'x.y'], random), seed: Math.floor(random() * 100) };
  for (const slot of catalog.slots) {
    const known = catalog.components(slot.slot);
    const isNeeded = slot.key !== 'rewards' && slot.key !== 'benchmarks' && slot.key !== 'extensions';
    if (known.length === 0 || (!isNeeded && random() < 0.3)) continue;
    const one = (index: number): Tree => {
      const component = pick(known, random);
      const options = optionsOf(component, random);
      const own: Tree = slot.many ? { name: `${component.name}-${index}` } : {};
      return Object.keys(options).length === 0 && random() < 0.5 && !slot.many
        ? component.name
        : { use: component.name, ...own, ...options };
    };
    tree[slot.key] = slot.many
      ? Array.from({ length: 1 + Math.floor(random() * 3) }, (_, index) => one(index))
      : one(0);
  }
  return tree;
}

function optionsOf({ options }: Component, random: Random): Record<string, Tree> {
  return objectOf(options, random);
}

function objectOf(schema: z.ZodObject, random: Random): Record<string, Tree> {
  const result: Record<string, Tree> = {};
  for (const [key, of] of Object.entries(schema.shape)) {
    const isRequired = !z.safeParse(of, undefined).success;
    if (!isRequired && random() < 0.75) continue;
    const value = valueOf(of, random);
    if (value !== undefined) result[key] = value;
  }
  return result;
}

const plainValues = [
  1,
  2,
  8,
  0.5,
  0,
  0.001,
  16,
  100,
  true,
  false,
  'random',
  'cosine',
  'a cat',
  'x',
  'none',
  '*',
] as const;

/** A value that the schema takes; undefined when none was found. */
function valueOf(schema: z.core.$ZodType, random: Random): Tree | undefined {
  const words = inputFileWords(schema);
  // A file that is there: the preset itself.
  if (words !== undefined) return pick([...words, './input.yaml'], random);
  const definition = schema._zod.def as z.core.$ZodTypeDef & {
    innerType?: z.core.$ZodType;
    element?: z.core.$ZodType;
    entries?: Readonly<Record<string, string>>;
    options?: readonly z.core.$ZodType[];
    items?: readonly z.core.$ZodType[];
    values?: readonly Tree[];
  };
  if (definition.innerType !== undefined) return valueOf(definition.innerType, random);
  if (schema instanceof z.ZodObject) return objectOf(schema, random);
  if (definition.element !== undefined) {
    const one = valueOf(definition.element, random);
    return one === undefined ? undefined : [one];
  }
  if (definition.items !== undefined) return definition.items.flatMap((each) => valueOf(each, random) ?? []);
  if (definition.options !== undefined) return valueOf(pick(definition.options, random), random);
  if (definition.entries !== undefined) return pick(Object.values(definition.entries), random);
  if (definition.values !== undefined) return pick(definition.values, random);
  const start = Math.floor(random() * plainValues.length);
  const turned = [...plainValues.slice(start), ...plainValues.slice(0, start)];
  return turned.find((each) => z.safeParse(schema, each).success);
}

/** What a reader of presets may trip over. */
const oddValues: readonly (() => Tree)[] = [
  () => null,
  () => '',
  () => -1,
  () => Number.MAX_VALUE,
  () => Infinity,
  () => NaN,
  () => true,
  () => 'word '.repeat(2000),
  () => 'x'.repeat(5000),
  () => 'a\nb: c\n- d',
  () => '\u0007\u001b[2J',
  () => '~/weights',
  () => '$HOME/weights',
  () => 'hub:../../etc/passwd',
  () => 'hub:owner/name',
  () => 'stage:first',
  () => 'constructor',
  () => ({ __proto__x: 1, constructor: 2, toString: 3 }),
  () => Array.from({ length: 3000 }, (_, index) => index),
  () => Array.from({ length: 300 }, () => ({ use: 'nothing' })),
  () => Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`key${index}`, index])),
  () => nested(40),
  () => nested(60),
];

function nested(depth: number): Tree {
  let tree: Tree = 1;
  for (let level = 0; level < depth; level++) tree = level % 2 === 0 ? [tree] : { a: tree };
  return tree;
}

interface Spot {
  readonly holder: Tree[] | { [key: string]: Tree };
  readonly key: string | number;
}

/** Every key and index of a tree; of long lists the first. */
function spotsOf(tree: Tree): Spot[] {
  if (typeof tree !== 'object' || tree === null) return [];
  const keys = Array.isArray(tree) ? tree.slice(0, 5).keys() : Object.keys(tree).slice(0, 30);
  return [...keys].flatMap((key): Spot[] => [
    { holder: tree, key },
    ...spotsOf((tree as { [key: string]: Tree })[String(key)] ?? null).slice(0, 200),
  ]);
}

type TreeChange = (tree: Tree, random: Random) => Tree;

const treeChanges: readonly TreeChange[] = [
  function misspellKey(tree, random) {
    return at(tree, random, ({ holder, key }) => {
      if (Array.isArray(holder) || typeof key === 'number') return;
      const value = holder[key] ?? null;
      delete holder[key];
      Object.defineProperty(holder, misspelt(key, random), {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    });
  },
  function oddValue(tree, random) {
    return at(tree, random, (spot) => set(spot, pick(oddValues, random)()));
  },
  function remove(tree, random) {
    return at(tree, random, ({ holder, key }) => {
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
    });
  },
  function wrap(tree, random) {
    return at(tree, random, (spot) => set(spot, random() < 0.5 ? [get(spot)] : { a: get(spot) }));
  },
  function move(tree, random) {
    const value = structuredClone(get(pickSpot(tree, random)));
    return at(tree, random, (spot) => set(spot, value));
  },
  function repeat(tree, random) {
    return at(tree, random, ({ holder, key }) => {
      if (!Array.isArray(holder)) return;
      const one = holder[Number(key)] ?? null;
      holder.push(...Array.from({ length: pick([1, 20, 1000], random) }, () => structuredClone(one)));
    });
  },
  function foreignKeys(tree, random) {
    return at(tree, random, ({ holder }) => {
      if (Array.isArray(holder)) return;
      for (let index = pick([1, 50, 2000], random); index > 0; index--)
        holder[`${pick(['lr', 'kye', 'Steps', ''], random)}${index}`] = index;
    });
  },
  function replaceAll(tree, random) {
    return random() < 0.2 ? pick(oddValues, random)() : tree;
  },
  function asChain(tree, random) {
    const stage = pick<Tree>(
      ['./input.yaml', { preset: 'reasongen/nano/sft', name: 'a', set: { 'recipe.stpes': 1 } }, 'reasongen/nano/sft'],
      random,
    );
    return random() < 0.5
      ? { stages: [stage, stage] }
      : typeof tree === 'object' && tree !== null && !Array.isArray(tree)
        ? { ...tree, stages: [stage] }
        : tree;
  },
  function extended(tree, random) {
    if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return tree;
    return {
      ...tree,
      extends: pick<Tree>(
        [
          'reasongen/nano/sft',
          'reasongen/nano/srt',
          './input.yaml',
          ['reasongen/nano/grpo', 'reasongen/nano/sft'],
          '../../../etc/hosts',
          '/dev/null',
        ],
        random,
      ),
    };
  },
  function plugins(tree, random) {
    if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return tree;
    return {
      ...tree,
      plugins: pick<Tree>(['./input.yaml', './no-such.ts', ['zod', 7], '@nobody/nothing', ['~/p.ts']], random),
    };
  },
];

type TextChange = (text: string, random: Random) => string;

const textChanges: readonly TextChange[] = [
  (text) => `\uFEFF${text.replaceAll('\n', '\r\n')}`,
  (text) => text.replaceAll('  ', '\t'),
  (text) => `${text}${text}`,
  (text) => `${text}---\n${text}`,
  (text) => `%YAML 1.1\n---\n${text}`,
  (text) => text.replace(': ', ': &a '),
  (text) => `${text}more: *a\n`,
  (text) => text.replace(': ', ': !!js/function '),
  (text) => text.replace(': ', ': !!binary '),
  (text) => `? [complex]\n: 1\n${text}`,
  (text) => `<<: { seed: 1 }\n${text}`,
  (text) => `__proto__: { seed: 1 }\n${text}`,
  (text) => `${text}x: ${'['.repeat(5000)}\n`,
  (text) => `${text}x: ${'{a: '.repeat(5000)}\n`,
  (text) => `${text}x: "${'y'.repeat(2 ** 20)}"\n`,
  (text) =>
    `a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c]\n${text}`,
  (text) => text.replaceAll(/^( *)(\w+):/gm, '$1$2 :'),
  (text) => `${text}seed: !!float 1\n`,
  (text) => text.replace('\n', '\n\u0000'),
];

/** With two neighbors swapped, one dropped, one doubled, another case, or something behind it. */
function misspelt(key: string, random: Random): string {
  const where = Math.floor(random() * key.length);
  const swapped = key.slice(0, where) + (key[where + 1] ?? '') + (key[where] ?? '') + key.slice(where + 2);
  const forms = [
    swapped,
    key.slice(0, where) + key.slice(where + 1),
    key.slice(0, where) + (key[where] ?? 'x') + key.slice(where),
    key.toUpperCase(),
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    `${key}s`,
    `${key} `,
    'z'.repeat(pick([3, 30_000], random)),
  ];
  return pick(forms, random);
}

function pickSpot(tree: Tree, random: Random): Spot {
  const spots = spotsOf(tree);
  return spots.length === 0 ? { holder: [null], key: 0 } : pick(spots, random);
}

function at(tree: Tree, random: Random, change: (spot: Spot) => void): Tree {
  change(pickSpot(tree, random));
  return tree;
}

function get({ holder, key }: Spot): Tree {
  return (holder as { [key: string]: Tree })[String(key)] ?? null;
}

function set({ holder, key }: Spot, value: Tree): void {
  (holder as { [key: string]: Tree })[String(key)] = value;
}

function pick<Item>(items: readonly Item[], random: Random): Item {
  return items[Math.floor(random() * items.length)] as Item;
}
