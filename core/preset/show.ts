/** Checked presets as YAML. The library writes every text and name; here is what is written, and where it came from. */
import { relative } from 'node:path';
import {
  Document,
  isCollection,
  type Node,
  Pair,
  stringify,
  type ToStringOptions,
  visit,
  YAMLMap,
  YAMLSeq,
} from 'yaml';
import type { ComponentChoice, Origin } from '../contracts/preset.ts';
import type { Component } from '../contracts/slots.ts';
import type { Catalog } from './catalog.ts';
import { commonKeys } from './common-keys.ts';
import { isInputFile } from './input-file.ts';
import type { Stage } from './load.ts';
import { type Located, nearestPart } from './located.ts';
import { elementOf, memberOf } from './schemas.ts';
import type { z } from './zod.ts';

export interface ShowOptions {
  /** Paths are written relative to it, so that the text may be saved there and loaded again. */
  readonly directory: string;
  /** Whether each value is followed by where it came from. */
  readonly origins: boolean;
  /** Paths of copies of plugins, by those of the originals: they are named instead. */
  readonly copies?: ReadonlyMap<string, string>;
}

/** How values are written, and where each came from. */
interface Source {
  readonly path: (absolute: string) => string;
  readonly originOf: (at: readonly PropertyKey[], otherwise: string) => string;
}

/** The resolved preset as YAML: every option with its value, defaults included. Loading it gives the same preset. */
export function showPreset({ preset, tree }: Stage, catalog: Catalog, options: ShowOptions): string {
  const { directory, origins } = options;
  const path = (absolute: string): string => dotted(relative(directory, absolute));
  const source: Source = {
    path,
    originOf: (at, otherwise) => (origins ? originOf(tree, directory, at, otherwise) : ''),
  };
  const root = new YAMLMap();
  const put = (key: string, value: unknown, otherwise: string): void =>
    add(root, key, leaf(value, source.originOf([key], otherwise)));
  put('name', preset.name, 'the file name');
  put('seed', preset.seed, 'default');
  if (preset.plugins.length > 0)
    put(
      'plugins',
      preset.plugins.map((plugin) => (plugin.startsWith('/') ? path(options.copies?.get(plugin) ?? plugin) : plugin)),
      '',
    );
  for (const slot of catalog.slots) {
    const nodes = (preset.components[slot.slot] ?? []).map((choice, index) => {
      const component = catalog.component(slot.slot, choice.use);
      if (component === undefined) throw new RangeError(`unreachable: ${slot.slot} "${choice.use}" was checked`);
      return componentNode(choice, component, source, slot.many ? [slot.key, index] : [slot.key], slot.many);
    });
    if (nodes.length === 0) continue;
    const list = new YAMLSeq();
    list.items = nodes;
    add(root, slot.key, slot.many ? list : (nodes[0] ?? list));
  }
  return print(root);
}

/** A chain as YAML: its stages, each with the path of its own preset. */
export function showChain(name: string, stages: readonly { readonly name: string; readonly preset: string }[]): string {
  return stringify({ name, stages: stages.map((stage) => ({ name: stage.name, preset: stage.preset })) }, format);
}

function componentNode(
  choice: ComponentChoice,
  component: Component,
  source: Source,
  at: readonly PropertyKey[],
  isInList: boolean,
): YAMLMap {
  const map = new YAMLMap();
  const put = (key: string, value: unknown, otherwise: string): void =>
    add(map, key, leaf(value, source.originOf([...at, key], otherwise)));
  put('use', choice.use, '');
  if (isInList && choice.name !== choice.use) put('name', choice.name, '');
  const keys = commonKeys(component.slot);
  const said = Object.keys(keys.shape).map((key) => [key, choice[key as keyof ComponentChoice]] as const);
  addValues(map, Object.fromEntries(said), keys, source, at);
  addValues(map, choice.options, component.options, source, at);
  return map;
}

