import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  driverSources,
  formatSources,
  parseDeb822Sources,
  parseOneLineSources,
  systemSources,
} from '../../../core/setup/apt-sources.mjs';
import { createCommandLine } from '../../../core/cli/command-line.ts';
import { packageRoot, shaderCacheDirectory, withTemporaryFolder } from '../../../core/setup/cache.mjs';
import { chatterFilter } from '../../../core/setup/chatter.mjs';
import { compareDebianVersions, majorVersion } from '../../../core/setup/debian-version.mjs';
import { describeAdapter } from '../../../core/setup/describe-adapter.mjs';
import { findHardware } from '../../../core/setup/hardware.mjs';
import { launch } from '../../../core/setup/launch.mjs';
import { findLavapipe, parseInstallPlan } from '../../../core/setup/lavapipe.mjs';
import { environmentFor } from '../../../core/setup/environment.mjs';
import { commandOf, deviceCommands } from '../../../core/setup/reasongen.mjs';
import { checkNode, outdatedPackages } from '../../../core/setup/setup.mjs';
import { extractTar } from '../../../core/setup/tar.mjs';
import { driverEnvironment, knownDriver, prepareDriver } from '../../../core/setup/vulkan.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'reasongen-setup-test-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text = ''): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

/** The environment of a user with an empty cache and no wishes. */
function freshEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: root, REASONGEN_CACHE: join(root, 'cache'), ...extra };
}

describe('apt sources', () => {
  const oneLine = [
    '# comment',
    'deb http://deb.example.org/debian bookworm main contrib # trailing',
    'deb-src http://deb.example.org/debian bookworm main',
    'deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] https://vendor.example.org/apt stable main',
  ].join('\n');
  const deb822 = [
    '# a comment before',
    'Types: deb deb-src',
    '# a comment inside',
    'URIs: http://deb.example.org/debian',
    'Suites: bookworm bookworm-updates',
    'Components: main',
    'Signed-By:',
    ' -----BEGIN PGP PUBLIC KEY BLOCK-----',
    ' .',
    ' abc',
    '',
    'Enabled: no',
    'Types: deb',
    'URIs: http://disabled.example.org',
    'Suites: bookworm',
    'Components: main',
  ].join('\n');

  it('reads the one-line format', () => {
    expect(parseOneLineSources(oneLine)).toEqual([
      { uri: 'http://deb.example.org/debian', suite: 'bookworm', components: ['main', 'contrib'], options: '' },
      {
        uri: 'https://vendor.example.org/apt',
        suite: 'stable',
        components: ['main'],
        signedBy: '/usr/share/keyrings/a.gpg',
        options: 'arch=amd64',
      },
    ]);
  });

  it('reads the deb822 format: several suites, keys inside, disabled stanzas', () => {
    const sources = parseDeb822Sources(deb822);
    expect(sources.map(({ uri, suite }) => `${uri} ${suite}`)).toEqual([
      'http://deb.example.org/debian bookworm',
      'http://deb.example.org/debian bookworm-updates',
    ]);
    expect(sources[0]?.signedBy).toContain('\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc');
  });

  it('takes the distribution only, adds its backports, and survives writing and reading', () => {
    put('etc/apt/sources.list', oneLine);
    put('etc/apt/sources.list.d/debian.sources', deb822);
    put('etc/apt/sources.list.d/old.sources.save', deb822);
    const chosen = driverSources(systemSources(root), 'bookworm', true);
    expect(chosen.map(({ suite, components }) => `${suite} ${components.join('+')}`)).toEqual([
      'bookworm main+contrib',
      'bookworm main',
      'bookworm-updates main',
      'bookworm-backports main+contrib',
      'bookworm-backports main',
    ]);
    expect(
      driverSources(systemSources(root), 'bookworm', false).every(({ suite }) => !suite.endsWith('backports')),
    ).toBe(true);
    expect(parseDeb822Sources(formatSources(chosen))).toEqual(chosen);
  });
});

