import { readFileSync } from 'node:fs';
import { basename, dirname, relative } from 'node:path';
import { PresetError } from '../errors.ts';
import { locatePreset } from './locate.ts';
import { type Located, type LocatedMap, parseLocated, place } from './located.ts';

/** The file (absolute) and everything it extends, each a map, the ones to be overridden first. `named` is where the file is named. */
export function readPresetFiles(file: string, named: Located | undefined, problems: PresetError[]): LocatedMap[] {
  return readChain(file, named, [], { left: mostFiles }, problems);
}

/** A base that is extended twice counts twice, as do its own bases: without a bound a few files are millions. */
const mostFiles = 200;

function readChain(
  file: string,
  named: Located | undefined,
  open: readonly string[],
  budget: { left: number },
  problems: PresetError[],
): LocatedMap[] {
  const at = named && place(named.origin);
  if (open.includes(file)) {
    const circle = [...open.slice(open.indexOf(file)), file].map((each) => basename(each)).join(' → ');
    problems.push(
      new PresetError({
        code: 'EXTENDS_ITSELF',
        message: `presets extend each other in a circle: ${circle}`,
        place: at,
      }),
    );
    return [];
  }
  budget.left -= 1;
  if (budget.left < 0) {
    if (budget.left === -1)
      problems.push(
        new PresetError({
          code: 'BAD_PRESET',
          message: `with all it extends, a preset is made of more than ${mostFiles} files`,
          place: at,
          hint: 'extend each base once',
        }),
      );
    return [];
  }
  const tree = readMap(file, at, problems);
  if (tree === undefined) return [];
  const bases = listOf(tree.entries.get('extends')?.value, 'extends', problems);
  return [
    ...bases.flatMap(({ text, node }) => {
      const base = locatePreset(text, dirname(file), place(node.origin), problems);
      return base === undefined ? [] : readChain(base, node, [...open, file], budget, problems);
    }),
    tree,
  ];
}

/** One preset file as a map. `at` is where it is named. */
function readMap(file: string, at: string | undefined, problems: PresetError[]): LocatedMap | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    problems.push(
      new PresetError({
        code: 'PRESET_NOT_FOUND',
        message: `${relative(process.cwd(), file) || file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        place: at,
        cause,
      }),
    );
    return undefined;
  }
  const tree = parseLocated(text, file, problems);
  if (tree === undefined || tree.kind === 'map') return tree;
  problems.push(
    new PresetError({
      code: 'BAD_PRESET',
      message: 'a preset is a map of keys and values',
      place: place(tree.origin),
    }),
  );
  return undefined;
}

/** A list of texts, each with its node; a single text counts as a list of one. */
export function listOf(
  node: Located | undefined,
  key: string,
  problems: PresetError[],
): { readonly text: string; readonly node: Located }[] {
  if (node === undefined || (node.kind === 'scalar' && node.value === null)) return [];
  const items = node.kind === 'list' ? node.items : [node];
  return items.flatMap((item) => {
    if (item.kind === 'scalar' && typeof item.value === 'string' && item.value !== '')
      return [{ text: item.value, node: item }];
    problems.push(
      new PresetError({ code: 'BAD_OPTION', message: `${key} must be a list of texts`, place: place(item.origin) }),
    );
    return [];
  });
}
