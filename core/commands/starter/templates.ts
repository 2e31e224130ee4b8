/** The texts of new files: they lie beside this file, with `{{name}}` and others where a name goes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NewFiles } from './write.ts';

const folder = fileURLToPath(new URL('./templates/', import.meta.url));
const ending = '.txt';

/** What a package of each kind holds, in words: "A reward … it WHAT". */
export const componentKinds = {
  reward: 'judges drawings, and training makes what it likes more likely',
  judge: 'gives evidence about pictures, which rewards and benchmarks ask for',
  dataset: 'makes examples and prompts to train on',
  benchmark: 'has fixed prompts and a verdict for each drawing',
  extension: 'listens to the hooks of a run',
  optimizer: 'turns gradients into new weights',
  backbone: 'is a model that writes rationales and draws pictures',
} as const;

export type ComponentKind = keyof typeof componentKinds;

/** One of the texts, filled in: `reward/src/index.ts`. */
export function template(path: string, values: Readonly<Record<string, string>>): string {
  const text = readFileSync(join(folder, `${path}${ending}`), 'utf8');
  return text.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new RangeError(`the template ${path} wants ${name}`);
    return value;
  });
}

/** All texts of a kind by their places in its package, what is read first in front. */
export function templatesOf(kind: ComponentKind, values: Readonly<Record<string, string>>): NewFiles {
  const paths = readdirSync(join(folder, kind), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(join(folder, kind), join(entry.parentPath, entry.name)).slice(0, -ending.length))
    .sort((a, b) => Number(a.includes('.test.')) - Number(b.includes('.test.')) || (a < b ? 1 : -1));
  return Object.fromEntries(paths.map((path) => [path, template(`${kind}/${path}`, values)]));
}