describe('Debian versions', () => {
  it.each([
    ['25.0.7-2~bpo12+1', '25.0.7-2', -1],
    ['22.3.6-1+deb12u1', '24.0.0-1', -1],
    ['1:1.0', '2.0', 1],
    ['1.10', '1.9', 1],
    ['1.0~rc1', '1.0', -1],
    ['1.0a', '1.0+', -1],
    ['2.4.114-1+b1', '2.4.114-1', 1],
    ['1.0-1', '1.0-1', 0],
    ['1.02', '1.2', 0],
  ])('%s against %s', (left, right, sign) => {
    expect(Math.sign(compareDebianVersions(left, right))).toBe(sign);
    expect(Math.sign(compareDebianVersions(right, left)) + sign).toBe(0);
  });

  it('knows the major number, also behind an epoch', () => {
    expect(majorVersion('25.0.7-2~bpo12+1')).toBe(25);
    expect(majorVersion('1:22.3.6-1')).toBe(22);
    expect(majorVersion('')).toBeNaN();
  });

  it('reads what apt would install, upgrades included', () => {
    const plan =
      'Inst libdrm2 [2.4.114-1] (2.4.123-1~bpo12+1 Debian Backports [amd64])\nInst libvulkan1 (1.3.239.0-1 Debian [amd64]) []\nConf libdrm2 (2.4.123 x [amd64])\n';
    expect(parseInstallPlan(plan)).toEqual([
      { name: 'libdrm2', version: '2.4.123-1~bpo12+1' },
      { name: 'libvulkan1', version: '1.3.239.0-1' },
    ]);
  });
});

describe('finding hardware', () => {
  const look = () => findHardware({ root, cache: join(root, 'cache'), env: {} });

  it('says that there is no GPU, also where software drivers are installed', () => {
    put('usr/share/vulkan/icd.d/lvp_icd.x86_64.json');
    expect(look()).toMatchObject({ code: 'NO_GPU', hint: expect.stringContaining('--gpus all') });
  });

  it('takes the drivers of a render node and leaves software and 32-bit ones out', () => {
    put('dev/dri/renderD128');
    put('usr/share/vulkan/icd.d/lvp_icd.x86_64.json');
    put('usr/share/vulkan/icd.d/radeon_icd.i686.json');
    const radeon = put('usr/share/vulkan/icd.d/radeon_icd.x86_64.json');
    expect(look()).toEqual({ files: [radeon], folders: [] });
  });

  it('finds the driver of NVIDIA in a container', () => {
    put('dev/nvidia0');
    put('usr/share/vulkan/icd.d/radeon_icd.x86_64.json');
    const description = put('usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json');
    const library = put('usr/local/nvidia/lib64/libGLX_nvidia.so.0');
    expect(look()).toEqual({ files: [description], folders: [dirname(library)] });
  });

  it('describes the driver of NVIDIA itself where only the library was mounted', () => {
    put('dev/nvidia0');
    const library = put('usr/lib/x86_64-linux-gnu/libEGL_nvidia.so.0');
    const found = look();
    const [file = ''] = 'files' in found ? found.files : [];
    expect(JSON.parse(readFileSync(file, 'utf8')).ICD.library_path).toBe(library);
  });

  it('names the hint where a container shows the device without its Vulkan driver', () => {
    put('dev/nvidia0');
    expect(look()).toMatchObject({
      code: 'NO_GPU_DRIVER',
      hint: expect.stringContaining('NVIDIA_DRIVER_CAPABILITIES=all'),
    });
  });

  it('tells the doctor the remedy for each missing thing', () => {
    const facts = describeAdapter({ root, env: freshEnvironment() });
    expect(facts.map(({ ok }) => ok)).toEqual(facts.map(() => false));
    for (const { name, hint } of facts) expect(`${name}: ${hint}`).toMatch(/npx reasongen setup|--gpus all/);
  });

  it('prefers the lavapipe of this architecture', () => {
    put('usr/share/vulkan/icd.d/lvp_icd.i686.json');
    const own = put('usr/share/vulkan/icd.d/lvp_icd.x86_64.json');
    expect(findLavapipe(root)).toBe(own);
  });
});

