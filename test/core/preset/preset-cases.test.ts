/**
 * Every folder of test/cases is a preset with what must come of it: the resolved preset with the place of each value, or all
 * mistakes. `set.txt` holds settings, one a line. After a wanted change: `npx vitest run test/core/preset/preset-cases.test.ts -u`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { formatError, ProblemsError } from '../../../core/errors.ts';
import { loadPreset } from '../../../core/preset/load.ts';
import { showPreset } from '../../../core/preset/show.ts';
import components from '../../cases/components.ts';

const folder = fileURLToPath(new URL('../../cases/', import.meta.url));
const names = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

async function outcome(name: string): Promise<string> {
  const settingsFile = join(folder, name, 'set.txt');
  const settings = existsSync(settingsFile) ? readFileSync(settingsFile, 'utf8').trim().split('\n') : [];
  try {
    const builtIn = [{ plugin: components, source: 'test/cases/components.ts', place: 'test/cases/components.ts' }];
    const loaded = await loadPreset(join(folder, name, 'preset.yaml'), { settings, builtIn });
    return loaded.stages
      .map((stage) => showPreset(stage, loaded.catalog, { directory: dirname(stage.preset.file), origins: true }))
      .join('---\n');
  } catch (error) {
    if (!(error instanceof ProblemsError)) throw error;
    return `${formatError(error)}\n`.replaceAll(folder, '…/');
  }
}

describe('cases', () => {
  test.each(names)('%s', async (name) => {
    await expect(await outcome(name)).toMatchFileSnapshot(join(folder, name, 'expected.txt'));
  });
});
