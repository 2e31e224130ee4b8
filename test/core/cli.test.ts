/** The command line: in this process where nothing is computed, as a program where signals, exit codes and drivers count. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../core/cli.ts';
import { readRunRecord } from '../../core/io/records.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const components = join(root, 'test/cases/components.ts');
let folder: string;
let preset: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reasongen-cli-'));
  preset = write('preset.yaml', 'recipe: practice\n');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, `plugins: [${components}]\ndataset: colors\ntokenizer: words\n${text}`);
  return file;
}

interface Result {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

async function inProcess(...args: string[]): Promise<Result> {
  let [output, errors] = ['', ''];
  const code = await main(args, {
    output: { write: (text) => void (output += text) },
    errors: { write: (text: string) => ((errors += text), true) },
    environment: { REASONGEN_NO_DRIVER: '1' },
  });
  return { code, output, errors };
}

function start(args: readonly string[], environment: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, _: process.execPath, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
}

/** Waits for the end; `onError` sees standard error as it grows. */
function finish(child: ChildProcess, onError: (errors: string) => void = () => {}): Promise<Result> {
  let [output, errors] = ['', ''];
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  child.stderr?.on('data', (chunk) => {
    errors += String(chunk);
    onError(errors);
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output, errors })));
}

const program = (...args: string[]): ChildProcess => start(['core/bin.mjs', ...args]);

describe('arguments', () => {
  test.each([
    ['an unknown command', ['rnu'], 'Did you mean run?'],
    ['a missing argument', ['run'], "missing required argument 'preset'"],
    ['an unknown option', ['check', 'a.yaml', '--sett', 'a=1'], 'Did you mean --set?'],
    ['a count that is none', ['generate', '--preset', 'a.yaml', '--n', 'few'], 'It must be a whole number'],
    [
      'a home that no shell expanded',
      ['run', 'a.yaml', '--run-dir', '~/runs'],
      '"~/runs" has ~ in it, and paths are taken as they stand',
    ],
    [
      'a variable that no shell expanded',
      ['export', 'a', '--out', '/b/${HOME}/c'],
      '"/b/${HOME}/c" has ${HOME} in it, and paths are taken as they stand',
    ],
  ])('%s: exit code 2 and a hint', async (_, args, hint) => {
    const { code, errors } = await inProcess(...args);
    expect(code).toBe(2);
    expect(errors).toContain(hint);
  });

  test('help and version are no failures', async () => {
    expect(await inProcess('--help')).toMatchObject({ code: 0, output: expect.stringContaining('resume') });
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string };
    expect(await inProcess('--version')).toMatchObject({ code: 0, output: `${version}\n` });
  });
});

describe('paths that no shell has expanded are refused before anything else', () => {
  test.each([
    [['resume', '~x/run'], 'directory "~x/run"'],
    [['report', '$HOME/runs/x'], 'directory "$HOME/runs/x"'],
    [['evaluate', '~/run'], 'preset "~/run"'],
    [['evaluate', '--pictures', '$HOME/p'], '--pictures "$HOME/p"'],
    [['runs', '~/runs'], 'folder "~/runs"'],
    [['compare', '~/a', 'b'], 'a "~/a"'],
    [['export', '~/m', '--out', 'o'], 'from "~/m"'],
    [['export', 'x', '--base', '~/b', '--out', 'o'], '--base "~/b"'],
    [['checkpoint', 'verify', '${RUNS}/a'], 'path "${RUNS}/a"'],
    [['generate', '--model', '~/janus'], '--model "~/janus"'],
    [['generate', '--preset', '~/p.yaml'], '--preset "~/p.yaml"'],
    [['generate', '--preset', 'p.yaml', '--weights', '$HOME/w'], '--weights "$HOME/w"'],
    [['ask', 'what', '--image', 'a.png', '--image', '*.png'], '--image "*.png"'],
    [['ask', 'what', '--turns', '%HOME%/t.txt'], '--turns "%HOME%/t.txt"'],
    [['describe', '--plugin', '~/p.ts'], '--plugin "~/p.ts"'],
    [['plugins', '~/p.yaml'], 'preset "~/p.yaml"'],
    [['run', 'runs/[ab].yaml'], 'preset "runs/[ab].yaml"'],
  ])('%s', async (args, place) => {
    const { code, errors } = await inProcess(...args);
    expect(errors.split('\n')[0]).toBe(`NOT_EXPANDED  ${place}`);
    expect(code).toBe(2);
  });

  test('a question, a prompt and a hub are no paths', async () => {
    const { errors } = await inProcess('ask', 'what is $5 * 3?', '--model', 'hub:owner/~name');
    expect(errors).not.toMatch(/NOT_EXPANDED/);
  });
});

