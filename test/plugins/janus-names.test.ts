import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { StoredType, WeightSource } from '../../core/contracts/weight-source.ts';
import { readSafetensors } from '../support/safetensors.ts';
import { openWeightSource } from '../../core/io/weight-files/open.ts';
import { filtered, layered } from '../../core/io/weight-files/pieces.ts';
import { renamed } from '../../core/io/weight-files/renamed.ts';
import { nameTable } from '../../core/tensor/name-rules.ts';
import { janusNames } from '../../plugins/janus/names.ts';
import { floatTensor, torchEntries, zipFile } from '../support/torch-file.ts';

const fixture = (file: string): string => fileURLToPath(new URL(`../golden/janus/tiny-a/${file}`, import.meta.url));

async function all(source: WeightSource, name: string): Promise<Buffer> {
  const { shape = [] } = source.entries.get(name) ?? {};
  return Buffer.from(
    await source.read(
      name,
      0,
      shape.reduce((product, n) => product * n, 1),
    ),
  );
}

async function expectSame(found: WeightSource, expected: WeightSource): Promise<void> {
  expect([...found.entries.keys()].sort()).toEqual([...expected.entries.keys()].sort());
  for (const [name, entry] of expected.entries) {
    expect({ name, ...found.entries.get(name) }).toEqual({ name, ...entry });
    expect((await all(found, name)).equals(await all(expected, name)), name).toBe(true);
  }
}

/** A source in memory; every element is its place in the file of bytes. */
function made(
  tensors: Readonly<Record<string, { readonly shape: readonly number[]; readonly type?: StoredType }>>,
): WeightSource {
  const entries = new Map(
    Object.entries(tensors).map(([name, { shape, type = 'U8' as const }]) => [name, { shape, type }]),
  );
  return {
    origin: 'memory',
    entries,
    metadata: {},
    read: (_, first, count) => Promise.resolve(Uint8Array.from({ length: count }, (_each, index) => first + index)),
    close: () => Promise.resolve(),
  };
}

describe('the original file and the port', () => {
  test.each([
    ['model-original.safetensors', 'model.safetensors', 'port'],
    ['model.safetensors', 'model-original.safetensors', 'original'],
    ['model.safetensors', 'model.safetensors', 'port'],
    ['model-original.safetensors', 'model-original.safetensors', 'original'],
  ] as const)('%s is %s under the names of the %s, byte for byte', async (from, expected, layout) => {
    const source = renamed(await openWeightSource(fixture(from)), janusNames, layout);
    const wanted = await openWeightSource(fixture(expected));
    await expectSame(source, wanted);
    await source.close();
    await wanted.close();
  });

  test('the original as two PyTorch files with an index, as the 7B is published', async () => {
    const stored = [...(await readSafetensors(fixture('model-original.safetensors')))];
    const folder = mkdtempSync(join(tmpdir(), 'original-'));
    const half = Math.floor(stored.length / 2);
    const shards = {
      'pytorch_model-00001-of-00002.bin': stored.slice(0, half),
      'pytorch_model-00002-of-00002.bin': stored.slice(half),
    };
    for (const [file, tensors] of Object.entries(shards)) {
      writeFileSync(
        join(folder, file),
        zipFile(
          torchEntries(
            Object.fromEntries(
              tensors.map(([name, { shape, data }]) => [name, floatTensor(shape, [...(data as Float32Array)])]),
            ),
          ),
        ),
      );
    }
    const map = Object.entries(shards).flatMap(([file, tensors]) => tensors.map(([name]) => [name, file]));
    writeFileSync(
      join(folder, 'pytorch_model.bin.index.json'),
      JSON.stringify({ weight_map: Object.fromEntries(map) }),
    );
    const source = renamed(await openWeightSource(folder), janusNames, 'port');
    const wanted = await openWeightSource(fixture('model.safetensors'));
    await expectSame(source, wanted);
    await source.close();
    await wanted.close();
    rmSync(folder, { recursive: true });
  });

  test('there and back again', async () => {
    const source = await openWeightSource(fixture('model.safetensors'));
    await expectSame(renamed(renamed(source, janusNames, 'original'), janusNames, 'port'), source);
    await source.close();
  });
});

