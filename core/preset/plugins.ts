import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Origin } from '../contracts/preset.ts';
import type { Component, Plugin, Slot, SlotDeclaration } from '../contracts/slots.ts';
import { PresetError } from '../errors.ts';
import type { LoadedPlugin } from './catalog.ts';
import { commonKeys } from './common-keys.ts';
import { place } from './located.ts';
import { placeBeforeMove } from './moved.ts';
import { importPlugin } from './plugin-module.ts';
import { unexpandedPath } from '../unexpanded.ts';
import { unlessStray } from '../waiting.ts';
import { z } from './zod.ts';

/** One entry of `plugins:`. */
export interface PluginReference {
  readonly specifier: string;
  readonly origin: Origin;
}

const builtInFolder = fileURLToPath(new URL('../../plugins/', import.meta.url));
/** TypeScript in a clone, JavaScript in the package. */
const indexFile = `index${extname(fileURLToPath(import.meta.url))}`;
const recipesFile = fileURLToPath(new URL(`../recipes/${indexFile}`, import.meta.url));

/** The recipes of core, and every folder of `plugins/` that has an index file. */
export async function loadBuiltInPlugins(problems: PresetError[]): Promise<LoadedPlugin[]> {
  const folders = readdirSync(builtInFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(builtInFolder, entry.name, indexFile)))
    .map((entry) => entry.name)
    .sort();
  const loaded = await Promise.all([
    loadPlugin(recipesFile, 'core/recipes', undefined, problems),
    ...folders.map((name) => loadPlugin(join(builtInFolder, name, indexFile), `plugins/${name}`, undefined, problems)),
  ]);
  return loaded.flatMap((plugin) => plugin ?? []);
}

/** Loads what a preset names: a path relative to the file that names it, or a package installed near that file or here. */
export async function loadNamedPlugin(
  reference: PluginReference,
  problems: PresetError[],
): Promise<LoadedPlugin | undefined> {
  const file = locatePlugin(reference);
  if (file !== undefined && existsSync(file))
    return loadPlugin(file, reference.specifier, place(reference.origin), problems);
  if (file !== undefined) {
    problems.push(
      new PresetError({
        code: 'PLUGIN_FAILED',
        message: `plugin "${reference.specifier}" is installed without its file ${file}`,
        place: place(reference.origin),
        hint: 'build it, if it is yours (npm run build), or install it again',
      }),
    );
    return undefined;
  }
  const isPath = isPathLike(reference.specifier);
  const unexpanded = unexpandedPath(reference.specifier, place(reference.origin));
  problems.push(
    unexpanded ??
      new PresetError({
        code: 'PLUGIN_NOT_FOUND',
        message: isPath
          ? `there is no file for plugin "${reference.specifier}"`
          : `no package "${reference.specifier}" is installed`,
        place: place(reference.origin),
        hint: isPath
          ? 'a path is relative to the file that names it; name the file with its ending, or a folder with an index.ts'
          : `run \`npm install ${reference.specifier}\`; a path starts with ./`,
      }),
  );
  return undefined;
}

/**
 * What a run calls a plugin: a package by its name where that leads to it from the current directory, too; otherwise, as for a plugin
 * named by path, the absolute path of its file. A package that only another package has is not to be found by name from a run.
 */
export function pluginIdentity(reference: PluginReference): string {
  const { specifier } = reference;
  const file = locatePlugin(reference);
  if (file === undefined || isPathLike(specifier)) return file ?? specifier;
  const typedHere = { kind: 'set', source: specifier, line: 0, column: 0 } as const;
  return file === locatePlugin({ specifier, origin: typedHere }) ? specifier : file;
}

/** The file of a plugin that a checked preset names: an absolute path, or a package near the preset or here. */
export function fileOfPlugin(plugin: string, preset: string): string | undefined {
  return locatePlugin({ specifier: plugin, origin: { kind: 'file', source: preset, line: 1, column: 1 } });
}

async function loadPlugin(
  file: string,
  name: string,
  position: string | undefined,
  problems: PresetError[],
): Promise<LoadedPlugin | undefined> {
  const refuse = (code: string, message: string, hint: string, cause?: unknown): undefined => {
    problems.push(new PresetError({ code, message, place: position ?? name, hint, cause }));
    return undefined;
  };
  let module: Awaited<ReturnType<typeof importPlugin>>;
  try {
    module = await unlessStray(importPlugin(file));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return refuse(
      'PLUGIN_FAILED',
      `plugin "${name}" cannot be imported: ${reason}`,
      /Cannot find package 'zod'/.test(reason)
        ? "import { z } from 'reasongen/plugin': options made with another zod are refused"
        : `repair ${file}, or take it out of \`plugins\``,
      cause,
    );
  }
  const shape = 'write `export default definePlugin({ name, provides: [...] })`';
  if (module.default === undefined) {
    return refuse('PLUGIN_WITHOUT_DEFAULT', `plugin "${name}" has no default export`, shape);
  }
  const fault = shapeFault(module.default);
  if (fault !== undefined) return refuse('BAD_PLUGIN', `plugin "${name}": ${fault}`, shape);
  const plugin = module.default as Plugin;
  return { plugin, source: name, place: position ?? name, isBuiltIn: position === undefined, file };
}

