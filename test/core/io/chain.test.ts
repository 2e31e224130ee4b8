/** The stages of a chain, as they lie in its directory. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runsIn } from '../../../core/io/chain.ts';
import { showChain } from '../../../core/preset/show.ts';

const root = mkdtempSync(join(tmpdir(), 'chain-'));
afterAll(() => rmSync(root, { recursive: true }));

test('stand in the order of the preset, whatever their clocks said', async () => {
  const names = ['sft', "it's second", 'a: third', 'vierte-ß', 'not begun', 'last'];
  const stages = names.map((name) => ({ name, preset: `./${name}/preset.yaml` }));
  writeFileSync(join(root, 'preset.yaml'), showChain('chain', stages));
  for (const [index, name] of names.entries()) {
    mkdirSync(join(root, name));
    if (name === 'not begun') continue;
    // Each seems to have begun before the one it followed.
    const sessions = [{ command: [], startedAt: new Date(2026, 1, 20 - index).toISOString() }];
    writeFileSync(join(root, name, 'run.json'), JSON.stringify({ format: 'reasongen-run', version: 1, sessions }));
  }
  expect((await runsIn(root)).map((path) => basename(path))).toEqual(names.filter((name) => name !== 'not begun'));
});
