/** The harness must not pass over anything: a wrong value, a lacking tensor, a lacking file. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../core/gpu/device.ts';
import { writeSafetensors, type TensorToStore } from '../../core/io/safetensors.ts';
import { readSafetensors } from '../support/safetensors.ts';
import { passes } from './comparison.ts';
import { loadFixture } from './fixture.ts';
import { runGroup, type GroupName } from './harness.ts';

const whole = fileURLToPath(new URL('./janus/tiny-b', import.meta.url));
const script = fileURLToPath(new URL('./run.ts', import.meta.url));
const root = fileURLToPath(new URL('../../', import.meta.url));

describe('a damaged fixture', () => {
  const folder = mkdtempSync(join(tmpdir(), 'golden-'));
  let device: Device;
  let workspace: Workspace;
  beforeAll(async () => {
    device = await openDevice();
    workspace = new Workspace(device);
  });
  afterAll(() => {
    device.close();
    rmSync(folder, { recursive: true });
  });

  /** A copy of the fixture with other expected values; returns the names of what is missed in a group. */
  async function missedIn(
    group: GroupName,
    change: (tensors: Map<string, TensorToStore>) => void,
  ): Promise<{ missed: string[]; failure: string | undefined }> {
    const copy = mkdtempSync(join(folder, 'copy-'));
    cpSync(whole, copy, { recursive: true });
    const tensors = new Map(await readSafetensors(join(whole, 'golden.safetensors'))) as Map<string, TensorToStore>;
    change(tensors);
    rmSync(join(copy, 'golden.safetensors'));
    await writeSafetensors(join(copy, 'golden.safetensors'), tensors);
    const { rows, failure } = await runGroup(device, workspace, await loadFixture(copy, 'huggingface'), group);
    return { missed: rows.filter((row) => !passes(row)).map(({ name }) => name), failure };
  }

  const shift = (tensors: Map<string, TensorToStore>, key: string, by: number): void => {
    const tensor = tensors.get(key);
    if (!(tensor?.data instanceof Float32Array)) throw new Error(`no ${key}`);
    tensor.data[3] = (tensor.data[3] ?? 0) + by;
  };

  test('a value off by more than the bound is missed, and only its row', async () => {
    expect(await missedIn('text', (tensors) => shift(tensors, 'text.logits', 0.01))).toMatchObject({
      missed: ['text.logits'],
    });
    expect(await missedIn('text', () => {})).toMatchObject({ missed: [] });
    expect(await missedIn('understand', (tensors) => shift(tensors, 'understand.features', 0.01))).toMatchObject({
      missed: ['understand.features'],
    });
  });

  test('a gradient that nobody expects is missed', async () => {
    const result = await missedIn('sft', (tensors) => void tensors.delete('sft.grad.lm_head.weight'));
    expect(result.missed).toEqual(['sft.grad.* (not listed, yet not zero)']);
  });

  test('a group without its tensors is missed by name', async () => {
    const result = await missedIn('vq', (tensors) => void tensors.delete('vq.encode_margin'));
    expect(result.missed).toEqual(['vq']);
    expect(result.failure).toContain('golden.safetensors has no vq.encode_margin');
  });

  test('not-a-number is missed', async () => {
    expect(await missedIn('vq', (tensors) => shift(tensors, 'vq.decode_pixels_nchw', Number.NaN))).toMatchObject({
      missed: ['vq.decode_pixels_nchw'],
    });
  });
});

describe('the command', () => {
  const run = (...folders: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', script, ...folders], { cwd: root, encoding: 'utf8' });

  test('fails for a folder that is no fixture, and without any', () => {
    const { status, stdout } = run(join(root, 'presets'));
    expect(stdout).toContain('MISSED, there is no config.json');
    expect(status).toBe(1);
    expect(run().status).toBe(2);
  });

  test('fails when the config cannot be read', () => {
    const copy = mkdtempSync(join(tmpdir(), 'golden-'));
    cpSync(whole, copy, { recursive: true });
    writeFileSync(
      join(copy, 'config.json'),
      readFileSync(join(copy, 'config.json'), 'utf8').replace('"janus"', '"other"'),
    );
    const { status, stdout } = run(copy);
    rmSync(copy, { recursive: true });
    expect(stdout).toContain('MISSED: the fixture cannot be read');
    expect(status).toBe(1);
  });
});
