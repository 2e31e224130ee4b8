import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompressSync } from 'node:zlib';
import { renameUnlessThere, withTemporaryFolder } from './cache.mjs';
import { SetupError } from './failure.mjs';
import { extractTar } from './tar.mjs';

const run = promisify(execFile);

/** The npm package that carries SwiftShader and a Vulkan loader, and the version this program was tested with. */
export const swiftshaderPackage = { name: '@sparticuz/chromium', version: '149.0.0' };

/**
 * SwiftShader and its Vulkan loader in a folder of the cache; fetched from npm when it is not there yet. Needs neither root nor apt.
 * @param {string} cache @param {(line: string) => void} report
 * @returns {Promise<{ folder: string, version: string }>}
 * @throws {SetupError} when npm cannot fetch the package, or the machine is not x86-64
 */
export async function prepareSwiftshader(cache, report) {
  const { name, version } = swiftshaderPackage;
  const folder = join(cache, `swiftshader-${version}`);
  if (existsSync(join(folder, 'libvk_swiftshader.so'))) return { folder, version };
  if (process.arch !== 'x64')
    throw failure(`the package ${name} is for x86-64, this machine is ${process.arch}`, undefined);
  report(`downloading ${name} ${version} (68 MB) with npm`);
  await withTemporaryFolder(`${folder}.${process.pid}.tmp`, async (temporary) => {
    mkdirSync(join(temporary, 'files'));
    writeFileSync(join(temporary, 'package.json'), '{ "private": true }\n');
    const options = [
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      '--fetch-retries=1',
      '--fetch-retry-mintimeout=1000',
    ];
    await run('npm', ['install', '--prefix', temporary, ...options, `${name}@${version}`], {
      cwd: temporary,
      maxBuffer: 16 << 20,
    });
    const archive = readFileSync(join(temporary, 'node_modules', name, 'bin', 'swiftshader.tar.br'));
    extractTar(brotliDecompressSync(archive), join(temporary, 'files'));
    renameUnlessThere(join(temporary, 'files'), folder);
  }).catch((error) => {
    throw failure(((error.stderr || error.message) ?? '').trim().split('\n')[0], error);
  });
  return { folder, version };
}

/** @param {string} why @param {unknown} cause */
function failure(why, cause) {
  return new SetupError({
    code: 'SWIFTSHADER_UNAVAILABLE',
    message: `the software Vulkan driver SwiftShader could not be prepared: ${why}`,
    hint: 'check that npm can reach its registry (npm ping), or install Mesa 24 or newer with its Vulkan drivers',
    cause,
  });
}
