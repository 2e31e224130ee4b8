import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { exitCodes, reasonOf, ReasongenError } from '../errors.ts';
import { diskError } from '../io/disk.ts';
import { describeProgram } from '../io/software.ts';
import { loadCatalogOf } from '../preset/load.ts';
import { installedPackage } from '../preset/locate.ts';
import type { CommandContext } from './context.ts';
import { chooseStarter, type StarterOptions, type Terminal } from './starter/choices.ts';
import { publishedModel, starterFiles } from './starter/files.ts';
import { mkdir, writeFile } from '../io/files.ts';

export interface InitOptions extends StarterOptions {
  /** Take the defaults for what no flag says, and ask nothing. */
  readonly yes?: boolean;
  /** False: leave the packages to the user. */
  readonly install: boolean;
}

/** `init [folder]`: writes a folder with a preset, a reward and its test, and installs what they need. Overwrites nothing. */
export async function init(
  folder: string | undefined,
  options: InitOptions,
  { log, write, environment }: CommandContext,
  terminal: Terminal | undefined = terminalOfProcess(),
): Promise<number> {
  const catalog = await loadCatalogOf([]);
  const isTaken = (name: string): boolean =>
    catalog.component('reward', name) !== undefined || catalog.plugins.some((plugin) => plugin.name === name);
  const choices = await chooseStarter(folder, options, options.yes === true ? undefined : terminal, isTaken);
  const shown = relative(process.cwd(), choices.folder) || '.';
  const files = starterFiles(choices, describeProgram().versions['reasongen'] ?? '');
  await writeFiles(choices.folder, files);
  for (const name of Object.keys(files)) log.info(`wrote ${join(shown, name)}`);
  // Inside a project that has the package, it is found from there already.
  if (options.install && installedPackage('reasongen', choices.folder) === undefined)
    await install(choices.folder, shown, environment);
  const model = publishedModel(choices.model);
  const steps = [
    ...(shown === '.' ? [] : [`cd ${/^[\w./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", () => "'\\''")}'`}`]),
    ...(options.install ? [] : ['npm install']),
    'npm test',
    ...(model === undefined ? [] : [`npx reasongen pull ${model}`]),
    'npm start',
  ];
  write(`${steps.join('\n')}\n`);
  return exitCodes.done;
}

/** Asked are people only: both ends must be a terminal. */
function terminalOfProcess(): Terminal | undefined {
  return process.stdin.isTTY && process.stderr.isTTY ? { input: process.stdin, output: process.stderr } : undefined;
}

async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  const there = Object.keys(files).filter((name) => existsSync(join(folder, name)));
  if (there.length > 0) {
    throw new ReasongenError({
      code: 'DIRECTORY_NOT_EMPTY',
      message: `${there.join(', ')} ${there.length === 1 ? 'is' : 'are'} there already, and nothing is overwritten`,
      place: folder,
      hint: 'name a new folder: npx reasongen init my-judge',
      exitCode: exitCodes.badPreset,
    });
  }
  try {
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { flag: 'wx' });
  } catch (cause) {
    throw diskError(cause, 'writing the new folder', folder, 'or name another folder');
  }
}

/** Installs with the package manager that started this program. Its own words go where progress goes. */
async function install(folder: string, shown: string, environment: CommandContext['environment']): Promise<void> {
  const [started = 'npm'] = (environment['npm_config_user_agent'] ?? '').split('/');
  const manager = ['npm', 'pnpm', 'yarn', 'bun'].includes(started) ? started : 'npm';
  const child = spawn(manager, ['install'], { cwd: folder, stdio: ['ignore', 2, 2] });
  const fault = await new Promise<unknown>((resolve) => {
    child.on('error', resolve);
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : `it ended with ${signal ?? code}`));
  });
  if (fault === undefined) return;
  throw new ReasongenError({
    code: 'INSTALL_FAILED',
    message: `the files are written, but \`${manager} install\` failed: ${reasonOf(fault)}`,
    place: shown,
    hint: `look at its messages above, then run \`${manager} install\` there yourself`,
  });
}
