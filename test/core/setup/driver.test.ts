/** Which driver a machine is given. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createCommandLine } from '../../../core/cli/command-line.ts';
import { homeDirectory, packageRoot, shaderCacheDirectory } from '../../../core/setup/cache.mjs';
import { describeAdapter } from '../../../core/setup/describe-adapter.mjs';
import { findHardware } from '../../../core/setup/hardware.mjs';
import { findLavapipe } from '../../../core/setup/lavapipe.mjs';
import { environmentFor } from '../../../core/setup/environment.mjs';
import { commandOf, deviceCommands } from '../../../core/setup/reasongen.mjs';
import { requireResultFolder, whyNotWritable } from '../../../core/setup/writable.mjs';
import { driverEnvironment, fingerprint, knownDriver, prepareDriver } from '../../../core/setup/vulkan.mjs';
import { freshEnvironment, put, root, spawnResult, useMachine } from '../../support/machine.ts';

useMachine();

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

  it.each([
    ['nothing', null],
    ['half of it', { kind: 'lavapipe' }],
    ['of a kind there is not', { kind: 'abacus', version: '1', description: '', why: '', files: [], folders: [] }],
    ['with files that are none', { kind: 'gpu', version: '', description: '', why: '', files: 'x', folders: [] }],
  ])('chooses anew where what was kept is no driver: %s', async (_, driver) => {
    const good = { kind: 'lavapipe', version: '25', description: '', why: '', files: [], folders: [] };
    const env = freshEnvironment();
    const key = fingerprint(env);
    put('cache/adapter.json', JSON.stringify({ key, driver: good }));
    expect(knownDriver(env)).toEqual(good);
    put('cache/adapter.json', JSON.stringify({ key, driver }));
    expect(knownDriver(env)).toBeUndefined();
    const handedDown = { ...env, REASONGEN_DRIVER: JSON.stringify(driver), VK_DRIVER_FILES: '/x.json' };
    expect(knownDriver(handedDown)).toBeUndefined();
  });

  it('lets the doctor start where the cache is a file', async () => {
    put('cache');
    const env = freshEnvironment({ REASONGEN_CACHE: join(root, 'cache') });
    const { REASONGEN_DRIVER = '', REASONGEN_DRIVER_ERROR = '' } = await environmentFor('doctor', env, true);
    expect(REASONGEN_DRIVER || REASONGEN_DRIVER_ERROR).not.toBe('');
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

  it.skipIf(process.platform !== 'linux')('takes what the system shows of itself for no folder, also as root', () => {
    for (const folder of ['/proc/nope', '/sys/nope/deeper']) expect(whyNotWritable(folder), folder).toBeDefined();
    expect(whyNotWritable(join(root, 'not', 'there', 'yet'))).toBeUndefined();
  });

  it.each([
    ['run', ['run', 'x.yaml', '--run-dir', 'FILE/run'], '--run-dir'],
    ['run', ['--run-dir=FILE/run', 'run', 'x.yaml', '--set', 'seed=1'], '--run-dir'],
    ['generate', ['generate', '--prompt', 'x', '--out', 'FILE/drawn'], '--out'],
    ['generate', ['generate', '--out=FILE/a/b/c', '--run-dir', '/tmp/x'], '--out'],
    ['ask', ['ask', 'what', '--run-dir', 'FILE/x'], '--out'],
    ['evaluate', ['evaluate', 'x.yaml', '--run-dir', 'fine', '--run-dir', 'FILE/x'], '--run-dir'],
  ])('refuses results that cannot be written before a driver is fetched: %s %j', (command, args, option) => {
    put('cache');
    const placed = args.map((arg) => arg.replace('FILE', join(root, 'cache')));
    const refused = { code: 'RESULTS_NOT_WRITABLE', exitCode: 6, hint: expect.stringContaining(`${option} /`) };
    expect(() => requireResultFolder(command, placed)).toThrow(expect.objectContaining(refused));
    requireResultFolder(
      command,
      args.map((arg) => arg.replace('FILE', join(root, 'not', 'there', 'yet'))),
    );
  });

  it('knows no home of a user without one, and asks for a cache', ({ skip }) => {
    expect(homeDirectory({ HOME: '/somewhere' })).toBe('/somewhere');
    // Where any user may read it.
    chmodSync(root, 0o755);
    put('package.json', '{}');
    const copy = put('cache.mjs', readFileSync(join(packageRoot, 'core/setup/cache.mjs'), 'utf8'));
    const script = `import { homeDirectory } from '${copy}'; process.stdout.write(homeDirectory({}))`;
    // Only root may become a user whom the system does not list.
    const isRoot = process.getuid?.() === 0;
    const { stdout, error } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root,
      env: {},
      ...(isRoot && { uid: 54321, gid: 54321 }),
    });
    if (isRoot && error !== undefined && 'code' in error && error.code === 'EACCES')
      skip('this Node lies where no other user may start it');
    expect(stdout.toString()).toBe(isRoot ? '/' : homedir());
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
