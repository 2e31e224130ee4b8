/** Packages that a user adds for some components only. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface InstalledPackage {
  /** What `require` would load. */
  readonly file: string;
  readonly version: string;
}

/**
 * A package as it is installed for one of the places, which are files: that of a plugin and, for a program that was installed for all
 * projects, one of the folder in which it is run. undefined where none has it.
 */
export function findPackage(name: string, places: readonly string[] = []): InstalledPackage | undefined {
  for (const place of [...places, join(process.cwd(), 'package.json')]) {
    const found = packageAt(name, place);
    if (found !== undefined) return found;
  }
  return undefined;
}

function packageAt(name: string, place: string): InstalledPackage | undefined {
  try {
    const file = createRequire(place).resolve(name);
    for (let folder = dirname(file); ; folder = dirname(folder)) {
      const version = versionIn(folder, name);
      if (version !== undefined) return { file, version };
      if (folder === dirname(folder)) return undefined;
    }
  } catch {
    // Not there, or without the file that it names.
    return undefined;
  }
}

/** The version of the package that a file belongs to, where it was installed; undefined for a file of the user's own. */
export function installedVersion(file: string): string | undefined {
  const [, folder, name] = /^(.*\/node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(file) ?? [];
  return folder === undefined || name === undefined ? undefined : versionIn(folder, name);
}

function versionIn(folder: string, name: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, 'package.json'), 'utf8');
  } catch {
    return undefined;
  }
  const manifest = JSON.parse(text) as { readonly name?: unknown; readonly version?: unknown };
  return manifest.name === name && typeof manifest.version === 'string' ? manifest.version : undefined;
}
