/** What a run writes down must give the same run again: the text of a preset is read and compared before anything depends on it. */
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Preset } from '../contracts/preset.ts';
import { processEnvironment } from '../environment.ts';
import { PresetError } from '../errors.ts';
import type { Catalog } from './catalog.ts';
import { checkPreset } from './check.ts';
import { withChecksum } from './checksum.ts';
import { referencesOf, type Stage } from './load.ts';
import { parseLocated } from './located.ts';
import type { Lookup } from './options.ts';
import { showPreset } from './show.ts';

/**
 * The text of `preset.yaml` in a run directory. Throws NOT_REPEATABLE when reading it there would not give the preset of the stage.
 * `earlier`: directories of the stages before it, which need not exist yet; `copies`: those of plugins, by their originals, likewise.
 */
export function repeatablePreset(
  stage: Stage,
  catalog: Catalog,
  directory: string,
  earlier: Lookup['stages'],
  copies: ReadonlyMap<string, string>,
): string {
  const text = showPreset(stage, catalog, { directory, origins: false, copies });
  const expected = stage.preset.plugins.map((plugin) => copies.get(plugin) ?? plugin);
  const again = readAgain(text, catalog, directory, earlier);
  const found = differenceOf({ ...stage.preset, plugins: expected }, again);
  if (found === undefined) return withChecksum(text);
  throw new PresetError({
    code: 'NOT_REPEATABLE',
    message: `written into the run's preset.yaml and read again, ${found}`,
    place: stage.preset.file,
    hint: 'an option must accept the value it gives: let the component convert it in `create`, not in its schema',
  });
}

function readAgain(text: string, catalog: Catalog, directory: string, earlier: Lookup['stages']): Preset | string {
  const file = join(directory, 'preset.yaml');
  const problems: PresetError[] = [];
  // As the disk gives it back: UTF-8 has no place for half a surrogate pair.
  const tree = parseLocated(Buffer.from(text).toString(), file, problems);
  if (tree?.kind === 'map') {
    // The copies of plugins are not there yet.
    const plugins = referencesOf(tree, problems).map(({ specifier }) => resolveWritten(specifier, directory));
    const preset = checkPreset(
      tree,
      file,
      plugins,
      catalog,
      { stages: earlier, environment: processEnvironment },
      problems,
    );
    if (problems.length === 0) return preset;
  }
  return problems[0]?.message ?? 'it is no map';
}

function resolveWritten(plugin: string, directory: string): string {
  return plugin.startsWith('.') ? resolve(directory, plugin) : plugin;
}

/** What a text can say: not where it lies, nor which plugin provides a component, which the catalog tells. */
function asWritten(preset: Preset): Preset {
  const components = Object.entries(preset.components).map(([slot, choices]) => [
    slot,
    choices.map((choice) => ({ ...choice, plugin: undefined })),
  ]);
  return { ...preset, file: '', components: Object.fromEntries(components) };
}

/** In words; undefined when both are the same but for what no text says. */
function differenceOf(preset: Preset, again: Preset | string): string | undefined {
  if (typeof again === 'string') return `it is refused: ${again}`;
  return difference(asWritten(preset), asWritten(again), '');
}

function difference(before: unknown, after: unknown, path: string): string | undefined {
  if (isDeepStrictEqual(before, after)) return undefined;
  if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const found = difference(before[key], after[key], path === '' ? key : `${path}.${key}`);
      if (found !== undefined) return found;
    }
  }
  return `${path.replace(/^components\./, '')} is ${show(after)} instead of ${show(before)}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : (JSON.stringify(value) ?? typeof value);
}
