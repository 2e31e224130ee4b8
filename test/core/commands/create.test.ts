/** `create`: what it writes and refuses. That its packages build and pass their own tests outside of this tree is tested with the package. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { componentKinds } from '../../../core/commands/starter/templates.ts';
import { commandLine, type CommandEnd } from '../../support/command-line.ts';

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'reasongen-create-')));
  vi.spyOn(process, 'cwd').mockReturnValue(folder);
});
afterAll(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const create = (...args: string[]): Promise<CommandEnd> => commandLine(['create', ...args]);

const kinds = Object.keys(componentKinds);

test.each(kinds)('a package with a %s: its files, its names, and what to type next', async (kind) => {
  const name = `my-${kind}`;
  const { code, output, errors } = await create(kind, name, '--no-install');
  expect(code, errors).toBe(0);
  expect(output).toMatch(
    new RegExp(
      `^cd reasongen-plugin-${name}\nnpm install\nnpm test\nnpm run build\nnpx reasongen check preset.yaml\n$`,
    ),
  );
  const place = join(folder, `reasongen-plugin-${name}`);
  const files = readdirSync(place, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const texts = files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  expect(files.map((entry) => entry.name)).toEqual(
    expect.arrayContaining([
      'index.ts',
      'index.test.ts',
      'package.json',
      'tsconfig.json',
      'preset.yaml',
      'README.md',
      '.gitignore',
    ]),
  );
  expect(texts.filter((text) => text.includes('{{'))).toEqual([]);
  expect(JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'))).toMatchObject({
    name: `reasongen-plugin-${name}`,
    keywords: ['reasongen-plugin'],
    peerDependencies: { reasongen: expect.stringMatching(/^\^\d/) },
  });
  expect(errors).toContain(`wrote reasongen-plugin-${name}/src/index.ts`);
});

test('the name of the package is as good as that of the component', async () => {
  expect((await create('reward', 'reasongen-plugin-terse', '--no-install')).code).toBe(0);
  expect(readFileSync(join(folder, 'reasongen-plugin-terse/src/index.ts'), 'utf8')).toContain("name: 'terse'");
});

describe('one clear message, and nothing is written', () => {
  test.each([
    [
      'a kind that is none',
      ['rewrd', 'mine'],
      /^UNKNOWN_KIND\n {2}there is no kind of component "rewrd" to create\. Did you mean "reward"\?\n$/,
    ],
    [
      'a kind far from all',
      ['sandwich', 'mine'],
      /There is: reward, judge, dataset, benchmark, extension, optimizer, backbone/,
    ],
    [
      'capitals',
      ['reward', 'MyReward'],
      /^BAD_NAME\n {2}"MyReward" is no name of a reward\. Small letters, digits and hyphens, a letter first\.\n$/,
    ],
    ['a path', ['reward', '../evil'], /^BAD_NAME/],
    ['nothing but the prefix', ['reward', 'reasongen-plugin-'], /^BAD_NAME/],
    ['a scope', ['reward', '@me/mine'], /^BAD_NAME/],
    [
      'a name that comes with reasongen',
      ['dataset', 'nano-world'],
      /^NAME_TAKEN\n {2}"nano-world" comes with reasongen already\. Name your dataset otherwise/,
    ],
    ['the name of a plugin', ['extension', 'tensorboard'], /^NAME_TAKEN/],
    ['no name', ['reward'], /missing required argument 'name'/],
  ])('%s', async (_, args, message) => {
    const before = readdirSync(folder);
    const { code, errors } = await create(...args, '--no-install');
    expect(errors).toMatch(message);
    expect(code).toBe(2);
    expect(readdirSync(folder)).toEqual(before);
  });

  test('a folder that is there already, even an empty one', async () => {
    mkdirSync(join(folder, 'reasongen-plugin-full'));
    const { code, errors } = await create('reward', 'full', '--no-install');
    expect(errors).toMatch(
      /^DIRECTORY_NOT_EMPTY {2}.*reasongen-plugin-full\n {2}it is there already, and nothing is overwritten\. Choose another name: npx reasongen create reward my-full\.\n$/,
    );
    expect(code).toBe(2);
    expect(existsSync(join(folder, 'reasongen-plugin-full/package.json'))).toBe(false);
    mkdirSync(join(folder, 'reasongen-plugin-my-own'));
    expect((await create('reward', 'my-own', '--no-install')).errors).toContain(
      'npx reasongen create reward my-own-2.',
    );
  });
});
