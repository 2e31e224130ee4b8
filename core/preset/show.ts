import { relative } from 'node:path';
import { stringify } from 'yaml';
import type { ComponentChoice, Origin } from '../contracts/preset.ts';
import type { Component, Slot } from '../contracts/slots.ts';
import type { Catalog } from './catalog.ts';
import { isInputFile } from './input-file.ts';
import type { Stage } from './load.ts';
import { type Located, nearestPart } from './located.ts';
import type { z } from './zod.ts';

export interface ShowOptions {
  /** Paths are written relative to it, so that the text may be saved there and loaded again. */
  readonly directory: string;
  /** Whether each value is followed by where it came from. */
  readonly origins: boolean;
  /** Directories to be written as `stage:NAME`. */
  readonly stages?: ReadonlyMap<string, string>;
}

interface Line {
  readonly text: string;
  readonly origin?: string;
}

/** How paths are written, and where each value came from. */
interface Source {
  readonly path: (absolute: string) => string;
  readonly originOf: (at: readonly PropertyKey[], otherwise: string) => string;
}

/** The resolved preset as YAML: every option with its value, defaults included. Loading it gives the same preset. */
export function showPreset({ preset, tree }: Stage, catalog: Catalog, options: ShowOptions): string {
  const path = (absolute: string): string => {
    const stage = options.stages?.get(absolute);
    return stage === undefined ? dotted(relative(options.directory, absolute)) : `stage:${stage}`;
  };
  const source: Source = { path, originOf: (at, otherwise) => originOf(tree, options.directory, at, otherwise) };
  const lines: Line[] = [
    { text: `name: ${preset.name}`, origin: source.originOf(['name'], 'the file name') },
    { text: `seed: ${preset.seed}`, origin: source.originOf(['seed'], 'default') },
  ];
  if (preset.plugins.length > 0) {
    const plugins = preset.plugins.map((plugin) => (plugin.startsWith('/') ? path(plugin) : plugin));
    lines.push({ text: `plugins: ${flow(plugins)}`, origin: source.originOf(['plugins'], '') });
  }
  for (const slot of catalog.slots) {
    const choices = preset.components[slot.slot] ?? [];
    if (choices.length === 0) continue;
    lines.push({ text: `${slot.key}:` });
    choices.forEach((choice, index) => {
      const component = catalog.component(slot.slot, choice.use);
      if (component === undefined) return;
      const at = slot.many ? [slot.key, index] : [slot.key];
      const body = componentLines(choice, component, source, at, slot.many);
      lines.push(...(slot.many ? asItem(body) : indent(body)));
    });
  }
  return print(lines, options.origins);
}

/** A chain as YAML: its stages, each in a file of its name beside it. */
export function showChain(name: string, stages: readonly Stage[]): string {
  const entries = stages.map((stage) => `  - { name: ${stage.name}, preset: ${stage.name}.yaml }`);
  return `${[`name: ${name}`, 'stages:', ...entries].join('\n')}\n`;
}

function componentLines(
  choice: ComponentChoice,
  component: Component<Slot>,
  source: Source,
  at: readonly PropertyKey[],
  isInList: boolean,
): Line[] {
  const common: Line[] = [{ text: `use: ${choice.use}`, origin: source.originOf([...at, 'use'], '') }];
  if (isInList && choice.name !== choice.use)
    common.push({ text: `name: ${flow(choice.name)}`, origin: source.originOf([...at, 'name'], '') });
  if (choice.slot === 'reward')
    common.push({ text: `weight: ${choice.weight}`, origin: source.originOf([...at, 'weight'], 'default') });
  return [...common, ...valueLines(choice.options, component.options, source, at)];
}

function valueLines(
  values: Readonly<Record<string, unknown>>,
  schema: z.core.$ZodType,
  source: Source,
  at: readonly PropertyKey[],
): Line[] {
  return Object.entries(values).flatMap(([key, value]): Line[] => {
    if (value === undefined) return [];
    const inner = memberOf(schema, key);
    const here = [...at, key];
    if (isMap(value) && Object.keys(value).length > 0) {
      return [{ text: `${key}:` }, ...indent(valueLines(value, inner, source, here))];
    }
    return [
      { text: `${flow(key)}: ${flow(withPaths(value, inner, source))}`, origin: source.originOf(here, 'default') },
    ];
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

/** The schema of a list's elements, through optional and default shells; the schema itself where it is no list. */
function elementOf(schema: z.core.$ZodType): z.core.$ZodType {
  const { element, innerType }: z.core.$ZodTypeDef & { element?: z.core.$ZodType; innerType?: z.core.$ZodType } =
    schema._zod.def;
  return element ?? (innerType === undefined ? schema : elementOf(innerType));
}

/** The schema of an option, through optional and default shells; the schema itself where it has no such option. */
function memberOf(schema: z.core.$ZodType, key: string): z.core.$ZodType {
  const definition: z.core.$ZodTypeDef & {
    innerType?: z.core.$ZodType;
    shape?: Readonly<Record<string, z.core.$ZodType>>;
  } = schema._zod.def;
  if (definition.shape !== undefined) return definition.shape[key] ?? schema;
  return definition.innerType === undefined ? schema : memberOf(definition.innerType, key);
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

function indent(lines: readonly Line[]): Line[] {
  return lines.map((line) => ({ ...line, text: `  ${line.text}` }));
}

function asItem(lines: readonly Line[]): Line[] {
  return lines.map((line, index) => ({ ...line, text: `${index === 0 ? '  - ' : '    '}${line.text}` }));
}

function print(lines: readonly Line[], origins: boolean): string {
  const width = Math.min(60, Math.max(0, ...lines.map((line) => line.text.length)) + 2);
  const texts = lines.map(({ text, origin }) => (origins && origin ? `${text.padEnd(width)} # ${origin}` : text));
  return `${texts.join('\n')}\n`;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function flow(value: unknown): string {
  return stringify(value, {
    collectionStyle: 'flow',
    flowCollectionPadding: false,
    lineWidth: 0,
    defaultStringType: 'PLAIN',
    blockQuote: false,
  }).trimEnd();
}

function dotted(path: string): string {
  return path.startsWith('.') ? path : `./${path}`;
}
