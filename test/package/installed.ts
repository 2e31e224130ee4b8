/** The package as npm makes it from this tree, installed into an empty folder. */
import { type ChildProcessByStdio, execFileSync, spawn, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { Readable } from 'node:stream';
import { root } from '../support/runs.ts';

/** For a project that has node's types instead of the browser's. */
const nodeTypes = '@types/node@20.19.43';

export class InstalledPackage {
  /** What `npm pack` is run on: a copy, for packing changes package.json while it lasts. */
  readonly tree: string;
  readonly tarball: string;
  /** The folder of somebody who has installed the package. */
  readonly folder: string;
  readonly #temporary: string;

  constructor() {
    this.#temporary = mkdtempSync(join(tmpdir(), 'reasongen-package-'));
    this.tree = join(this.#temporary, 'tree');
    this.folder = join(this.#temporary, 'project');
    mkdirSync(this.tree);
    const copied = /^(core|plugins|kernels|presets|package\.json|tsconfig\.json|[A-Z]+(\.md)?)$/;
    for (const name of readdirSync(root).filter((entry) => copied.test(entry)))
      cpSync(join(root, name), join(this.tree, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(this.tree, 'node_modules'));
    execFileSync('npm', ['pack', '--silent', '--pack-destination', this.#temporary], { cwd: this.tree, stdio: 'pipe' });
    const tarball = readdirSync(this.#temporary).find((name) => name.endsWith('.tgz'));
    if (tarball === undefined) throw new Error('npm pack made no tarball');
    this.tarball = join(this.#temporary, tarball);
    mkdirSync(this.folder);
    // As `npm init -y` writes it: no module type that suits us.
    this.write('package.json', JSON.stringify({ name: 'project', version: '1.0.0', type: 'commonjs', private: true }));
    const install = [
      'install',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      this.tarball,
      nodeTypes,
    ];
    execFileSync('npm', install, { cwd: this.folder, stdio: 'pipe' });
  }

  /** Writes a file of the project. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Paths of files in the installed package, relative to it. */
  files(): string[] {
    const installed = join(this.folder, 'node_modules', 'reasongen');
    return readdirSync(installed, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(installed, join(entry.parentPath, entry.name)));
  }

  /** Runs node in the project, with nothing of this process's driver in its environment. */
  node(node: string, args: readonly string[], more: Readonly<Record<string, string>> = {}): SpawnSyncReturns<string> {
    return spawnSync(node, args, {
      cwd: this.folder,
      encoding: 'utf8',
      env: { ...environment(), ...more },
      maxBuffer: 2 ** 26,
    });
  }

  /** Likewise, for what goes on until it is stopped. */
  start(node: string, args: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
    return spawn(node, args, { cwd: this.folder, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  }

  remove(): void {
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}

/** This process's, less what it was told of the driver. */
function environment(): NodeJS.ProcessEnv {
  const ours = new Set(['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'LD_LIBRARY_PATH', 'REASONGEN_DRIVER', 'NODE_OPTIONS']);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.has(name)));
}
