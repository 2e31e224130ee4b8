import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Component } from '../contracts/slots.ts';
import type { Environment } from '../environment.ts';
import { exitCodes, PresetError, ReasongenError, suggest } from '../errors.ts';
import { shorten } from '../io/text.ts';
import { findHubDataset } from '../io/hub/dataset.ts';
import { pulledFolder } from '../io/hub/cache.ts';
import { commonKeys } from './common-keys.ts';
import { inputFileWords, isFolderPath } from './input-file.ts';
import { type Located, type LocatedMap, nearestPart, place, plain } from './located.ts';
import { placeBeforeMove } from './moved.ts';
import { unwrap } from './schemas.ts';
import { unexpandedPath } from '../unexpanded.ts';
import { z } from './zod.ts';

/** Where paths of a preset may lead beside the files near it. */
export interface Lookup {
  /** Run directories of the earlier stages of a chain, by stage name; `undefined` while they are not known. */
  readonly stages: ReadonlyMap<string, string | undefined>;
  /** Says where the cache of the hub lies. */
  readonly environment: Environment;
}

/** Mistakes of one component that are put into words. */
const mostExplained = 100;

/** Checks the options of one component. `path` is how messages call the map: `rewards[0]`, `recipe`. */
export function checkOptions(
  { slot, name, options }: Component,
  map: LocatedMap,
  path: string,
  lookup: Lookup,
  problems: PresetError[],
): Readonly<Record<string, unknown>> | undefined {
  const whose: Whose = {
    owner: `${slot} "${name}"`,
    schema: options,
    more: Object.keys(commonKeys(slot).shape),
    help: `see \`reasongen describe ${slot} ${name}\``,
  };
  return checkMap(whose, map, path, lookup, problems) as Readonly<Record<string, unknown>> | undefined;
}

/** Whose keys a map holds. */
export interface Whose<Schema extends z.ZodType = z.ZodType> {
  /** In words: `reward "verdict"`. */
  readonly owner: string;
  readonly schema: Schema;
  /** Further keys that may stand at its top. */
  readonly more?: readonly string[];
  /** Where one reads what is missing. */
  readonly help: string;
}

/** Checks a map by a schema: everything wrong with its place, in the words of a preset. */
export function checkMap<Schema extends z.ZodType>(
  whose: Whose<Schema>,
  map: LocatedMap,
  path: string,
  lookup: Lookup,
  problems: PresetError[],
): z.output<Schema> | undefined {
  const before = problems.length;
  const result = whose.schema.safeParse(readValue(map, whose.schema, lookup, problems));
  const found = (result.error?.issues ?? []).flatMap((issue): (() => PresetError)[] =>
    explain(issue, whose, map, path),
  );
  problems.push(...found.slice(0, mostExplained).map((make) => make()));
  if (found.length > mostExplained)
    problems.push(
      new PresetError({
        code: 'BAD_OPTION',
        message: `${path}: ${found.length - mostExplained} further options are wrong`,
        place: place(map.origin),
      }),
    );
  return problems.length === before ? result.data : undefined;
}

/** The plain value of a node, with the paths of input files made absolute and looked up. */
function readValue(
  node: Located,
  schema: z.core.$ZodType | undefined,
  lookup: Lookup,
  problems: PresetError[],
): unknown {
  const words = schema && inputFileWords(schema);
  if (schema !== undefined && words !== undefined && node.kind === 'scalar' && typeof node.value === 'string') {
    if (words.includes(node.value)) return node.value;
    return isFolderPath(schema) ? absolute(node.value, node) : resolveInput(node.value, node, lookup, problems);
  }
  const inner = schema && unwrap(schema);
  if (node.kind === 'map' && inner instanceof z.ZodObject) {
    const schemaOf = (key: string): z.core.$ZodType | undefined =>
      Object.hasOwn(inner.shape, key) ? inner.shape[key] : undefined;
    const written = [...node.entries].filter(([key, { value }]) => !isTakenAway(value, schemaOf(key)));
    const entries = written.map(([key, entry]) => [key, readValue(entry.value, schemaOf(key), lookup, problems)]);
    return Object.fromEntries(entries) as unknown;
  }
  if (node.kind === 'list' && inner instanceof z.ZodArray) {
    return node.items.map((item) => readValue(item, inner.element, lookup, problems));
  }
  return plain(node);
}

/** `null` takes away what a base preset says, so that the default holds; where an option may itself be null it is a value. */
function isTakenAway(node: Located, schema: z.core.$ZodType | undefined): boolean {
  return node.kind === 'scalar' && node.value === null && schema !== undefined && !z.safeParse(schema, null).success;
}

function resolveInput(text: string, node: Located, { stages, environment }: Lookup, problems: PresetError[]): string {
  if (text.startsWith('stage:')) {
    const name = text.slice('stage:'.length);
    if (stages.has(name)) return stages.get(name) ?? text;
    problems.push(
      new PresetError({
        code: 'UNKNOWN_STAGE',
        message:
          stages.size === 0
            ? `"${text}" names an earlier stage of a chain, and there is none`
            : `"${name}" is not an earlier stage of this chain`,
        place: place(node.origin),
        hint:
          stages.size === 0
            ? 'name a file, or run the preset that lists the stages'
            : suggest(name, [...stages.keys()]),
      }),
    );
    return text;
  }
  if (text.startsWith('hub:')) return resolveHub(text, node, environment, problems);
  const path = absolute(text, node);
  // A stage that has not run yet has no directory.
  if (!existsSync(path) && ![...stages.values()].includes(path)) {
    const before = placeBeforeMove(text, node.origin);
    if (before !== undefined) return before;
    problems.push(
      unexpandedPath(text, place(node.origin)) ??
        new PresetError({
          code: 'MISSING_FILE',
          message: `nothing is at "${text}" (${path})`,
          place: place(node.origin),
          hint: 'a path is relative to the file in which it is written',
        }),
    );
  }
  return path;
}

