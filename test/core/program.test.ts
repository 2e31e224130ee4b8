/** The program as a process of its own: signals, exit codes, readers that go away, drivers. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRunRecord } from '../../core/io/records.ts';
import type { CommandEnd } from '../support/command-line.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const components = join(root, 'test/cases/components.ts');
const practice = 'dataset: colors\ntokenizer: words\nrecipe: practice\n';
let folder: string;
let preset: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-program-'));
  preset = join(folder, 'preset.yaml');
  writeFileSync(preset, `plugins: [${components}]\n${practice}`);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function start(args: readonly string[], environment: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, _: process.execPath, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
}

/** Waits for the end; `onError` sees standard error as it grows. */
function finish(child: ChildProcess, onError: (errors: string) => void = () => {}): Promise<CommandEnd> {
  let [output, errors] = ['', ''];
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  child.stderr?.on('data', (chunk) => {
    errors += String(chunk);
    onError(errors);
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output, errors })));
}

const program = (...args: string[]): ChildProcess => start(['core/bin.mjs', ...args]);

describe('the program', () => {
  test('runs, says where, and resumes', async () => {
    const directory = join(folder, 'run');
    const first = await finish(program('run', preset, '--run-dir', directory, '--set', 'stopAt=1'));
    expect(first.errors).toContain(`run directory: ${directory}`);
    expect(first.errors).toContain(`go on with: npx reasongen resume ${directory}`);
    expect(first.code).toBe(7);
    expect((await finish(program('run', preset, '--run-dir', directory))).code).toBe(2);
    const second = await finish(program('resume', directory, '--set', 'stopAt=3'));
    expect(second.code).toBe(0);
    expect((await readRunRecord(directory)).sessions.map(({ outcome }) => outcome)).toEqual(['stopped', 'done']);
  });

  test.each([
    ['^C of a terminal, which signals every process of the group', 'SIGINT', ['supervisor', 'child'], 130, 'SIGINT'],
    ['SIGINT from another shell', 'SIGINT', ['supervisor'], 130, 'SIGINT'],
    ['SIGTERM to every process, as systemd sends it', 'SIGTERM', ['child', 'supervisor'], 143, 'SIGTERM'],
    ['a hang-up', 'SIGHUP', ['supervisor', 'child'], 129, 'SIGHUP'],
    ['a supervisor that is killed', 'SIGKILL', ['supervisor'], null, 'its supervisor was killed'],
  ] as const)('%s: the step is finished, the run is closed', async (name, signal, receivers, exitCode, note) => {
    const directory = join(folder, name.replaceAll(/\W/g, '-'));
    const child = longRun(directory);
    const { code, errors } = await finish(
      child,
      once('step 2', () => signalProgram(child, signal, receivers)),
    );
    expect(code).toBe(exitCode);
    if (exitCode !== null) expect(errors).toContain(`${signal}: stopping after this step`);
    await expect
      .poll(async () => (await readRunRecord(directory)).sessions.at(-1), { timeout: 10_000 })
      .toMatchObject({
        outcome: 'stopped',
        note,
      });
    expect(existsSync(join(directory, 'lock'))).toBe(false);
  });

  test('^C while plugins are loaded, which ends what compiles them as well, is no fault of theirs', async () => {
    const plugin = join(folder, 'compiled.mjs');
    const told = "process.kill(process.pid, 'SIGINT'); await new Promise((done) => setTimeout(done, 100));";
    writeFileSync(plugin, `${told}\nthrow new Error('The service was stopped');\n`);
    const early = join(folder, 'early.yaml');
    writeFileSync(early, `plugins: [${components}, ${plugin}]\n${practice}`);
    const { code, errors } = await finish(program('run', early, '--run-dir', join(folder, 'early')));
    expect(errors).toContain('stopped: SIGINT, before anything had begun');
    expect(errors).not.toContain('PLUGIN_FAILED');
    expect(code).toBe(130);
  });

  test('a second signal ends it at once; a copy of the first does not', async () => {
    const child = program(
      ...['run', preset, '--run-dir', join(folder, 'twice')],
      ...['--set', 'pause=60000', '--set', 'extensions=[witness]'],
    );
    let ended = false;
    const first = once('start preset', () => signalProgram(child, 'SIGINT', ['supervisor', 'child']));
    const second = once('stopping after this step', () =>
      setTimeout(() => {
        ended = child.exitCode !== null;
        signalProgram(child, 'SIGINT', ['child']);
      }, 500),
    );
    const { code } = await finish(child, (seen) => {
      first(seen);
      second(seen);
    });
    expect({ code, ended }).toEqual({ code: 130, ended: false });
  });

  test('a hang-up does not end what nohup has started', async () => {
    const directory = join(folder, 'nohup');
    const child = longRun(directory, { _: '/usr/bin/nohup' });
    const hangUp = once('step 2', () => signalProgram(child, 'SIGHUP', ['supervisor', 'child']));
    const end = once('step 6', () => signalProgram(child, 'SIGTERM', ['supervisor']));
    const { code } = await finish(child, (seen) => {
      hangUp(seen);
      end(seen);
    });
    expect(code).toBe(143);
    expect((await readRunRecord(directory)).sessions.at(-1)).toMatchObject({ outcome: 'stopped', note: 'SIGTERM' });
  });

  test('readers that go away end no run', async () => {
    const directory = join(folder, 'unread');
    const child = program('run', preset, '--run-dir', directory, '--set', 'pause=50', '--set', 'steps=10');
    child.stdout?.destroy();
    child.stderr?.once('data', () => child.stderr?.destroy());
    expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(0);
    expect((await readRunRecord(directory)).sessions.at(-1)?.outcome).toBe('done');
  });

  test.each([
    ['| true', 0, ''],
    ['> /dev/full', 6, 'error OUTPUT_LOST'],
  ])('a result nobody takes, %s: exit code %i, no stack', async (sink, exitCode, message) => {
    const line = `{ "$0" core/bin.mjs describe; echo "code $?" >&2; } ${sink}`;
    const { errors } = await finish(
      spawn('sh', ['-c', line, process.execPath], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    expect(errors).toContain(`code ${exitCode}\n`);
    expect(errors).toContain(message);
    expect(errors).not.toMatch(/^\s+at /m);
  });

  test('without an adapter: exit code 3 and the way to get one; doctor says the same', async () => {
    const none = {
      VK_DRIVER_FILES: '/nonexistent.json',
      VK_ICD_FILENAMES: '/nonexistent.json',
      LD_LIBRARY_PATH: '',
      REASONGEN_DRIVER: '',
    };
    const cli = (...args: string[]): Promise<CommandEnd> =>
      finish(start(['--import', 'tsx', 'core/cli.ts', ...args], none));
    const { code, errors } = await cli('run', preset, '--run-dir', join(folder, 'none'));
    expect({ code, errors }).toMatchObject({ code: 3, errors: expect.stringContaining('reasongen doctor') });
    const doctor = await cli('doctor');
    expect(doctor).toMatchObject({
      code: 3,
      output: expect.stringMatching(/missing +adapter[^\n]*\n[^\n]*npx reasongen setup/),
    });
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });

  test('a handler that never settles is named at the end', async () => {
    const plugin = join(folder, 'hang.ts');
    const api = relative(folder, join(root, 'core/plugin.ts'));
    writeFileSync(
      plugin,
      `import { defineExtension, definePlugin, z } from '${api}';
       const hang = defineExtension({ name: 'hang', summary: '', options: z.strictObject({}), create: () => ({ finish: () => new Promise(() => {}) }) });
       export default definePlugin({ name: 'hang', provides: [hang] });`,
    );
    const file = join(folder, 'hang.yaml');
    writeFileSync(file, `plugins: [${plugin}, ${components}]\n${practice}extensions: [hang]\n`);
    const { code, errors } = await finish(program('run', file, '--run-dir', join(folder, 'hang')));
    expect(errors).toContain('extension "hang" of plugin "hang", hook "finish"');
    expect(code).toBe(1);
  });
});

/** A run that goes on until it is stopped, in a process group of its own. */
function longRun(directory: string, environment: Readonly<Record<string, string>> = {}): ChildProcess {
  const settings = ['steps=1000', 'pause=50', 'extensions=[counter]'].flatMap((text) => ['--set', text]);
  return start(['core/bin.mjs', 'run', preset, '--run-dir', directory, ...settings], environment);
}

/** Acts when the text is seen for the first time. */
function once(text: string, act: () => void): (seen: string) => void {
  let isDone = false;
  return (seen) => {
    if (isDone || !seen.includes(text)) return;
    isDone = true;
    act();
  };
}

function signalProgram(
  supervisor: ChildProcess,
  signal: NodeJS.Signals,
  receivers: readonly ('supervisor' | 'child')[],
): void {
  const pid = supervisor.pid ?? 0;
  const [child = 0] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  for (const receiver of receivers) process.kill(receiver === 'child' ? child : pid, signal);
}
