/** Packages and files of the set-up. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot, withTemporaryFolder } from '../../../core/setup/cache.mjs';
import { checkNode, outdatedPackages } from '../../../core/setup/setup.mjs';
import { extractTar } from '../../../core/setup/tar.mjs';
import { put, root, useMachine } from '../../support/machine.ts';

useMachine();

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