describe('choosing a driver', () => {
  it('refuses an unknown wish with one message and exit code 3', () => {
    const result = spawnResult(
      ['core/setup/launch.mjs', 'node', '-e', '0'],
      freshEnvironment({ REASONGEN_ADAPTER: 'voodoo' }),
    );
    expect(result.code).toBe(3);
    expect(result.stderr).toBe(
      'error UNKNOWN_ADAPTER: REASONGEN_ADAPTER=voodoo names no adapter\n  hint: set it to gpu, lavapipe, swiftshader, or unset it\n',
    );
  });

  it('fails where the forced driver is not there and may not be fetched, and writes nothing', async () => {
    const env = freshEnvironment({ REASONGEN_ADAPTER: 'swiftshader' });
    await expect(prepareDriver({ env, download: false })).rejects.toMatchObject({
      code: 'NOT_PREPARED',
      hint: 'npx reasongen setup',
      exitCode: 3,
    });
    expect(existsSync(join(root, 'cache'))).toBe(false);
  });

  it('forgets a choice that was made for another system', () => {
    const driver = { kind: 'lavapipe', version: '25', description: '', why: '', files: [], folders: [] };
    put('cache/adapter.json', JSON.stringify({ key: 'another', driver }));
    expect(knownDriver(freshEnvironment())).toBeUndefined();
    put('cache/adapter.json', '{ cut');
    expect(knownDriver(freshEnvironment())).toBeUndefined();
  });

  it('hands its choice to nested launches, unless these wish another', () => {
    const driver = {
      kind: 'lavapipe' as const,
      version: '25',
      description: 'llvmpipe',
      why: 'test',
      files: [put('lvp.json')],
      folders: [root],
    };
    const env = freshEnvironment({ LD_LIBRARY_PATH: '/elsewhere' });
    const inner = { ...env, ...driverEnvironment(driver, env) };
    expect(inner.LD_LIBRARY_PATH).toBe(`${root}:/elsewhere`);
    expect(knownDriver(inner)).toEqual(driver);
    expect(knownDriver({ ...inner, REASONGEN_ADAPTER: 'gpu' })).toBeUndefined();
  });

  it('keeps compiled shaders of other vector widths apart', () => {
    const folder = (env: NodeJS.ProcessEnv) => shaderCacheDirectory(root, { kind: 'lavapipe', version: '25.0' }, env);
    expect(folder({})).toBe(folder({}));
    expect(folder({ LP_NATIVE_VECTOR_WIDTH: '512' })).not.toBe(folder({}));
  });

  it.each([
    ['a file', 'cache'],
    ['below a file', 'cache/deeper'],
  ])('names REASONGEN_CACHE before anything is fetched, where the cache cannot be written: %s', async (_, path) => {
    put('cache');
    const env = freshEnvironment({ REASONGEN_CACHE: join(root, path) });
    const said: string[] = [];
    await expect(prepareDriver({ env, report: (line) => said.push(line) })).rejects.toMatchObject({
      code: 'CACHE_NOT_WRITABLE',
      hint: expect.stringContaining('REASONGEN_CACHE='),
    });
    expect(said).toEqual([]);
  });

  it('tells the doctor which variables of Vulkan are set', async () => {
    const env = freshEnvironment({ REASONGEN_ADAPTER: 'swiftshader', VK_LOADER_DRIVERS_SELECT: '*nvidia*' });
    const { REASONGEN_VULKAN_VARIABLES = '' } = await environmentFor('doctor', env, true);
    expect(JSON.parse(REASONGEN_VULKAN_VARIABLES)).toEqual({ VK_LOADER_DRIVERS_SELECT: '*nvidia*' });
  });

  it('prepares nothing for check', async () => {
    const env = freshEnvironment({ REASONGEN_ADAPTER: 'swiftshader' });
    expect(await environmentFor('check', env, true)).toEqual({ REASONGEN_NO_DRIVER: '1' });
    expect(existsSync(join(root, 'cache'))).toBe(false);
  });

  it.each([
    ['', []],
    ['', ['--version']],
    ['', ['run', '--help']],
    ['show', ['show', 'run']],
    ['run', ['run', 'x.yaml', '--set', 'steps=1']],
    ['run', ['--set', 'steps=1', '--debug', '--run-dir', 'runs/check', 'run', 'x.yaml']],
  ])('finds the command %j in %j', (command, args) => {
    expect(commandOf(args)).toBe(command);
  });

  it('knows every command that may open a device by the name of the command line', () => {
    const names = createCommandLine(() => Promise.resolve(), {
      output: process.stdout,
      errors: process.stderr,
    }).commands.map((command) => command.name());
    expect(names).toEqual(expect.arrayContaining(deviceCommands));
  });

  it('lets the doctor start without a driver and tells it what is wrong', async () => {
    const { REASONGEN_DRIVER_ERROR = '{}' } = await environmentFor(
      'doctor',
      freshEnvironment({ REASONGEN_ADAPTER: 'swiftshader' }),
      true,
    );
    expect(JSON.parse(REASONGEN_DRIVER_ERROR)).toMatchObject({ code: 'NOT_PREPARED', hint: 'npx reasongen setup' });
  });
});

function spawnResult(args: string[], env: NodeJS.ProcessEnv): { code: number; stderr: string } {
  try {
    execFileSync(process.execPath, args, { cwd: packageRoot, env, stdio: 'pipe' });
    return { code: 0, stderr: '' };
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: Buffer };
    return { code: status, stderr: stderr.toString() };
  }
}

