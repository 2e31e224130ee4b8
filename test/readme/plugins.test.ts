/**
 * The pages of plugins as an author meets them: every file is written as shown, in a folder that looks like a clone, and every command is
 * run, cut short. Together they fill every slot and tap every hook with the reader's own.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { builtInSlots } from '../../core/preset/catalog.ts';
import { hookList } from '../../core/hooks.ts';
import { metricsOf, root } from '../support/runs.ts';
import { commandsOf, filesOf, pluginPages, textOf } from './pages.ts';

const everything = pluginPages.map(textOf).join('\n');
const { written: files } = filesOf(pluginPages);
const commands = commandsOf(pluginPages);

let clone = '';
beforeAll(() => {
  clone = mkdtempSync(join(tmpdir(), 'reasongen-plugins-'));
  for (const name of ['core', 'kernels', 'plugins', 'presets', 'node_modules', 'package.json', 'tsconfig.json'])
    symlinkSync(join(root, name), join(clone, name));
  for (const { name, text } of files) {
    mkdirSync(dirname(join(clone, name)), { recursive: true });
    writeFileSync(join(clone, name), text);
  }
});
afterAll(() => rmSync(clone, { recursive: true }));

function node(...words: string[]): Promise<{ code: number | null; output: string; errors: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      words,
      { cwd: clone, encoding: 'utf8', env: { ...process.env, REASONGEN_QUIET: '1' } },
      (_error, output, errors) => resolve({ code: child.exitCode, output, errors }),
    );
  });
}

/** Runs the command of a page that begins so, as it is shown but for the settings that make it short. */
async function run(preset: string, ...settings: string[]): Promise<string> {
  return (await ran(preset, settings)).output;
}

async function ran(preset: string, settings: readonly string[]): Promise<{ output: string; errors: string }> {
  const line = commands.find((each) => each.startsWith(`npx reasongen run mine/flags/${preset}.yaml`));
  if (line === undefined) throw new Error(`no page runs ${preset}`);
  const short = settings.flatMap((setting) => ['--set', setting]);
  const { code, output, errors } = await node('core/bin.mjs', ...line.split(' ').slice(2), ...short);
  expect(code, errors).toBe(0);
  return { output, errors };
}

const source = (slot: string): RegExp => new RegExp(`define${slot.charAt(0).toUpperCase()}${slot.slice(1)}\\(`);

test('every slot has a whole example, and every hook is explained and tapped', () => {
  for (const { slot } of builtInSlots)
    expect(
      files.filter(({ text }) => source(slot).test(text)),
      slot,
    ).toHaveLength(1);
  const hooks = files.find(({ name }) => name === 'mine/flags/hooks.ts')?.text ?? '';
  for (const [name, { kind }] of Object.entries(hookList)) {
    expect(everything).toMatch(new RegExp(`^\\| \`${name}\` \\| ${kind === 'series' ? 'series' : 'waterfall'}`, 'm'));
    expect(everything).toContain(`- **\`${name}\`** `);
    expect(hooks).toMatch(new RegExp(`^ {6}${name}: `, 'm'));
  }
  expect(commands).toHaveLength(3);
});

test('supervised training, with dataset, tokenizers, backbone, optimizer and kernels of the pages', async () => {
  await run('sft', 'steps=2');
  const steps = metricsOf(join(clone, 'runs/flags-sft'));
  expect(steps).toHaveLength(2);
  expect(Number(steps[1]?.['loss'])).toBeLessThan(Number(steps[0]?.['loss']));
});

test('GRPO, with reward, benchmark, executor and every hook; the cached step of the backbone agrees with its packed form', async () => {
  const { errors } = await ran('grpo', ['steps=2', 'prompts=2', 'groupSize=4', 'evaluations=4']);
  // Two evaluations of 4, and at least 2 x 4 drawings in each of two steps.
  const [, drawn] = /^(\d+) sequences were drawn$/m.exec(errors) ?? [];
  expect(Number(drawn)).toBeGreaterThanOrEqual(24);
  const [first] = metricsOf(join(clone, 'runs/flags-grpo'));
  expect(first).toMatchObject({ 'reward/halves': expect.any(Number), ratioDifference: expect.any(Number) });
  const diary = readFileSync(join(clone, 'runs/flags-grpo/diary.txt'), 'utf8');
  expect(diary).toMatch(/^flags-grpo begins\n/);
  expect(diary).toMatch(/^step 1 drew 8, first "\w+ over \w+": /m);
  expect(diary).toMatch(/^step 2 rewards /m);
  expect(diary).toMatch(/^flags, heldout: \d of 4$/m);
  expect(diary).toMatch(/\nthe run is done\n$/);
});

test('the recipe, which trains nothing: what is right gets all of the reward', async () => {
  expect(await run('audit')).toBe('halves: 1.000 on average, 1 at least\n');
});

test('the kernel of the pages passes the check of its page', async () => {
  const { code, output, errors } = await node('--import', 'reasongen/register', '--test', 'mine/flags/softcap.test.ts');
  expect(code, output + errors).toBe(0);
  expect(output).toMatch(/pass 1\n/);
});

test('a mistake in it is told by file, line and column', async () => {
  const file = join(clone, 'mine/flags/softcap.wgsl');
  writeFileSync(file, readFileSync(file, 'utf8').replace('cap * tanh(', 'cap * tahn('));
  const { code, errors } = await node(
    'core/bin.mjs',
    'run',
    'mine/flags/sft.yaml',
    '--run-dir',
    'runs/torn',
    '--set',
    'steps=1',
  );
  expect(code).toBe(1);
  expect(errors).toMatch(/^KERNEL_COMPILE {2}mine\/flags\/softcap\.wgsl:16:29$/m);
});