function addValues(
  map: YAMLMap,
  values: Readonly<Record<string, unknown>>,
  schema: z.core.$ZodType,
  source: Source,
  at: readonly PropertyKey[],
): void {
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const inner = memberOf(schema, key);
    const here = [...at, key];
    if (isMap(value) && Object.keys(value).length > 0) {
      const nested = new YAMLMap();
      addValues(nested, value, inner, source, here);
      add(map, key, nested);
    } else add(map, key, leaf(withPaths(value, inner, source), source.originOf(here, 'default')));
  }
}

function add(map: YAMLMap, key: string, value: Node): void {
  map.items.push(new Pair(new Document().createNode(key), value));
}

/** Begins every comment that tells an origin: the library escapes this character wherever else it occurs. */
const mark = '\u0001';

/** Characters that YAML takes for line breaks or refuses, or that UTF-8 cannot hold: they are written as escapes. */
const needsEscape = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufeff\ufffe\uffff]/u;

/** A value on one line, its lists and maps in brackets; only a text of several lines stands below its key. */
function leaf(value: unknown, origin: string): Node {
  const node = new Document().createNode(value, { flow: true, aliasDuplicateObjects: false }) as Node;
  if (origin !== '') node.comment = mark + origin.replaceAll(/\p{Cc}+/gu, ' ');
  if (isCollection(node)) escapeTexts(node, (text) => text.includes('\n'));
  return node;
}

const format: ToStringOptions = {
  flowCollectionPadding: false,
  lineWidth: 0,
  doubleQuotedMinMultiLineLength: Number.POSITIVE_INFINITY,
};

function print(root: YAMLMap): string {
  const document = new Document(root);
  // The library takes the spaces in front of an empty first line for the indent of a text of several lines.
  const isMisread = (text: string): boolean => text.includes('\n') && /^\s/.test(text);
  escapeTexts(document.contents, (text) => isMisread(text) || needsEscape.test(text.replaceAll('\n', '')));
  const lines = document
    .toString(format)
    .split('\n')
    .map((line) => line.split(` #${mark}`));
  const width = Math.min(60, Math.max(0, ...lines.map(([text = '']) => text.length)) + 2);
  return lines
    .map(([text = '', origin]) => (origin === undefined ? text : `${text.padEnd(width)} # ${origin}`))
    .join('\n');
}

/** Has the texts that `isOne` picks written as escapes on one line. */
function escapeTexts(node: Node | null, isOne: (text: string) => boolean): void {
  visit(node, {
    Scalar(_, scalar) {
      if (typeof scalar.value === 'string' && isOne(scalar.value)) scalar.type = 'QUOTE_DOUBLE';
    },
  });
}

/** The value with every path in it written relative, also those within lists and their maps. */
function withPaths(value: unknown, schema: z.core.$ZodType, source: Source): unknown {
  if (typeof value === 'string') return isInputFile(schema) && value.startsWith('/') ? source.path(value) : value;
  if (Array.isArray(value)) return value.map((each: unknown) => withPaths(each, elementOf(schema), source));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, withPaths(each, memberOf(schema, key), source)]),
  );
}

function originOf(tree: Located, directory: string, path: readonly PropertyKey[], otherwise: string): string {
  let node = tree;
  for (const [depth, key] of path.entries()) {
    const next = nearestPart(node, [key]);
    // A bare string stands for `use` alone.
    if (next === node)
      return node.kind === 'scalar' && key === 'use' && depth === path.length - 1
        ? describe(node.origin, directory)
        : otherwise;
    node = next;
  }
  return describe(node.origin, directory);
}

function describe(origin: Origin, directory: string): string {
  return origin.kind === 'file'
    ? `${relative(directory, origin.source)}:${origin.line}:${origin.column}`
    : origin.source;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function dotted(path: string): string {
  return path.startsWith('.') ? path : `./${path}`;
}

/** A value as YAML writes it on one line, as behind a key of `--set`. */
export function onOneLine(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0, flowCollectionPadding: true }).trim();
}