describe('for programs and shells', () => {
  test('every help shows the options of all commands and an example', async () => {
    for (const command of ['run', 'evaluate', 'doctor', 'generate', 'runs']) {
      const { output } = await inProcess(command, '--help');
      for (const part of ['--set <path=value>', '--run-dir', '--debug', `npx reasongen ${command}`])
        expect(output).toContain(part);
    }
  });

  test('check --json, describe --json, runs --json print JSON and nothing else', async () => {
    const checked = await inProcess('check', preset, '--json');
    expect(JSON.parse(checked.output)).toMatchObject({ ok: true, stages: [{ stage: 'preset', totalBytes: 3 << 20 }] });
    const described = await inProcess('describe', 'reward', 'warmth', '--plugin', components, '--json');
    expect(JSON.parse(described.output)).toMatchObject([{ slot: 'reward', components: [{ name: 'warmth' }] }]);
    mkdirSync(join(folder, 'broken'), { recursive: true });
    writeFileSync(join(folder, 'broken/run.json'), '{');
    const listed = await inProcess('runs', folder, '--json');
    expect(JSON.parse(listed.output)).toContainEqual({
      directory: join(folder, 'broken'),
      state: 'unreadable',
      note: 'it is not a JSON object',
    });
    rmSync(join(folder, 'broken'), { recursive: true });
  });

  test.each([
    [['reasongen', 'che'], 'checkpoint check'],
    [['reasongen', 'evaluate', '--we'], '--weights'],
    [['reasongen', '--debug', 'completion', 'f'], 'fish'],
  ])('bash completes %j', async (words, expected) => {
    const { output } = await inProcess('completion', 'bash');
    const line = `COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; _reasongen; echo "\${COMPREPLY[*]}"`;
    expect(execFileSync('bash', ['-c', `${output}\n${line}`]).toString()).toBe(`${expected}\n`);
  });

  test('errors speak of the flags that were typed', async () => {
    const { errors } = await inProcess(
      'generate',
      '--preset',
      preset,
      '--count',
      '0',
      '--weights',
      '/nowhere',
      '--prompt',
      'a',
    );
    expect(errors).toContain('--weights "/nowhere"');
    expect(errors).not.toMatch(/recipe[.=]/);
  });
});

describe('check', () => {
  test('says what a sound preset does and needs, and opens nothing', async () => {
    const { code, output, errors } = await inProcess('check', preset, '--set', 'steps=12');
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(output).toContain('12 steps');
    expect(output).toContain('memory: 3.0 MiB on the device (weights 1.0 MiB, activations 2.0 MiB)');
    expect(output).toContain('none is ready');
  });

  test('every mistake at once: exit code 2, places, no stack', async () => {
    const file = write('wrong.yaml', 'seed: much\nrecipe: { use: practise }\nrewards: [{ use: warmth, gian: 1 }]\n');
    const { code, errors } = await inProcess('check', file);
    expect(code).toBe(2);
    expect(errors).toContain(
      `UNKNOWN_COMPONENT  ${file}:5:16\n  recipe: there is no recipe "practise". Did you mean "practice"?`,
    );
    expect(errors).toContain(
      `UNKNOWN_OPTION  ${file}:6:26\n  rewards[0].gian is not an option of reward "warmth". Did you mean "gain"?`,
    );
    expect(errors.match(/^[A-Z_]+  /gm)).toHaveLength(3);
    expect(errors).not.toMatch(/^\s+at /m);
    expect((await inProcess('check', file, '--debug')).errors).toMatch(/^\s+at /m);
  });

  test('a preset that does not exist', async () => {
    const { code, errors } = await inProcess('check', join(folder, 'prset.yaml'));
    expect(code).toBe(2);
    expect(errors).toContain('Did you mean "preset.yaml"?');
  });
});

describe('show and describe', () => {
  test('show: values with their places', async () => {
    const { code, output } = await inProcess('show', preset, '--set', 'recipe.steps=4');
    expect(code).toBe(0);
    expect(output).toMatch(/^ {2}steps: 4 +# --set recipe\.steps=4$/m);
    expect(output).toMatch(/^ {2}use: practice +# preset\.yaml:4:9$/m);
    expect(output).toMatch(/^ {2}warmup: 0 +# default$/m);
  });

  test('describe: options from their declarations', async () => {
    const { output } = await inProcess('describe', 'reward', 'warmth', '--plugin', components);
    expect(output).toBe(
      [
        'reward "warmth" (plugin test-components): how red a drawing is',
        '  gain  number             factor of the score (default 1)',
        '  mode  "mean" | "median"  how pixels are summed up (default "mean")',
        '  file  string             a table of colors (optional)',
        '',
      ].join('\n'),
    );
    const { code, errors } = await inProcess('describe', 'rewrad');
    expect({ code, errors }).toMatchObject({ code: 2, errors: expect.stringContaining('Did you mean "reward"?') });
  });
});

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
    const cli = (...args: string[]): Promise<Result> =>
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
    const file = write('hang.yaml', 'recipe: practice\nextensions: [hang]\n');
    writeFileSync(file, readFileSync(file, 'utf8').replace('plugins: [', `plugins: [${plugin}, `));
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