function absolute(path: string, { origin }: Located): string {
  return resolve(origin.kind === 'file' ? dirname(origin.source) : process.cwd(), path);
}

/** The folder of a pulled model, or of a data set in the cache. */
function resolveHub(text: string, node: Located, environment: Environment, problems: PresetError[]): string {
  const name = text.slice('hub:'.length);
  try {
    if (name.startsWith('datasets/')) return findHubDataset(name.slice('datasets/'.length), environment);
    return pulledFolder(name, environment, '; to check a preset its configuration is enough: --only config');
  } catch (error) {
    if (!(error instanceof ReasongenError) || error.exitCode !== exitCodes.badPreset) throw error;
    problems.push(
      new PresetError({ code: error.code, message: error.message, place: place(node.origin), hint: error.hint }),
    );
  }
  return text;
}

/** One issue of the schema library as problems with a place, in the words of a preset; each is made when it is wanted. */
function explain(
  issue: z.core.$ZodIssue,
  { owner, schema, more = [], help }: Whose,
  map: LocatedMap,
  path: string,
): (() => PresetError)[] {
  const node = nearestPart(map, issue.path);
  const called = path + issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  if (issue.code === 'unrecognized_keys') {
    const known = [...keysAt(schema, issue.path), ...(issue.path.length === 0 ? more : [])];
    return issue.keys.map((key) => () => {
      const entry = node.kind === 'map' ? node.entries.get(key) : undefined;
      return new PresetError({
        code: 'UNKNOWN_OPTION',
        message: `${called}.${key} is not an option of ${owner}`,
        place: place(entry?.key ?? node.origin),
        hint: suggest(key, known),
      });
    });
  }
  const isMissing = issue.path.length > 0 && node === nearestPart(map, issue.path.slice(0, -1));
  if (isMissing) {
    return [
      () =>
        new PresetError({
          code: 'MISSING_OPTION',
          message: `${called} is missing: ${owner} needs it`,
          place: place(node.origin),
          hint: help,
        }),
    ];
  }
  return [
    () => {
      const value = plain(node);
      const isChoice = issue.code === 'invalid_value' && typeof value === 'string';
      return new PresetError({
        code: 'BAD_OPTION',
        message:
          issue.code === 'custom' && issue.path.length === 0
            ? `${owner}: ${issue.message}`
            : `${called}: ${describeIssue(issue, value)}`,
        place: place(node.origin),
        hint: isChoice ? suggest(value, issue.values.map(String)) : undefined,
      });
    },
  ];
}

function describeIssue(issue: z.core.$ZodIssue, value: unknown): string {
  const shown = typeof value === 'number' ? String(value) : shorten(JSON.stringify(value));
  switch (issue.code) {
    case 'invalid_type':
      return `${shown} is not ${withArticle(issue.expected)}`;
    case 'invalid_value':
      return `${shown} is not one of ${issue.values.map((each) => JSON.stringify(each)).join(', ')}`;
    case 'too_small':
      return `${shown} is too small: ${bound(issue.origin, issue.inclusive ? 'at least' : 'more than', issue.minimum)}`;
    case 'too_big':
      return `${shown} is too large: ${bound(issue.origin, issue.inclusive ? 'at most' : 'less than', issue.maximum)}`;
    case 'invalid_union': {
      const wanted = issue.errors.flatMap(([first]) =>
        first === undefined || first.path.length > 0 ? [] : wordsFor(first),
      );
      const [inside] = issue.errors.flatMap((branch) => branch.filter(({ path }) => path.length > 0));
      const refused = `${shown} is not ${wanted.join(' or ') || 'what is taken here'}`;
      if (inside === undefined) return refused;
      const part = inside.path.reduce<unknown>((whole, key) => (whole as Record<PropertyKey, unknown>)[key], value);
      const unknown = issue.errors.flat().flatMap((each) => (each.code === 'unrecognized_keys' ? each.keys : []));
      const known = unknown.length === 0 ? '' : `; ${unknown.map((key) => `"${key}"`).join(', ')} is not taken here`;
      return `${refused}, and its ${inside.path.map(String).join('.')} is ${part === undefined ? 'missing' : `wrong: ${describeIssue(inside, part)}`}${known}`;
    }
    default:
      return `${shown}: ${issue.message}`;
  }
}

/** What one branch of a union takes. */
function wordsFor(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_type') return [withArticle(issue.expected)];
  return issue.code === 'invalid_value' ? issue.values.map((each) => JSON.stringify(each)) : [];
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  const unit = origin === 'string' ? ' characters' : origin === 'array' ? ' items' : '';
  return `${relation} ${limit}${unit}`;
}

function withArticle(type: string): string {
  const words: Readonly<Record<string, string>> = {
    int: 'a whole number',
    boolean: 'true or false',
    string: 'a text',
    object: 'a map',
    array: 'a list',
    record: 'a map',
    null: 'null',
  };
  return words[type] ?? `a ${type}`;
}

function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  let current: z.core.$ZodType | undefined = unwrap(schema);
  for (const key of path) {
    if (current instanceof z.ZodObject) current = current.shape[String(key)] as z.core.$ZodType | undefined;
    else if (current instanceof z.ZodArray) current = current.element;
    else return [];
    if (current !== undefined) current = unwrap(current);
  }
  const taken = current instanceof z.ZodUnion ? current.options.map((option) => unwrap(option)) : [current];
  return taken.flatMap((each) => (each instanceof z.ZodObject ? Object.keys(each.shape) : []));
}
