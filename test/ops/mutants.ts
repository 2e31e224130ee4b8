/** Kernels that are wrong in one place, for the tests that a comparison with float64 finds them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect } from 'vitest';

export type Mutant = readonly [name: string, change: (text: string) => string];

/** A kernel with the files that only kernels of matrices share, so that they can be changed as well. */
function sourceOf(name: string): string {
  const read = (path: string): string => readFileSync(new URL(`../../kernels/${path}.wgsl`, import.meta.url), 'utf8');
  return read(name).replaceAll(/^\/\/! use (lib\/matrix-\w+)\.wgsl$/gm, (_line, path: string) => read(path));
}

/** Writes changed kernels into a folder that goes with the file of tests. */
export function mutantFiles(): (kernel: string, ...mutant: Mutant) => URL {
  const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  return (kernel, name, change) => {
    const source = sourceOf(kernel);
    const changed = change(source);
    expect(changed).not.toBe(source);
    const path = join(folder, `${kernel} ${name}`.replaceAll(/[ /]/g, '-').concat('.wgsl'));
    writeFileSync(path, changed);
    return pathToFileURL(path);
  };
}

/** Without the barrier of a number. */
export const barrier = (which: number) => (text: string) => {
  let count = 0;
  return text.replaceAll('workgroupBarrier();', (call) => (count++ === which ? '' : call));
};

export const ofParts: readonly Mutant[] = [
  ['values cut to bf16', (text) => text.replace('(bits + 0x1000u) & 0xffffe000u', 'bits & 0xffff0000u')],
  ['the second part left out', (text) => text.replace('rest = (rest - part) * 2048.0', 'rest = 0.0')],
];

/** Of lib/matrix-sum.wgsl. */
export const ofSums: readonly Mutant[] = [
  ['no barrier behind the stores', barrier(0)],
  ['no barrier before the next stores', barrier(1)],
  ['half of the depth', (text) => text.replace('k < end_step; k++', 'k < end_step / 2u; k++')],
  ['blocks of another row', (text) => text.replace('left(p, own_row + i, k)', 'left(p, own_row + i + 1u, k)')],
  ['subgroups exchanged', (text) => text.replace('subgroup / ACROSS * down', '(1u - subgroup / ACROSS) * down')],
  ['the parts of a read as one', (text) => text.replace('left(p, own_row + i, k)', 'left(0u, own_row + i, k)')],
  ['orders added unscaled', (text) => text.replace('values[e] * 0.00048828125', 'values[e]')],
];
