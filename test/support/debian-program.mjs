// Programs that tests need and the machine may have, or Debian: found by name, installed where that is possible.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * The first of these on the PATH; undefined where there is none.
 * @param {readonly string[]} names
 * @param {string | undefined} path
 * @returns {string | undefined}
 */
export function findProgram(names, path = '') {
  const paths = path.split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  return paths.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Installs Debian's packages where that is possible, unless `find` finds the program. Never fails: without it its tests are left out, and say so
 * by `hint`.
 * @param {{ title: string, packages: readonly string[], find: () => string | undefined, hint: string }} program
 */
export function installProgram({ title, packages, find, hint }) {
  if (find()) return;
  if (!existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0) {
    process.stderr.write(`${hint}\n`);
    return;
  }
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...packages]])
    spawnSync('apt-get', ['-qq', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  process.stderr.write(find() ? `${title}: installed\n` : `${hint}\n`);
}
