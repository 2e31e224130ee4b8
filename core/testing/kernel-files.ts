/** Every kernel file of a tree, for tests that compile them all. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const shippedKernels = new URL('../../kernels/', import.meta.url);

/** Paths as `loadKernel` takes them, sorted; shared files in `lib/` are no kernels. */
export function kernelFiles(root: URL = shippedKernels): string[] {
  return readdirSync(fileURLToPath(root), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.wgsl') && !path.startsWith('lib/'))
    .map((path) => path.slice(0, -'.wgsl'.length))
    .sort();
}
