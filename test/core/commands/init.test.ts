/** `init` and `npm create reasongen`: what they ask, refuse and write, and that the new folder works as its README says. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { chooseStarter, type StarterOptions, starterModels } from '../../../core/commands/starter/choices.ts';
import { metricsOf, root } from '../../support/runs.ts';
import { commandLine, type CommandEnd } from '../../support/command-line.ts';

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'reasongen-init-')));
  // As after `npm install reasongen`: the package and its command.
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true });
  symlinkSync(root, join(folder, 'node_modules/reasongen'));
  symlinkSync('../reasongen/core/bin.mjs', join(folder, 'node_modules/.bin/reasongen'));
  writeFileSync(join(folder, 'prompts.txt'), 'a photo of two cakes\na photo of a red bird\n');
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const inProcess = (...args: string[]): Promise<CommandEnd> => commandLine(args, { REASONGEN_NO_DRIVER: '1' });
const init = (...args: string[]): Promise<CommandEnd> => inProcess('init', ...args);

function runIn(place: string, command: string, ...args: string[]): { status: number | null; text: string } {
  const env = { ...process.env, REASONGEN_QUIET: '1', HF_HUB_CACHE: join(folder, 'empty-cache') };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: join(folder, place), encoding: 'utf8', env });
  return { status, text: stdout + stderr };
}

describe('the folder that is written', () => {
  test('tests its reward, is checked, and trains, by the commands that are shown', async () => {
    const { code, output, errors } = await init(join(folder, 'my-judge'), '--yes');
    expect(code, errors).toBe(0);
    expect(output).toMatch(/^cd \S*my-judge\nnpm test\nnpm start\n$/);
    expect(readdirSync(join(folder, 'my-judge')).sort()).toEqual([
      '.gitignore',
      'README.md',
      'my-judge.test.ts',
      'my-judge.ts',
      'package.json',
      'train.yaml',
      'tsconfig.json',
    ]);
    const tested = runIn('my-judge', 'npm', 'test');
    expect(tested.status, tested.text).toBe(0);
    expect(tested.text).toMatch(/pass 4[^]*fail 0/);
    const checked = runIn('my-judge', 'npm', 'run', 'check');
    expect(checked.text).toContain('my-judge: every option is valid');
    const started = runIn('my-judge', 'npm', 'start', '--', '--set', 'steps=1', '--set', 'evaluations=0');
    expect(started.status, started.text).toBe(0);
    expect(metricsOf(join(folder, 'my-judge/runs/my-judge'))[0]).toMatchObject({
      'reward/my-judge': expect.any(Number),
    });
  });

  test('its test finds a reward that judges otherwise', async () => {
    await init(join(folder, 'other'), '--reward', 'terse', '--yes');
    const file = join(folder, 'other/terse.ts');
    writeFileSync(file, readFileSync(file, 'utf8').replace('value: named * brevity', 'value: named'));
    const tested = runIn('other', 'npm', 'test');
    expect(tested.status).toBe(1);
    expect(tested.text).toMatch(/fail 2/);
  });

  test.each(starterModels)(
    '%s with prompts of one’s own has a preset of which every option is valid',
    async (model) => {
      const place = `${model}-own`;
      const { code, output, errors } = await init(
        join(folder, place),
        '--model',
        model,
        '--data',
        join(folder, 'prompts.txt'),
      );
      expect(code, errors).toBe(0);
      expect(readFileSync(join(folder, place, 'train.yaml'), 'utf8')).toContain(
        'promptFiles: [{ file: "../prompts.txt" }]',
      );
      vi.stubEnv('HF_HUB_CACHE', join(folder, 'empty-cache'));
      const checked = await inProcess('check', join(folder, place, 'train.yaml'));
      const text = checked.output + checked.errors;
      if (model === 'nano') expect(text).toContain('every option is valid');
      else {
        // Nothing is wrong but that the model is not there yet, which the shown commands mend.
        expect(new Set(text.match(/^[A-Z_]{4,}/gm))).toEqual(new Set(['NOT_PULLED']));
        expect(output).toContain(/npx reasongen pull [\w/.-]+/.exec(text)?.[0]);
      }
    },
  );

  test('names that mean something to a shell are quoted in the commands that are shown', async () => {
    const { output } = await init(join(folder, "it's & new"), '--yes', '--no-install');
    expect(output.split('\n')[0]).toMatch(/^cd '.*it'\\''s & new'$/);
    expect(output).toContain('npm install\n');
    expect(existsSync(join(folder, "it's & new/my-reward.ts"))).toBe(true);
  });
});

describe('nothing is overwritten, and nothing half written', () => {
  test('every file that is in the way is named', async () => {
    const place = join(folder, 'full');
    mkdirSync(place);
    for (const name of ['train.yaml', 'package.json']) writeFileSync(join(place, name), 'mine');
    const { code, errors } = await init(place, '--yes');
    expect(code).toBe(2);
    expect(errors).toMatch(/DIRECTORY_NOT_EMPTY[^]*train\.yaml, package\.json are there already/);
    expect(readdirSync(place).sort()).toEqual(['package.json', 'train.yaml']);
    expect(readFileSync(join(place, 'package.json'), 'utf8')).toBe('mine');
  });

  test.each([
    ['a reward that exists', ['--reward', 'nano-verdict'], 'NAME_TAKEN'],
    ['a plugin that exists', ['--reward', 'chat-judge'], 'NAME_TAKEN'],
    ['a name no component can have', ['--reward', '../evil'], 'BAD_NAME'],
    ['a model that does not exist', ['--model', 'janus'], 'Allowed choices are nano, janus-pro-1b, janus-pro-7b'],
    ['prompts that are not there', ['--data', 'absent.txt'], 'MISSING_FILE'],
    ['prompts by a path nobody expands', ['--data', '~/prompts.txt'], 'NOT_EXPANDED'],
  ])('%s', async (_, flags, message) => {
    const { code, errors } = await init(join(folder, 'never'), ...flags);
    expect(code).toBe(2);
    expect(errors).toContain(message);
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });

  test.each([
    ['~/judge', 'NOT_EXPANDED'],
    ['$HOME/judge', 'NOT_EXPANDED'],
    [`${root}package.json`, 'BAD_FOLDER'],
  ])('the folder %s', async (name, message) => expect((await init(name, '--yes')).errors).toContain(message));
});

describe('on a terminal', () => {
  function ask(answers: string, options: StarterOptions = {}): { chosen: Promise<unknown>; asked: () => string } {
    const [input, output] = [new PassThrough(), new PassThrough()];
    input.end(answers);
    const taken = (name: string): boolean => name === 'taken';
    return {
      chosen: chooseStarter(undefined, options, { input, output }, taken),
      asked: () => String(output.read() ?? ''),
    };
  }

  test('everything that no flag says is asked; an answer that cannot be is asked for again', async () => {
    const { chosen, asked } = ask('sketches\njanus\njanus-pro-1b\ntaken\nlines\n\n');
    expect(await chosen).toEqual({
      folder: join(process.cwd(), 'sketches'),
      model: 'janus-pro-1b',
      reward: 'lines',
      data: undefined,
    });
    const text = asked();
    expect(text).toMatch(/Folder \[my-judge\].*Model .*there is no model "janus"/s);
    expect(text).toMatch(/reward \[sketches\].*comes with reasongen already.*prompts.*\[none\]/s);
  });

  test('flags are not asked about, empty answers are the defaults', async () => {
    const { chosen, asked } = ask('\n\n', { model: 'nano', data: 'none' });
    expect(await chosen).toMatchObject({ model: 'nano', reward: 'my-judge', data: undefined });
    expect(asked()).not.toMatch(/Model|prompts/);
  });

  test('an end of the input is no answer', async () => {
    await expect(ask('sketches\n').chosen).rejects.toMatchObject({ code: 'NOT_ANSWERED', exitCode: 2 });
  });
});

describe('npm create reasongen', () => {
  test('is init, and installs with the package manager that started it', () => {
    const [place, tools] = [join(folder, 'create'), join(folder, 'tools')];
    for (const path of [join(place, 'node_modules/create-reasongen'), tools]) mkdirSync(path, { recursive: true });
    for (const name of ['package.json', 'index.mjs'])
      copyFileSync(join(root, 'core/create', name), join(place, 'node_modules/create-reasongen', name));
    symlinkSync(root, join(place, 'node_modules/reasongen'));
    const manager = join(tools, 'pnpm');
    writeFileSync(manager, '#!/bin/sh\necho "$@" in "$PWD" > "$PWD/installed.txt"\nexit ${FAILS:-0}\n');
    chmodSync(manager, 0o755);
    const create = (target: string, fails = '0') =>
      spawnSync(process.execPath, [join(place, 'node_modules/create-reasongen/index.mjs'), target, '--yes'], {
        cwd: tmpdir(),
        encoding: 'utf8',
        env: {
          ...process.env,
          PATH: `${tools}:${process.env['PATH']}`,
          npm_config_user_agent: 'pnpm/9.0.0',
          FAILS: fails,
        },
      });
    const outside = realpathSync(mkdtempSync(join(tmpdir(), 'reasongen-created-')));
    try {
      const { status, stdout, stderr } = create(join(outside, 'new'));
      expect(status, stderr).toBe(0);
      expect(stdout).toContain('npm test\nnpm start\n');
      expect(readFileSync(join(outside, 'new/installed.txt'), 'utf8')).toBe(`install in ${join(outside, 'new')}\n`);
      const failed = create(join(outside, 'failed'), '3');
      expect(failed.status).toBe(1);
      expect(failed.stderr).toMatch(/INSTALL_FAILED[^]*`pnpm install` failed: it ended with 3/);
      expect(existsSync(join(outside, 'failed/train.yaml'))).toBe(true);
    } finally {
      rmSync(outside, { recursive: true });
    }
  });

  test('has the version of the package it starts', () => {
    const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8')) as Record<string, unknown>;
    const { version } = read('package.json');
    expect(read('core/create/package.json')).toMatchObject({ version, dependencies: { reasongen: version } });
  });
});
