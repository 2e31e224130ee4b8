/**
 * The fixtures once more with products on tensor cores, each operand written as two f16 (`f32-split`): held to what f32 is held to. Runs where the
 * adapter has matrices; `npm run verify:matrix` has one.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice } from '../../core/gpu/device.ts';
import { MatrixProducts } from '../../core/gpu/matrix-products.ts';
import { usableShapes } from '../../core/ops/linear-matrix.ts';
import { loadFixture, type Fixture } from './fixture.ts';
import { groupNames, runGroup } from './harness.ts';

const root = fileURLToPath(new URL('./janus/', import.meta.url));
const device = await openDevice();
afterAll(() => device.close());
const [shape] = usableShapes(device);

describe.skipIf(shape === undefined).each(readdirSync(root))('%s, f32-split', (name) => {
  const workspace = new Workspace(device, shape && new MatrixProducts(device, shape, 'f32-split'));
  let fixture: Fixture;
  beforeAll(async () => {
    fixture = await loadFixture(`${root}${name}`, 'huggingface');
  });

  test.each(groupNames)('%s', async (group) => {
    const { rows, failure } = await runGroup(device, workspace, fixture, group);
    expect(failure).toBeUndefined();
    expect(rows.filter(({ error, aim }) => !(error <= aim))).toEqual([]);
  });
});