/** The address of a module of the set-up, quoted for a program. */
function setupModule(name: string): string {
  return JSON.stringify(join(packageRoot, 'core/setup', name));
}

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
    expect(shown).toContain('reasongen resume');
  });

  it('explains a SIGKILL, which systems without memory send', async () => {
    const { code, shown } = await supervise('process.kill(process.pid, "SIGKILL")');
    expect(code).toBe(137);
    expect(shown).toMatch(/error KILLED: .*SIGKILL.*memory.*\n {2}hint: .*reasongen resume/);
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

  it.each([
    ['npm', 'npm exec program', 'npm'],
    ['the shell that npm starts programs with', 'npm exec program', 'sh'],
    ['nobody: a shell that somebody types into may go', 'bash', 'none'],
  ])('ends with %s', async (_, title, killed) => {
    const program = `import { watchStarters } from ${setupModule('starter.mjs')}; watchStarters(() => { console.log('gone'); process.exit() }, { milliseconds: 50 }); setTimeout(() => { console.log('stayed'); process.exit() }, ${killed === 'none' ? 600 : 20_000}); console.log('ready', process.pid, process.ppid);`;
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

describe('packages', () => {
  const lock = (version: string, foreign = {}) =>
    JSON.stringify({ packages: { '': {}, 'node_modules/a': { version }, ...foreign } });
  const foreign = { 'node_modules/b-darwin': { version: '1.0.0', optional: true } };

  it('tells why an installation is out of date', () => {
    expect(outdatedPackages(root)).toBe(''); // no lock file: not ours to install
    put('package-lock.json', lock('1.0.0', foreign));
    expect(outdatedPackages(root)).toBe('none are installed');
    put('node_modules/.package-lock.json', lock('1.0.0'));
    expect(outdatedPackages(root)).toBe('a is missing');
    put('node_modules/a/package.json', '{}');
    expect(outdatedPackages(root)).toBe('');
    put('package-lock.json', lock('1.1.0'));
    expect(outdatedPackages(root)).toBe('a is 1.0.0, wanted 1.1.0');
    put('package-lock.json', '{ cut');
    expect(() => outdatedPackages(root)).toThrow(/not a lock file/);
  });

  it('wants Node 20.19', () => {
    for (const version of ['18.20.4', '20.18.3']) expect(() => checkNode(version)).toThrow(/too old/);
    for (const version of ['20.19.0', '22.0.0']) expect(() => checkNode(version)).not.toThrow();
  });
});

describe('files', () => {
  it('unpacks what tar packs, with modes, and refuses damaged archives', () => {
    put('in/folder/program', '#!/bin/sh\n');
    put('in/data', 'x'.repeat(1500));
    execFileSync('chmod', ['755', join(root, 'in/folder/program')]);
    const archive = execFileSync('tar', ['--format=ustar', '-C', join(root, 'in'), '-c', 'folder', 'data']);
    extractTar(archive, join(root, 'out'));
    expect(readFileSync(join(root, 'out/data'), 'utf8')).toBe('x'.repeat(1500));
    expect(execFileSync('stat', ['-c', '%a', join(root, 'out/folder/program')]).toString()).toBe('755\n');
    const damaged = Buffer.from(archive);
    damaged.writeUInt8(damaged.readUInt8(0) ^ 1, 0);
    expect(() => extractTar(damaged, join(root, 'out'))).toThrow(/checksum/);
    expect(() => extractTar(archive.subarray(0, 2048), join(root, 'out'))).toThrow(/cut short/);
  });

  it('refuses names that lead out of the folder', () => {
    put('in/evil', 'x');
    const archive = execFileSync('tar', [
      '--format=ustar',
      '-P',
      '-C',
      join(root, 'in'),
      '--transform=s,^,../,',
      '-c',
      'evil',
    ]);
    expect(() => extractTar(archive, join(root, 'out'))).toThrow(/outside its folder/);
    expect(existsSync(join(root, 'evil'))).toBe(false);
  });

  it('removes a temporary folder after success, failure and a signal', async () => {
    const folder = join(root, 'temporary');
    expect(await withTemporaryFolder(folder, async (path) => existsSync(path))).toBe(true);
    await expect(withTemporaryFolder(folder, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(folder)).toBe(false);
    const program = `import { withTemporaryFolder } from ${JSON.stringify(join(packageRoot, 'core/setup/cache.mjs'))}; await withTemporaryFolder(${JSON.stringify(folder)}, () => { console.log('ready'); return new Promise((done) => setTimeout(done, 20000)) })`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.stdout.once('data', () => child.kill('SIGINT'));
    expect(await new Promise((resolve) => child.on('close', (_code, signal) => resolve(signal)))).toBe('SIGINT');
    expect(existsSync(folder)).toBe(false);
  });
});
