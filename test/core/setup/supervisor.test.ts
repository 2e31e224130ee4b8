/** What the process above the program says of its end, and what it leaves out of what drivers say. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../core/setup/cache.mjs';
import { chatterFilter } from '../../../core/setup/chatter.mjs';
import { launch } from '../../../core/setup/launch.mjs';
import { root, setupModule, spawnResult, useMachine } from '../../support/machine.ts';

useMachine();

/** What a program calls itself is what the system shows of it; not so where Node is started through a loader, as in the root of `npm run verify:matrix`. */
const isNamedByItself = spawnSync(
  process.execPath,
  [
    '-e',
    "process.title = 'npm exec it'; process.stdout.write(require('fs').readFileSync('/proc/self/cmdline', 'latin1'))",
  ],
  { encoding: 'utf8' },
).stdout.startsWith('npm exec it');

describe('supervisor', () => {
  async function supervise(script: string, env: NodeJS.ProcessEnv = {}): Promise<{ code: number; shown: string }> {
    let shown = '';
    const stderr = { write: (text: string) => (shown += text) };
    const code = await launch(process.execPath, ['-e', script], { env: { PATH: process.env['PATH'], ...env }, stderr });
    return { code, shown };
  }

  it('returns the exit code of the child and passes its errors on', async () => {
    expect(await supervise('console.error("one\\ntwo"); process.exitCode = 7')).toEqual({
      code: 7,
      shown: 'one\ntwo\n',
    });
  });

  it('drops driver chatter', async () => {
    const script = 'console.error("Warning: maxX artificially reduced from 9 to 8.\\nMESA: warning: y\\nkept")';
    expect((await supervise(script)).shown).toBe('kept\n');
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ])('tells %s by 128 + its number', async (signal, code) => {
    expect(await supervise(`process.kill(process.pid, "${signal}")`)).toEqual({ code, shown: '' });
  });

  it.each(['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL'])('explains a crash by %s', async (signal) => {
    const { code, shown } = await supervise(`process.kill(process.pid, "${signal}")`);
    expect(code).toBe(70);
    expect(shown).toContain(`DRIVER_CRASH: the process died by ${signal}`);
    expect(shown).toContain('hint: no run had begun; try it again');
  });

  it('explains a SIGKILL, which systems without memory send', async () => {
    const { code, shown } = await supervise('process.kill(process.pid, "SIGKILL")');
    expect(code).toBe(137);
    expect(shown).toMatch(/error KILLED: .*SIGKILL.*memory.*\n {2}hint: no run had begun; try it again/);
  });

  it('says whether a run that was killed has saved anything, and the command that goes on with it', () => {
    const folder = mkdtempSync(join(tmpdir(), "reasongen it's "));
    const directory = join(folder, 'run');
    const preset = join(packageRoot, 'presets/nano/sft.yaml');
    /** Kills the program when it is about to make what `path` says. */
    const killed = (path: RegExp, args: readonly string[]): string => {
      const kill = `
        import files from 'node:fs/promises';
        import { syncBuiltinESMExports } from 'node:module';
        const { rename } = files;
        files.rename = async (from, to) => {
          if (process.env.REASONGEN_SUPERVISED && ${String(path)}.test(to)) process.kill(process.pid, 'SIGKILL');
          return rename(from, to);
        };
        syncBuiltinESMExports();`;
      const { code, stderr } = spawnResult([join(packageRoot, 'core/bin.mjs'), ...args], {
        ...process.env,
        NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(kill)}`,
      });
      expect(code, stderr).toBe(137);
      return /hint: (.*)/.exec(stderr)?.[1] ?? '';
    };
    const settings = ['recipe.steps=3', 'recipe.batch=2', 'recipe.saveEvery=1', 'recipe.validation=null'];
    const run = ['run', preset, '--run-dir', directory, ...settings.flatMap((each) => ['--set', each])];
    const goOn = `go on with \`reasongen resume '${directory.replaceAll("'", String.raw`'\''`)}'\``;
    try {
      expect(killed(/preset\.yaml$/, run)).toMatch(/^no run had begun; try it again/);
      rmSync(directory, { recursive: true, force: true });
      expect(killed(/step-0+1$/, run)).toContain(`no checkpoint had been saved; ${goOn}`);
      expect(killed(/step-0+2$/, ['resume', directory])).toContain(`the last checkpoint is whole; ${goOn}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    ['run', 'no run had begun; try it again, with more free memory'],
    ['evaluate', 'no run had begun; try it again, with more free memory'],
    ['generate', 'the same command goes on behind the pictures that are whole, with more free memory'],
    ['ask', 'try it again, with more free memory'],
  ])('says how `%s` goes on after a SIGKILL as it begins', (command, hint) => {
    // The program itself, whose child ends as it begins.
    const kill = 'if (process.env.REASONGEN_SUPERVISED) process.kill(process.pid, "SIGKILL")';
    const { code, stderr } = spawnResult([join(packageRoot, 'core/bin.mjs'), command], {
      ...process.env,
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(kill)}`,
    });
    expect(code).toBe(137);
    expect(stderr).toContain('error KILLED');
    expect(stderr).toContain(`hint: ${hint}`);
  });

  it('names a program that cannot be started', async () => {
    await expect(launch(join(root, 'nothing'), [])).rejects.toMatchObject({ code: 'CANNOT_START', exitCode: 3 });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('passes %s on once and waits for the child', async (signal) => {
    const child =
      'let n = 0; process.on(process.argv[1], () => { n++; setTimeout(() => { console.log("got " + n); process.exit(5) }, 200) }); setInterval(() => {}, 1000); console.log("ready")';
    const program = `import { launch } from ${JSON.stringify(join(packageRoot, 'core/setup/launch.mjs'))}; process.exitCode = await launch(process.execPath, ['-e', ${JSON.stringify(child)}, '${signal}'])`;
    // A session of its own has no terminal, whatever the tests are run from.
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    parent.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (chunk.toString().includes('ready')) parent.kill(signal);
    });
    const code = await new Promise((resolve) => parent.on('close', resolve));
    expect({ code, output }).toEqual({ code: 5, output: 'ready\ngot 1\n' });
  });

  it.each([
    ['nohup', 'nohup "$@"', true],
    ['a trap of the shell that waits', 'trap \'\' HUP; "$@"; exit 0', true],
    ['neither', '"$@"; exit 0', false],
  ])('knows whether hang-ups are to be ignored: %s', async (_, script, isIgnored) => {
    const program = `import { ignoresHangUps } from ${setupModule('starter.mjs')}; console.log(ignoresHangUps())`;
    const child = spawn('bash', ['-c', script, 'bash', process.execPath, '--input-type=module', '-e', program], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await new Promise((resolve) => child.on('close', resolve));
    expect(output).toBe(`${isIgnored}\n`);
  });

  it.skipIf(!isNamedByItself).each([
    ['npm', 'npm exec program', 'npm'],
    ['the shell that npm starts programs with', 'npm exec program', 'sh'],
    ['nobody: a shell that somebody types into may go', 'bash', 'none'],
  ])('ends with %s', async (_, title, killed) => {
    const program = `import { watchStarters } from ${setupModule('starter.mjs')}; watchStarters({ onGone: () => { console.log('gone'); process.exit() }, onInterrupt: () => {}, milliseconds: 50 }); setTimeout(() => { console.log('stayed'); process.exit() }, ${killed === 'none' ? 600 : 20_000}); console.log('ready', process.pid, process.ppid);`;
    const npm = `process.title = ${JSON.stringify(title)}; require('child_process').spawn('sh', ['-c', '"$0" --input-type=module -e "$1"; exit 0', process.execPath, ${JSON.stringify(program)}], { stdio: 'inherit' }).on('exit', () => {}); setInterval(() => {}, 1000)`;
    const outer = spawn(process.execPath, ['-e', npm], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    const end = new Promise<void>((resolve) => {
      outer.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const [, shell] = /ready \d+ (\d+)\n$/.exec(output) ?? [];
        if (shell !== undefined)
          setTimeout(() => (killed === 'sh' ? process.kill(Number(shell), 'SIGKILL') : outer.kill('SIGKILL')), 200);
        if (/gone|stayed/.test(output)) resolve();
      });
    });
    await end;
    outer.kill('SIGKILL');
    expect(output).toContain(killed === 'none' ? 'stayed' : 'gone');
  });

  const hasDash = spawnSync('dash', ['-c', 'exit 0']).status === 0;
  it.skipIf(!hasDash || !isNamedByItself).each([
    ['a SIGINT that npm passes on to it', 'kept', (shell: number) => process.kill(shell, 'SIGINT')],
    [
      'neither a pause nor its end',
      'stayed',
      (shell: number, program: number) => {
        for (const pid of [shell, program]) process.kill(pid, 'SIGSTOP');
        setTimeout(() => [shell, program].forEach((pid) => process.kill(pid, 'SIGCONT')), 200);
      },
    ],
    [
      'nor a SIGINT that the program gets as well, as from a terminal',
      'stayed',
      (shell: number, program: number) => [shell, program].forEach((pid) => process.kill(pid, 'SIGINT')),
    ],
  ])('hears of a shell that waits: %s', async (_, expected, act) => {
    const program = `import { noteSignal, watchStarters } from ${setupModule('starter.mjs')};
      process.on('SIGINT', noteSignal);
      watchStarters({ onGone: () => {}, onInterrupt: () => { console.log('kept'); process.exit() }, milliseconds: 50 });
      setTimeout(() => { console.log('stayed'); process.exit() }, 1500); console.log('ready', process.pid, process.ppid);`;
    const npm = `process.title = 'npm exec program'; require('child_process').spawn('dash', ['-c', '"$0" --input-type=module -e "$1"; exit 0', process.execPath, ${JSON.stringify(program)}], { stdio: 'inherit' }).on('exit', () => process.exit())`;
    const outer = spawn(process.execPath, ['-e', npm], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    let output = '';
    outer.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const [, own, shell] = /ready (\d+) (\d+)\n$/.exec(output) ?? [];
      if (own !== undefined) setTimeout(() => act(Number(shell), Number(own)), 300);
    });
    await new Promise((resolve) => outer.on('close', resolve));
    expect(output).toMatch(new RegExp(`\n${expected}\n$`));
  });

  it('tells the child of a terminal behind the filter', () => {
    const script = 'process.stdout.write(`${process.stderr.isTTY} ${process.stderr.columns}`)';
    const output = execFileSync(
      process.execPath,
      ['--import', join(packageRoot, 'core/setup/supervised.mjs'), '-e', script],
      {
        env: { ...process.env, REASONGEN_TERMINAL: '97' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    expect(output.toString()).toBe('true 97');
  });
});

describe('chatter filter', () => {
  function filtered(chunks: string[], end = true): string[] {
    const written: string[] = [];
    const filter = chatterFilter((text: string) => written.push(text), { patience: 10_000 });
    for (const chunk of chunks) filter.push(Buffer.from(chunk));
    if (end) filter.end();
    return written;
  }

  it('recognizes chatter that comes in pieces', () => {
    expect(
      filtered(['WARNING: lava', 'pipe is not a conformant vulkan implementation\nreal', ' error\n']).join(''),
    ).toBe('real error\n');
  });

  it('shows a progress bar at once', () => {
    expect(filtered(['\r[==  ] 40 %'], false)).toEqual(['\r[==  ] 40 %']);
    expect(filtered(['\r[==  ] 40 %', '\r[=== ] 60 %', '\ndone\n'], false).join('')).toBe(
      '\r[==  ] 40 %\r[=== ] 60 %\ndone\n',
    );
  });

  it('shows an unfinished line after a moment', async () => {
    const written: string[] = [];
    chatterFilter((text: string) => written.push(text), { patience: 1 }).push(Buffer.from('password: '));
    await expect.poll(() => written.join('')).toBe('password: ');
  });

  it('keeps characters whole that are cut between chunks', () => {
    const bytes = Buffer.from('ü✓\n');
    const written: string[] = [];
    const filter = chatterFilter((text: string) => written.push(text));
    for (const byte of bytes) filter.push(Buffer.from([byte]));
    filter.end();
    expect(written.join('')).toBe('ü✓\n');
  });
});