/** What is wrong with a default export, in words; nothing when it is a plugin. Types do not bind a JavaScript author. */
function shapeFault(value: unknown): string | undefined {
  if (!isRecord(value)) return 'the default export is not an object';
  const plugin: Partial<Record<keyof Plugin, unknown>> = value;
  if (typeof plugin.name !== 'string' || plugin.name === '') return '`name` is not a text';
  if (!Array.isArray(plugin.provides)) return '`provides` is not a list';
  for (const [index, component] of plugin.provides.entries()) {
    const fault = componentFault(component);
    if (fault !== undefined) return `provides[${index}] ${fault}`;
  }
  if (plugin.formats !== undefined && !Array.isArray(plugin.formats)) return '`formats` is not a list';
  if (plugin.packages !== undefined && !Array.isArray(plugin.packages)) return '`packages` is not a list';
  if (plugin.slots === undefined) return undefined;
  if (!Array.isArray(plugin.slots)) return '`slots` is not a list';
  const isSlot = (slot: unknown): boolean => {
    const fields: Partial<Record<keyof SlotDeclaration, unknown>> = isRecord(slot) ? slot : {};
    return typeof fields.slot === 'string' && typeof fields.key === 'string' && typeof fields.many === 'boolean';
  };
  const bad = plugin.slots.findIndex((slot) => !isSlot(slot));
  return bad < 0 ? undefined : `slots[${bad}] is not { slot, key, many, summary }`;
}

function componentFault(value: unknown): string | undefined {
  if (!isRecord(value)) return 'is not a component';
  const component: Partial<Record<keyof Component, unknown>> = value;
  if (typeof component.slot !== 'string') return 'has no `slot`: make it with defineReward, defineBackbone, …';
  if (typeof component.name !== 'string' || !/^[a-z0-9][a-z0-9-]*$/.test(component.name)) {
    return 'needs a `name` of small letters, digits and hyphens';
  }
  const what = `("${component.name}")`;
  if (typeof component.create !== 'function') return `${what} has no function \`create\``;
  if (!Array.isArray(component.needs)) return `${what} has no list \`needs\``;
  if (component.options === undefined)
    return `${what} has no \`options\`: write z.strictObject({}) where there are none`;
  if (!(component.options instanceof z.ZodObject)) {
    return `${what}: \`options\` is not made with the \`z\` of reasongen/plugin`;
  }
  if (component.options.def.catchall?._zod.def.type !== 'never') {
    return `${what}: \`options\` must be a z.strictObject, so that a misspelt option is found`;
  }
  const taken = ['use', 'name', ...Object.keys(commonKeys(component.slot as Slot).shape)];
  const reserved = taken.find((key) => key in (component.options as z.ZodObject).shape);
  return reserved && `${what}: the option name "${reserved}" is taken by the preset format`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isPathLike(specifier: string): boolean {
  return specifier.startsWith('.') || isAbsolute(specifier);
}

/** The file that a name or path of `plugins` leads to. */
export function locatePlugin({ specifier, origin }: PluginReference): string | undefined {
  const base = origin.kind === 'file' ? dirname(origin.source) : process.cwd();
  if (isPathLike(specifier)) {
    const path = resolve(base, specifier);
    const candidates = /\.[cm]?[jt]s$/.test(path) ? [path] : [join(path, 'index.ts'), join(path, 'index.js')];
    return candidates.find((candidate) => existsSync(candidate)) ?? placeBeforeMove(specifier, origin);
  }
  for (const start of [base, process.cwd(), builtInFolder]) {
    for (let folder = start; ; folder = dirname(folder)) {
      const entry = packageEntry(join(folder, 'node_modules', specifier));
      if (entry !== undefined) return entry;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

/** The file `import` would load from an installed package: its `exports` for ".", else `main`, else index.js. Of a package that was not built it is not there. */
function packageEntry(folder: string): string | undefined {
  const manifestFile = join(folder, 'package.json');
  if (!existsSync(manifestFile)) return undefined;
  const manifest = readManifest(manifestFile) as { exports?: unknown; main?: unknown };
  const pick = (value: unknown): string | undefined => {
    if (typeof value === 'string') return value;
    if (!isRecord(value)) return undefined;
    if ('.' in value) return pick(value['.']);
    return pick(value['import'] ?? value['node'] ?? value['default']);
  };
  const entry = pick(manifest.exports) ?? (typeof manifest.main === 'string' ? manifest.main : 'index.js');
  return join(folder, entry);
}

function readManifest(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new PresetError({
      code: 'PLUGIN_FAILED',
      message: `the package cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      place: file,
      hint: 'install it again',
      cause,
    });
  }
}
