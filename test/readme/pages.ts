/** The pages of the repository and what stands in them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../support/runs.ts';

/** Run by readme.test.ts, in the order in which one reads them: a command may use what an earlier one left. */
export const mainPages = [
  'README.md',
  'presets/README.md',
  'presets/clusters/README.md',
  'plugins/README.md',
  'kernels/README.md',
  'test/README.md',
  'core/README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
];

/** Run by plugins.test.ts. */
export const pluginPages = ['plugins/data.md', 'plugins/compute.md', 'plugins/hooks.md', 'plugins/recipe.md'];

export function textOf(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

export interface Block {
  readonly language: string;
  readonly text: string;
}

export function blocksOf(pages: readonly string[]): Block[] {
  return pages.flatMap((page) =>
    [...textOf(page).matchAll(/^```(\w+)\n([^]*?)^```$/gm)].map(([, language = '', text = '']) => ({ language, text })),
  );
}

/** Lines that a reader types, each once. */
export function commandsOf(pages: readonly string[]): string[] {
  const lines = blocksOf(pages).flatMap(({ language, text }) => (language === 'sh' ? text.split('\n') : []));
  return [...new Set(lines.filter((line) => line.startsWith('npx reasongen ')))];
}

export interface NamedBlock {
  readonly name: string;
  readonly text: string;
}

/** Blocks that begin with the name of their file: `quoted` from the repository, or `written` by the reader. */
export function filesOf(pages: readonly string[]): Readonly<Record<'quoted' | 'written', readonly NamedBlock[]>> {
  const named = blocksOf(pages).flatMap(({ text }): NamedBlock[] => {
    const [, name] = /^(?:\/\/|#) (\S+\/\S+\.\w+)\n/.exec(text) ?? [];
    return name === undefined ? [] : [{ name, text }];
  });
  const isQuoted = ({ name }: NamedBlock): boolean => existsSync(join(root, name));
  return { quoted: named.filter(isQuoted), written: named.filter((each) => !isQuoted(each)) };
}
