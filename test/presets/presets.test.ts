/** Every preset that is shipped: valid, planned without a device, documented, and its resolved form under review. */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../core/log.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { showPreset } from '../../core/preset/show.ts';
import { planStage } from '../../core/plan-stage.ts';

const root = fileURLToPath(new URL('../../presets/', import.meta.url));
const files = readdirSync(root, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.yaml') && !/\/(base|clusters)$/.test(entry.parentPath))
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  // Training or measuring a published model needs that model: these are planned without its weights in janus-pro.test.ts.
  .filter((name) => !/^janus-pro.*\/(sft|grpo|evaluate)/.test(name));

test('there are presets', () => {
  expect(files).toEqual(
    expect.arrayContaining([
      'quickstart.yaml',
      'nano/vq.yaml',
      'nano/sft.yaml',
      'nano/grpo.yaml',
      'nano/evaluate.yaml',
      'nano/full.yaml',
    ]),
  );
});

describe.each(files)('%s', (name) => {
  const path = join(root, name);
  const text = readFileSync(path, 'utf8');

  test('starts with the schema line, says what it does and how to run it, and is short', () => {
    const lines = text.split('\n');
    const depth = name.split('/').length - 1;
    expect(lines[0]).toBe(`# yaml-language-server: $schema=${depth === 0 ? './' : '../'.repeat(depth)}schema.json`);
    expect(lines[1]).toMatch(/^# \w/);
    expect(text).toMatch(/^# {3}(npx reasongen|npm run) /m);
    expect(lines.length).toBeLessThanOrEqual(42);
  });

  test('is valid, and every stage whose inputs exist can be planned without a device', async () => {
    const loaded = await loadPreset(path);
    for (const stage of loaded.stages) {
      const waits = JSON.stringify(stage.preset.components).includes('stage:');
      if (waits) continue;
      const plan = await planStage(loaded, stage, silentLog());
      expect(plan.lines.length).toBeGreaterThan(0);
      for (const bytes of Object.values(plan.bytes)) expect(Number.isFinite(bytes) && bytes >= 0).toBe(true);
    }
  });

  test('resolves to what was reviewed', async () => {
    const loaded = await loadPreset(path);
    const shown = loaded.stages
      .map((stage) => showPreset(stage, loaded.catalog, { directory: root, origins: false }))
      .join('---\n');
    await expect(shown).toMatchFileSnapshot(`resolved/${name}`);
  });
});
