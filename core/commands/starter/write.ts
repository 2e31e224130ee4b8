/** Writing a new folder, all of it or nothing, and installing what it needs. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { exitCodes, reasonOf, ReasongenError, shellWord } from '../../errors.ts';
import { diskError } from '../../io/disk.ts';
import { mkdir, writeFile } from '../../io/files.ts';
import type { Log } from '../../log.ts';
import { installedPackage } from '../../preset/locate.ts';
import type { CommandContext } from '../context.ts';

/** Texts of files by name, in the order in which they are best read. */
export type NewFiles = Readonly<Record<string, string>>;

/** Writes the files of a new folder. Overwrites nothing; `elsewhere` is the command that names another folder. */
export async function writeNewFiles(folder: string, files: NewFiles, elsewhere: string, log: Log): Promise<void> {
  const there = Object.keys(files).filter((name) => existsSync(join(folder, name)));
  if (there.length > 0) {
    throw new ReasongenError({
      code: 'DIRECTORY_NOT_EMPTY',
      message: `${there.join(', ')} ${there.length === 1 ? 'is' : 'are'} there already, and nothing is overwritten`,
      place: folder,
      hint: `name a new folder: ${elsewhere}`,
      exitCode: exitCodes.badPreset,
    });
  }
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text, { flag: 'wx' });
    }
  } catch (cause) {
    throw diskError(cause, 'writing the new folder', folder, 'or name another folder');
  }
  for (const name of Object.keys(files)) log.info(`wrote ${join(shownFolder(folder), name)}`);
}

/** As seen from where the command was typed. */
export function shownFolder(folder: string): string {
  return relative(process.cwd(), folder) || '.';
}

/** What to type to get there; nothing where one is there already. */
export function changeInto(folder: string): string[] {
  const shown = shownFolder(folder);
  if (shown === '.') return [];
  return [`cd ${shellWord(shown)}`];
}

/** Installs the packages of a new folder, unless all of them are found from there already. */
export async function installPackages(
  folder: string,
  packages: readonly string[],
  environment: CommandContext['environment'],
): Promise<void> {
  if (packages.every((name) => installedPackage(name, folder) !== undefined)) return;
  await install(folder, environment);
}

/** Installs with the package manager that started this program. Its own words go where progress goes. */
async function install(folder: string, environment: CommandContext['environment']): Promise<void> {
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
    place: shownFolder(folder),
    hint: `look at its messages above, then run \`${manager} install\` there yourself`,
  });
}
