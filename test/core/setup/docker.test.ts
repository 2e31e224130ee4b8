/** The Dockerfiles cannot be built where the tests run; what they name must be there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../../support/runs.ts';

const folder = join(root, 'core/setup/docker');
const files = readdirSync(folder).map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
const { files: published } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  files: readonly string[];
};
/** What packing builds from the others, where somebody has packed; an image runs the sources. */
const built = ['dist'];

test('there is one for each kind of machine', () => {
  expect(files.map(({ name }) => name).sort()).toEqual([
    'Dockerfile.amd-intel',
    'Dockerfile.nvidia',
    'Dockerfile.processor',
  ]);
});

describe.each(files)('$name', ({ name, text }) => {
  const copied = [...text.matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '));

  test('copies what is there, and the whole package', () => {
    expect(copied.filter((source) => !existsSync(join(root, source)))).toEqual([]);
    const isCopied = (source: string): boolean =>
      copied.some((each) => source === each || source.startsWith(`${each}/`));
    const shipped = published.filter((source) => existsSync(join(root, source)) && !built.includes(source));
    expect(shipped.filter((source) => !isCopied(source))).toEqual([]);
  });

  test('computes on what it is for, or fails', () => {
    const wanted = name.endsWith('processor') ? 'lavapipe' : 'gpu';
    expect(text).toMatch(new RegExp(`^ENV REASONGEN_ADAPTER=${wanted}$`, 'm'));
  });

  test('says how it is built, by its own name, and that nobody has', () => {
    expect(text).toContain(`docker build -f core/setup/docker/${name} `);
    expect(text).toContain('Untested');
  });
});
