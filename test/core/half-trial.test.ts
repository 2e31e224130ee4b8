/** f16 where Dawn hides it: tried before it is used, and left out where it is wrong. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { offered } from '../../core/commands/doctor.ts';
import { readAdapter } from '../../core/commands/adapter.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { matrixFeature } from '../../core/gpu/subgroup-matrices.ts';
import { halfFault, openTrustedDevice, wasHidden } from '../../core/half-trial.ts';

const folder = mkdtempSync(join(tmpdir(), 'halves-'));
afterAll(() => rmSync(folder, { recursive: true }));

const device = await openDevice();
afterAll(() => device.close());

test('an adapter that keeps f16 rightly passes', async () => {
  expect(device.has('shader-f16')).toBe(true);
  expect(await halfFault(device)).toBeUndefined();
});

const source = readFileSync(new URL('../../kernels/trial/halves.wgsl', import.meta.url), 'utf8');
const wrong: readonly (readonly [name: string, change: (text: string) => string])[] = [
  [
    'keeps bf16',
    (text) =>
      text.replace('vec4<f16>(x[id.x])', 'vec4<f16>(bitcast<vec4f>(bitcast<vec4u>(x[id.x]) & vec4u(0xffff0000u)))'),
  ],
  ['keeps what is three steps away', (text) => text.replace('vec4<f16>(x[id.x])', 'vec4<f16>(x[id.x] * 1.003)')],
  ['loses the sign', (text) => text.replace('vec4<f16>(x[id.x])', 'vec4<f16>(abs(x[id.x]))')],
  [
    'overflows early',
    (text) => text.replace('vec4<f16>(x[id.x])', 'vec4<f16>(clamp(x[id.x], vec4f(-32768.0), vec4f(32768.0)))'),
  ],
  ['reads something else back', (text) => text.replace('vec4f(halves[id.x])', 'vec4f(halves[id.x]) + vec4f(0.001)')],
];

test.each(wrong)('one that %s does not', async (name, change) => {
  const changed = change(source);
  expect(changed).not.toBe(source);
  const file = join(folder, `${name.replaceAll(' ', '-')}.wgsl`);
  writeFileSync(file, changed);
  expect(await halfFault(device, pathToFileURL(file))).toMatch(/is kept as|is read back as/);
});

test('where f16 is given freely, nothing is tried and nothing is noted', async () => {
  const trusted = await openTrustedDevice();
  expect(trusted.notes).toEqual([]);
  expect(trusted.adapter.features).toEqual(device.adapter.features);
  trusted.close();
  expect(wasHidden(device.adapter)).toBe(false);
  expect(wasHidden({ vendor: 'nvidia', description: '' })).toBe(true);
  expect(wasHidden({ vendor: '', description: 'NVIDIA H200' })).toBe(true);
});

test('what is wrong is left out, tensor cores with it, and a run is told why', async () => {
  const careful = await openTrustedDevice({}, { wasHidden: () => true, halfFault: async () => '1 is kept as 2' });
  expect(careful.has('shader-f16')).toBe(false);
  expect(careful.has(matrixFeature)).toBe(false);
  expect(careful.notes.join()).toContain('1 is kept as 2');
  careful.close();
});

test('doctor says what was got of f16, subgroups and matrices, and why not', async () => {
  const here = await readAdapter();
  if (here === undefined) throw new Error('no adapter');
  const nvidia = {
    ...here.report,
    vendor: 'nvidia',
    description: 'NVIDIA H200',
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
  };
  const matrices = [{ operands: 'f16', sums: 'f32', M: 16, N: 16, K: 16 }];
  const facts = (features: string[], fault?: string): string =>
    offered({ features, report: { ...nvidia, matrices: features.includes(matrixFeature) ? matrices : [] } }, fault)
      .map(({ name, ok, found }) => `${ok ? 'ok' : 'no'} ${name}: ${found}`)
      .join('\n');
  expect(facts(['shader-f16', 'subgroups', matrixFeature])).toMatchInlineSnapshot(`
    "ok shader-f16: yes: Dawn was asked for it (vulkan_enable_f16_on_nvidia), and a trial found it right
    ok subgroups: of 32 lanes
    ok subgroup matrices: 16 x 16 x 16 f16 → f32
    no timestamp-query: no: \`npm run bench\` cannot time kernels"
  `);
  expect(facts(['subgroups'])).toContain(
    'no shader-f16: no, although Dawn was asked for it (vulkan_enable_f16_on_nvidia)',
  );
  expect(facts(['subgroups'])).toContain('ok subgroup matrices: none: the driver offers no cooperative matrices');
  expect(facts(['shader-f16'], '1 is kept as 2')).toContain(
    'no shader-f16: offered and not used: a trial found it wrong (1 is kept as 2)',
  );
  expect(facts([])).toContain('no subgroups: no: slower kernels are used');
});
