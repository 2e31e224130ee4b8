/** The command line, in this process: nothing is computed. `program.test.ts` runs it as a program. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shellWord } from '../../core/errors.ts';
import { commandLine, type CommandEnd } from '../support/command-line.ts';

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

const inProcess = (...args: string[]): Promise<CommandEnd> => commandLine(args, { REASONGEN_NO_DRIVER: '1' });

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

  test('whoever asks for JSON gets the mistakes in it as well, with the exit code of the message', async () => {
    const twoMistakes = write('mistaken.yaml', 'recipe: { use: practice, stepz: 3 }\nseed: many\n');
    const cases: readonly (readonly [args: readonly string[], code: number, errors: readonly string[]])[] = [
      [['check', twoMistakes], 2, ['UNKNOWN_OPTION', 'BAD_OPTION']],
      [['check', join(folder, 'absent.yaml')], 2, ['PRESET_NOT_FOUND']],
      [['check', '~/preset.yaml'], 2, ['NOT_EXPANDED']],
      [['check', preset, '--set', 'recipe.nothing=1'], 2, ['UNKNOWN_OPTION']],
      [['runs', join(folder, 'absent')], 2, ['NO_RUNS']],
      [['evaluate', join(folder, 'absent.yaml')], 2, ['PRESET_NOT_FOUND']],
      [['compare', folder, folder], 2, ['NOTHING_TO_COMPARE']],
      [['describe', 'nothing'], 2, ['UNKNOWN_NAME']],
    ];
    for (const [args, code, errors] of cases) {
      const end = await inProcess(...args, '--json');
      const { ok, errors: told } = JSON.parse(end.output) as {
        readonly ok: boolean;
        readonly errors: readonly Readonly<Record<string, unknown>>[];
      };
      expect(end.code, args.join(' ')).toBe(code);
      expect(ok).toBe(false);
      expect(
        told.map((error) => error['code']),
        args.join(' '),
      ).toEqual(errors);
      for (const error of told) {
        expect(end.errors).toContain(error['code']);
        expect(error).toMatchObject({ message: expect.any(String) as string, exitCode: code });
      }
    }
  });

  test('runs tells a run that goes on from one whose process is gone, by who holds its lock', async () => {
    const place = join(folder, 'states');
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const here = {
      id: 'x',
      pid: process.pid,
      host: hostname(),
      processStart: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19],
    };
    const elsewhere = { ...here, host: 'elsewhere' };
    const now = Date.now() / 1000;
    const cases: readonly (readonly [name: string, state: string, lock: string | undefined, touched?: number])[] = [
      ['without-lock', 'interrupted', undefined],
      ['empty-lock', 'interrupted', ''],
      ['gone', 'interrupted', JSON.stringify({ ...here, pid: 2 ** 22 + 1 })],
      ['number-in-use-again', 'interrupted', JSON.stringify({ ...here, processStart: '1' })],
      ['earlier-start', 'interrupted', JSON.stringify({ ...here, boot: 'another' })],
      ['living', 'running', JSON.stringify(here)],
      ['living-and-silent', 'running', JSON.stringify(here), now - 3600],
      ['elsewhere', 'running', JSON.stringify(elsewhere)],
      ['elsewhere-silent', 'interrupted', JSON.stringify(elsewhere), now - 3600],
      ['elsewhere-from-the-future', 'interrupted', JSON.stringify(elsewhere), now + 3600],
    ];
    const sessions = [{ command: [], startedAt: new Date().toISOString() }];
    for (const [name, , lock, touched] of cases) {
      mkdirSync(join(place, name), { recursive: true });
      const record = {
        format: 'reasongen-run',
        version: 1,
        name,
        versions: {},
        adapter: {},
        seeds: {},
        hashes: {},
        sessions,
      };
      writeFileSync(join(place, name, 'run.json'), JSON.stringify(record));
      if (lock === undefined) continue;
      writeFileSync(join(place, name, 'lock'), lock);
      if (touched !== undefined) utimesSync(join(place, name, 'lock'), touched, touched);
    }
    const { output } = await inProcess('runs', place, '--json');
    const listed = JSON.parse(output) as readonly { readonly name: string; readonly state: string }[];
    expect(Object.fromEntries(listed.map(({ name, state }) => [name, state]))).toEqual(
      Object.fromEntries(cases.map(([name, state]) => [name, state])),
    );
  });

  const lines: readonly (readonly [words: readonly string[], expected: readonly string[]])[] = [
    [
      ['reasongen', 'che'],
      ['check', 'checkpoint'],
    ],
    [['reasongen', 'evaluate', '--we'], ['--weights']],
    [['reasongen', '--debug', 'completion', 'f'], ['fish']],
    [['reasongen', '--set', 'a=b', 'run', '--run'], ['--run-dir']],
    [['reasongen', 'data', 'prompts', '--obj'], ['--objects']],
    [['reasongen', 'check', 'my'], ['my preset.yaml']],
  ];
  const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0;
  /** What each shell is given to say what it would offer: on a line each. */
  const asked: Readonly<Record<string, (script: string, words: readonly string[]) => readonly string[]>> = {
    // Readline takes the sign = for a word.
    bash: (script, words) => {
      const split = words.flatMap((word) => word.split(/(=)/)).map((word) => `'${word}'`);
      const line = `COMP_WORDS=(${split.join(' ')}); COMP_CWORD=${split.length - 1}; _reasongen`;
      return ['-c', `${script}\n${line}; printf '%s\\n' "\${COMPREPLY[@]}"`];
    },
    // The functions that show what is offered print it here.
    zsh: (script, words) => [
      '-fc',
      `compdef() { }; ${script}
      _describe() { print -l -- \${\${(@M)\${(P)2}:#\${words[CURRENT]}*}%%:*} }
      _files() { [[ -n \${words[CURRENT]} && \${words[CURRENT]} != -* ]] && print -l -- \${words[CURRENT]}*(N) }
      words=(${words.join(' ')}); CURRENT=\${#words}; _reasongen; true`,
    ],
    fish: (script, words) => ['-c', `${script}\ncomplete -C '${words.join(' ')}'`],
  };
  describe.each(Object.entries(asked))('%s', (shell, askFor) => {
    // Skipped, and shown as such, where the machine does not have it.
    test.skipIf(!has(shell)).each(lines)('completes %j', async (words, expected) => {
      writeFileSync(join(folder, 'my preset.yaml'), '');
      const { output } = await inProcess('completion', shell);
      const offered = execFileSync(shell, askFor(output, words), { cwd: folder }).toString();
      const names = offered.split('\n').map((line) => line.replace(/\t.*/, ''));
      expect(names.filter(Boolean).sort()).toEqual(expected);
    });
  });

  test('a path in a command of a message is one word to a shell, whatever it is called', () => {
    const names = ['runs/first', "it's", 'a "b" c', '-x', '$HOME', '`id`', '日本 é', 'a\nb', "tab\t'\\", '', '*', '~'];
    const random = fc.sample(fc.string({ unit: 'grapheme', maxLength: 20 }), { numRuns: 100, seed: 1 });
    const all = [...names, ...random].map((name) => name.replaceAll('\0', ''));
    // The shell itself says what it takes the words for.
    const script = `printf '%s\\0' ${all.map(shellWord).join(' ')}`;
    const env = { ...process.env, LC_ALL: 'C.UTF-8' };
    expect(execFileSync('bash', ['-c', script], { env }).toString().split('\0').slice(0, -1)).toEqual(all);
    expect(shellWord('runs/first')).toBe('runs/first');
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

  test('--adapter plans for a card that is not here, and says from where it is known', async () => {
    const { code, output, errors } = await inProcess('check', preset, '--adapter', 'h100');
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(output).toContain(
      'adapter: NVIDIA H100 (80 GB), by what is known of it; buffers up to 2.0 GiB, 76.0 GiB of memory left',
    );
    expect(output).toMatch(/^ {2}known: .*gpuweb#6338/m);
    expect(output).toContain('memory: 3.0 MiB on the device');
    const json = await inProcess('check', preset, '--adapter', 'arc', '--json');
    expect(JSON.parse(json.output)).toMatchObject({ ok: true, adapter: expect.stringContaining('Arc B580') });
    const unknown = await inProcess('check', preset, '--adapter', 'h10');
    expect(unknown).toMatchObject({ code: 2, errors: expect.stringContaining('Allowed choices are h100') });
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
