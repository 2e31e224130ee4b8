/** The fixtures kept here, held to what their description says to aim at; other folders: `npm run golden -- DIR...`. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { formsOf, loadFixture, type Fixture } from './fixture.ts';
import { groupNames, runGroup } from './harness.ts';

const root = fileURLToPath(new URL('./janus/', import.meta.url));
const cases = readdirSync(root).flatMap((name) => formsOf(`${root}${name}`).map((form) => ({ name, form })));

test('both fixtures are there, one of them also under the original names', () => {
  expect(cases).toEqual([
    { name: 'tiny-a', form: 'huggingface' },
    { name: 'tiny-a', form: 'original' },
    { name: 'tiny-b', form: 'huggingface' },
  ]);
});

describe.each(cases)('$name, $form names', ({ name, form }) => {
  let device: Device;
  let workspace: Workspace;
  let fixture: Fixture;
  beforeAll(async () => {
    device = await openDevice();
    workspace = new Workspace(device);
    fixture = await loadFixture(`${root}${name}`, form);
  });
  afterAll(() => device.close());

  test.each(groupNames)('%s', async (group) => {
    const { rows, failure } = await runGroup(device, workspace, fixture, group);
    expect(failure).toBeUndefined();
    expect(rows.filter(({ error, aim }) => !(error <= aim))).toEqual([]);
  });
});