describe('pieces', () => {
  const qkv = 'vision_model.vision_tower.blocks.11.attn.qkv.weight';
  const part = (name: string): string => `model.vision_model.encoder.layers.11.self_attn.${name}_proj.weight`;

  test('of a fused tensor are read where they lie', async () => {
    const source = renamed(made({ [qkv]: { shape: [6, 4] } }), janusNames, 'port');
    expect(source.entries.get(part('k'))).toEqual({ shape: [2, 4], type: 'U8' });
    expect([...(await source.read(part('k'), 2, 3))]).toEqual([10, 11, 12]);
    expect([...(await source.read(part('v'), 0, 8))]).toEqual([16, 17, 18, 19, 20, 21, 22, 23]);
    await expect(source.read(part('v'), 7, 2)).rejects.toThrow(/do not exist/);
  });

  test('across the borders of what is fused', async () => {
    const source = renamed(
      made({ [part('q')]: { shape: [2, 2] }, [part('k')]: { shape: [2, 2] }, [part('v')]: { shape: [2, 2] } }),
      janusNames,
      'original',
    );
    expect(source.entries.get(qkv)).toEqual({ shape: [6, 2], type: 'U8' });
    expect([...(await source.read(qkv, 3, 6))]).toEqual([3, 0, 1, 2, 3, 0]);
  });

  test('an earlier source hides a later one, and a filter hides what is not wanted', async () => {
    const source = layered(made({ a: { shape: [1] } }), made({ a: { shape: [2] }, b: { shape: [3] } }));
    expect([...source.entries].map(([name, { shape }]) => `${name} ${shape.join()}`)).toEqual(['a 1', 'b 3']);
    expect([...filtered(source, (name) => name === 'b').entries.keys()]).toEqual(['b']);
  });
});

test('what does not fit the table is said with the tensor', () => {
  const qkv = 'vision_model.vision_tower.blocks.0.attn.qkv.bias';
  expect(() => renamed(made({ [qkv]: { shape: [7] } }), janusNames, 'port')).toThrow(
    /qkv\.bias" \[7\] holds 3 tensors/,
  );
  expect(() =>
    renamed(made({ 'vision_model.vision_tower.pos_embed': { shape: [2, 4, 4] } }), janusNames, 'port'),
  ).toThrow(/pos_embed" \[2,4,4\] should begin with an axis of length 1/);
  expect(() =>
    renamed(
      made({ 'language_model.lm_head.weight': { shape: [1] }, 'lm_head.weight': { shape: [1] } }),
      janusNames,
      'port',
    ),
  ).toThrow(/both "lm_head\.weight"/);
  const q = 'model.vision_model.encoder.layers.0.self_attn.q_proj.bias';
  expect(() => renamed(made({ [q]: { shape: [1] } }), janusNames, 'original')).toThrow(
    /made of 3 tensors, of which there are only/,
  );
  expect(() =>
    renamed(
      made({ [q]: { shape: [1] }, [q.replace('q_', 'k_')]: { shape: [2] }, [q.replace('q_', 'v_')]: { shape: [1] } }),
      janusNames,
      'original',
    ),
  ).toThrow(/differ in shape/);
});

test('what the port drops vanishes, what nobody knows stays and can be reported', () => {
  const source = renamed(
    made({
      'gen_vision_model.quantize.codebook_used': { shape: [4] },
      'vision_model.vision_tower.attn_pool.q.weight': { shape: [4] },
      'strange.weight': { shape: [1] },
    }),
    janusNames,
    'port',
  );
  expect([...source.entries.keys()]).toEqual(['strange.weight']);
});

test('names with dots match literally, numbers as a whole', () => {
  const { toPort, toOriginal } = nameTable([{ original: 'a.#.b.*', port: 'x.#.y.*' }]);
  expect(toPort('a.12.b.c.weight')?.names).toEqual(['x.12.y.c.weight']);
  expect(toPort('aX12.b.weight')).toBeUndefined();
  expect(toPort('a.1x.b.weight')).toBeUndefined();
  expect(toPort('z.a.1.b.weight')).toBeUndefined();
  expect(toOriginal('x.1.y.bias')?.name).toBe('a.1.b.bias');
});
