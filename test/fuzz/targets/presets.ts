/** Presets, made by their grammar: accepted with every key that was written, or refused with a place, a cause and a way on for each mistake. */
import { parse } from 'yaml';
import { ProblemsError } from '../../../core/errors.ts';
import type { Catalog } from '../../../core/preset/catalog.ts';
import { loadCatalogOf, loadPreset, type LoadedPreset } from '../../../core/preset/load.ts';
import { presetText } from '../grammar.ts';
import type { FuzzTarget } from '../harness.ts';

let catalog: Catalog | undefined;

const target: FuzzTarget = {
  ending: '.yaml',
  short: 120,
  longest: 20_000,
  seeds: async () => {
    catalog = await loadCatalogOf([]);
    return [];
  },
  make: (number, seed) => {
    if (catalog === undefined) throw new Error('unreachable: seeds() was called');
    return new TextEncoder().encode(presetText(catalog, seed, number));
  },
  read: async (bytes, file) => {
    let loaded: LoadedPreset;
    try {
      loaded = await loadPreset(file, { runDirectory: '/somewhere' });
    } catch (error) {
      if (error instanceof ProblemsError) for (const problem of error.problems) lookAt(problem);
      throw error;
    }
    const [stage] = loaded.stages;
    if (loaded.isChain || stage === undefined) return;
    refuseLost(parse(new TextDecoder().decode(bytes)) as unknown, stage.preset.components);
  },
};
export default target;

function lookAt({ code, message, place, hint }: ProblemsError['problems'][number]): void {
  if (!/^[A-Z][A-Z_]+$/.test(code)) throw new Error(`the code ${code}`);
  if (message === '' || message.length > 1000) throw new Error(`${code}: a message of ${message.length} characters`);
  if (place === undefined || !/:\d+:\d+$/.test(place)) throw new Error(`${code}: ${message} at ${place}`);
  // What is wrong with a value says what is right.
  const explains = ['BAD_OPTION', 'EXTENDS_ITSELF', 'NESTED_CHAIN', 'BAD_PRESET'].includes(code);
  if (hint === undefined && !explains) throw new Error(`${code}: ${message} has no hint`);
  if (/invalid input|undefined|\[object/i.test(message)) throw new Error(`${code}: ${message} says nothing`);
  if (hint !== undefined && hint.length > 1500) throw new Error(`${code}: a hint of ${hint.length} characters`);
}

/** Throws for a key of a component that was accepted and is not among its options: a slip that would do nothing, in silence. */
function refuseLost(written: unknown, components: LoadedPreset['stages'][number]['preset']['components']): void {
  if (typeof written !== 'object' || written === null || 'extends' in written) return;
  for (const choices of Object.values(components)) {
    for (const { slot, use, options, ...choice } of choices) {
      const found = Object.values(written)
        .flat()
        .filter(
          (each: unknown) => typeof each === 'object' && each !== null && (each as { use?: unknown }).use === use,
        );
      const own = found.find((each: unknown) => hasAll(each, { ...options, ...choice }));
      if (found.length > 0 && own === undefined)
        throw new Error(`${slot} "${use}" was accepted with ${JSON.stringify(found)}`);
    }
  }
}

const ofTheRuntime = ['use', 'name', 'weight', 'onError', 'retries'];

/** Whether every key that is written, however deep, is one of the result; null takes one away. */
function hasAll(written: unknown, result: unknown): boolean {
  if (typeof written !== 'object' || written === null) return true;
  if (Array.isArray(written))
    return Array.isArray(result) && written.every((each, index) => hasAll(each, result[index] as unknown));
  if (typeof result !== 'object' || result === null) return false;
  return Object.entries(written).every(
    ([key, value]) =>
      value === null ||
      ofTheRuntime.includes(key) ||
      (Object.hasOwn(result, key) && hasAll(value, (result as Readonly<Record<string, unknown>>)[key])),
  );
}
