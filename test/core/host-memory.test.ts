/** Host memory while a checkpoint is loaded does not depend on the size of the model. */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'sparse-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A safetensors file of bf16 tensors, all holes but for a few random bytes at the beginning of each. */
function sparseFile(name: string, tensors: Readonly<Record<string, readonly number[]>>): number {
  const header: Record<string, unknown> = {};
  let offset = 0;
  const begins: number[] = [];
  for (const [tensor, shape] of Object.entries(tensors)) {
    const end = offset + shape.reduce((product, n) => product * n, 2);
    header[tensor] = { dtype: 'BF16', shape, data_offsets: [offset, end] };
    begins.push(offset);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(folder, name), 'w');
  writeSync(file, Buffer.concat([length, json]), 0, undefined, 0);
  for (const begin of begins) writeSync(file, Buffer.from('3d003f80bc00', 'hex'), 0, undefined, 8 + json.length + begin);
  ftruncateSync(file, 8 + json.length + offset);
  closeSync(file);
  return offset;
}

test('of a checkpoint of four gigabytes two are loaded within half a gigabyte; the vision tower and the codec are not read', { timeout: 120_000 }, () => {
  const layer = (index: number): Record<string, readonly number[]> =>
    Object.fromEntries(['q', 'k', 'v', 'o'].map((part) => [`language_model.model.layers.${index}.self_attn.${part}_proj.weight`, [8192, 8192]]));
  const shards: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = {
    'pytorch_model-1.safetensors': { 'language_model.model.embed_tokens.weight': [102400, 4096], 'vision_model.vision_tower.blocks.0.attn.qkv.weight': [49152, 16384] },
    'pytorch_model-2.safetensors': { ...layer(0), 'vision_model.vision_tower.pos_embed': [1, 576, 1024] },
    'pytorch_model-3.safetensors': { 'language_model.lm_head.weight': [102400, 4096], 'gen_vision_model.decoder.conv_in.weight': [512, 256, 3, 3] },
  };
  const map = Object.entries(shards).flatMap(([file, tensors]) => Object.keys(tensors).map((name) => [name, file]));
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: Object.fromEntries(map) }));
  const total = Object.entries(shards).reduce((sum, [file, tensors]) => sum + sparseFile(file, tensors), 0);
  expect(total).toBeGreaterThan(3.8e9);

  const script = fileURLToPath(new URL('../support/load-sparse.ts', import.meta.url));
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', 'tsx', script, folder], { encoding: 'utf8' });
  expect(stderr).not.toMatch(/Error/);
  expect(status).toBe(0);
  const { bytes, grown, progress, read, unread } = JSON.parse(stdout) as { bytes: number; grown: number; progress: number; read: string[]; unread: string[] };
  expect(bytes).toBe(2 * (2 * 102400 * 4096 + 4 * 8192 * 8192));
  expect(unread).toEqual(['gen_vision_model.decoder.conv_in.weight', 'vision_model.vision_tower.blocks.0.attn.qkv.weight', 'vision_model.vision_tower.pos_embed']);
  expect(read).toHaveLength(6);
  expect(progress).toBeGreaterThan(30);
  // The bound is 2 GiB beyond the largest tensor (0.84 GB here).
  expect(grown).toBeLessThan(512 * 2 ** 20);
});
