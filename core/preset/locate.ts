/**
 * Which file is meant where a preset is named: the file of that path, if there is one; otherwise PACKAGE/NAME, where `.yaml` may be left
 * out, is presets/NAME.yaml or NAME.yaml of an installed package. What begins with `.` or `/` is always a path.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nearest, PresetError, suggest, shellWord } from '../errors.ts';
import { unexpandedPath } from '../unexpanded.ts';

/** This program's own presets go by its name, whichever other copy of it is installed nearby: they fit the program that reads them. */
const ownName = 'reasongen';
const ownFolder = fileURLToPath(new URL('../../', import.meta.url));

/** The absolute path of the preset called `text` in a file of `directory`; undefined and a problem at `place` when there is none. */
export function locatePreset(
  text: string,
  directory: string,
  place: string | undefined,
  problems: PresetError[],
): string | undefined {
  const path = resolve(directory, text);
  if (isFile(path)) return path;
  const [, owner = '', name = ''] = /^((?:@[^/]+\/)?[^/@.~$][^/]*)\/(.+)$/.exec(text) ?? [];
  const folder = isPath(text) || owner === '' ? undefined : packageFolder(owner, directory);
  const file = folder && presetOf(folder, name);
  if (file !== undefined) return file;
  problems.push(
    unexpandedPath(text, place) ??
      new PresetError({
        code: 'PRESET_NOT_FOUND',
        ...(folder === undefined ? explainPath(text, path, owner) : explainName(owner, name, folder)),
        place,
      }),
  );
  return undefined;
}

interface Explanation {
  readonly message: string;
  readonly hint: string | undefined;
}

function explainName(owner: string, name: string, folder: string): Explanation {
  const known = presetNames(folder);
  const wanted = name.replace(/^presets\//, '').replace(/\.ya?ml$/, '');
  return { message: `the package ${owner} has no preset "${name}"`, hint: suggestPreset(wanted, owner, known) };
}

function explainPath(text: string, path: string, owner: string): Explanation {
  const shown = relative(process.cwd(), path) || path;
  if (isFile(join(path, 'preset.yaml')))
    return {
      message: `${shown} is the folder of a run, not a preset`,
      hint: `go on with it: npx reasongen resume ${shellWord(shown)}; or name its file ${shown}/preset.yaml`,
    };
  if (existsSync(path)) return { message: `${shown} is a folder, not a preset`, hint: suggestFile(join(path, 'x')) };
  if (isPath(text) || /\.ya?ml$/.test(text))
    return { message: `no preset can be read at ${shown}`, hint: suggestFile(path) };
  if (isFile(`${path}.yaml`)) return { message: `there is no file ${shown}`, hint: `did you mean "${text}.yaml"?` };
  return {
    message: `there is no preset "${text}": no such file${owner === '' ? '' : `, and no package "${owner}" is installed`}`,
    hint: suggestPreset(text, ownName, presetNames()),
  };
}

function isPath(text: string): boolean {
  return text.startsWith('.') || isAbsolute(text);
}

/** A pipe is read like a file. */
function isFile(path: string): boolean {
  return existsSync(path) && !statSync(path).isDirectory();
}

/** The folder of a package as seen from a file that names it, or from where the program was started. */
function packageFolder(name: string, from: string): string | undefined {
  return name === ownName ? ownFolder : (installedPackage(name, from) ?? installedPackage(name, process.cwd()));
}

/** The folder of an installed package: looked for in the `node_modules` of a folder and of all above it, as Node does. */
export function installedPackage(name: string, from: string): string | undefined {
  const folder = resolve(from);
  const candidate = join(folder, 'node_modules', name);
  if (existsSync(join(candidate, 'package.json'))) return candidate;
  return folder === dirname(folder) ? undefined : installedPackage(name, dirname(folder));
}

function presetOf(folder: string, name: string): string | undefined {
  // A name stays within its package.
  if (name.split(/[/\\]/).some((part) => part === '..' || part === '.' || part === '')) return undefined;
  const file = /\.ya?ml$/.test(name) ? name : `${name}.yaml`;
  return [join(folder, 'presets', file), join(folder, file)].find(isFile);
}

/** The names of all presets in the folder `presets` of a package, such as `nano/grpo`; of this program unless told. */
export function presetNames(folder: string = ownFolder): string[] {
  const presets = join(folder, 'presets');
  if (!existsSync(presets)) return [];
  return readdirSync(presets, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => name.replace(/\.ya?ml$/, '').replaceAll('\\', '/'))
    .sort();
}

/** The presets likely meant: those whose last part was written alone, one that differs by a slip of the keyboard, or else all. */
function suggestPreset(name: string, owner: string, known: readonly string[]): string {
  const sameEnd = known.filter((each) => each === name || each.endsWith(`/${name}`));
  const meant = sameEnd.length > 0 ? sameEnd : known.filter((each) => each === nearest(name, known));
  const named = (names: readonly string[]): string[] => names.map((each) => `${owner}/${each}`);
  if (meant.length > 0)
    return `did you mean ${named(meant)
      .map((each) => `"${each}"`)
      .join(' or ')}?`;
  return known.length === 0 ? 'its folder `presets` has none' : `there is: ${named(known).join(', ')}`;
}

function suggestFile(path: string): string | undefined {
  try {
    const names = readdirSync(dirname(path)).filter((name) => /\.ya?ml$/.test(name));
    return names.length === 0 ? undefined : suggest(basename(path), names);
  } catch {
    return 'the folder does not exist either';
  }
}
