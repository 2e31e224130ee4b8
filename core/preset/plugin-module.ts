import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { originOfCopy } from './plugin-files.ts';

/** Once for the process: hooks stay. */
const useHooks = once(() => {
  register('./typescript-hooks.mjs', import.meta.url);
  // Stacks then name lines of the author's file.
  process.setSourceMapsEnabled(true);
});

/** Imports the file of a plugin. JavaScript is node's business; TypeScript is compiled on the way, and copies find what their originals find (`typescript-hooks.mjs`). */
export async function importPlugin(file: string): Promise<{ readonly default?: unknown }> {
  if (/\.[cm]?ts$/.test(file) || originOfCopy(file) !== undefined) useHooks();
  return (await import(pathToFileURL(file).href)) as { readonly default?: unknown };
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
