/** The fixtures kept here, held to what their description says to aim at, and every mistake it names, which must be missed. */
import type { PictureArray } from '../../../core/contracts/backbone.ts';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { openDevice, type Device } from '../../../core/gpu/device.ts';
import { storedType } from '../../../core/weights/layout.ts';
import type { LookingConfig } from '../../../plugins/qwen-vl/config.ts';
import { resultOf } from '../harness.ts';
import { loadQwenFixture, type Mistake } from './fixture.ts';
import { qwenGroupNames, qwenGroups, type QwenGroup } from './harness.ts';

const root = fileURLToPath(new URL('../qwen-vl/', import.meta.url));
const names = readdirSync(root);

let device: Device;
let workspace: Workspace;
beforeAll(async () => {
  device = await openDevice();
  workspace = new Workspace(device);
});
afterAll(() => device.close());

test('two fixtures of Qwen2.5-VL and one of Qwen3-VL are there', () => {
  expect(names).toEqual(['qwen2.5-tiny-a', 'qwen2.5-tiny-b', 'qwen3-tiny-a']);
});

describe.each(names)('%s', (name) => {
  test.each(qwenGroupNames)('%s', async (group) => {
    const fixture = await loadQwenFixture(`${root}${name}`);
    const { rows, failure } = await resultOf(group, () => qwenGroups[group]({ device, workspace, fixture }));
    expect(failure).toBeUndefined();
    expect(rows.filter(({ error, aim }) => !(error <= aim))).toEqual([]);
  });
});

describe.each(names)('%s in fewer bits', (name) => {
  // What storage costs: largest error over the largest value of the tensor; see storage.test.ts. What is no code is bf16 in int8 and int4. Four bits cost as
  // much as is seen: the fixtures' weights are as wide as they can be, and what matters is that it is no more.
  test.each([
    ['f16', 8e-3],
    ['bf16', 6e-2],
    ['int8', 6e-2],
    ['int4', 6e-1],
  ] as const)('%s', async (storage, bound) => {
    const fixture = await loadQwenFixture(`${root}${name}`);
    const specs = [...fixture.backbone.parameters, ...fixture.vision.parameters];
    expect(specs.filter((spec) => storedType(spec, storage) === storage).length).toBeGreaterThan(1);
    const stored: typeof fixture = { ...fixture, weights: (on) => fixture.weights(on, storage) };
    for (const [group, row] of [
      ['vision', 'vision.features'],
      ['one', 'one.logits (backbone)'],
    ] as const) {
      const { rows, failure } = await resultOf(group, () => qwenGroups[group]({ device, workspace, fixture: stored }));
      expect(failure).toBeUndefined();
      const error = rows.find((each) => each.name === row)?.error;
      expect(error).toBeLessThan(bound);
      // It was stored in fewer bits.
      expect(error).toBeGreaterThan(1e-5);
    }
  });
});

type Arrays = Readonly<Record<string, PictureArray>>;

const words = (values: ArrayLike<number>, shape: readonly number[]): PictureArray => ({
  shape,
  values: Uint32Array.from(values),
});

function given(arrays: Arrays, name: string): PictureArray {
  const found = arrays[name];
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** Rows of the patches as they would lie in raster order, for one picture after the other. */
function inRaster(arrays: Arrays, { vision }: LookingConfig): PictureArray {
  const { shape, values } = given(arrays, 'patches');
  const width = shape[1] ?? 1;
  const positions = given(arrays, 'positions').values;
  const order = arrays['patchOrder']?.values ?? Uint32Array.from({ length: shape[0] ?? 0 }, (_, i) => i);
  const start = given(arrays, 'pictureStart').values;
  // Rows of the table of positions are in the order of the blocks; those of the patches are not.
  const places = Array.from(order, (patch, row) => ({
    patch,
    y: positions[2 * row] ?? 0,
    x: positions[2 * row + 1] ?? 0,
  }));
  const raster = places.toSorted((a, b) => (start[a.patch] ?? 0) - (start[b.patch] ?? 0) || a.y - b.y || a.x - b.x);
  const mixed = new Float32Array(values.length);
  raster.forEach(({ patch }, row) => mixed.set(values.subarray(patch * width, (patch + 1) * width), row * width));
  if (vision.merge < 2) throw new Error('raster order is right without merging');
  return { shape, values: mixed };
}

/** Query heads as if head j read key/value head j mod count: rows of the queries, and columns behind them, change places. */
function groupedByModulo(name: string, data: Float32Array, { text }: LookingConfig): Float32Array {
  const { heads, keyValueHeads, headDimension } = text;
  const group = heads / keyValueHeads;
  // Head j computes with key/value head floor(j / group): whoever reads j mod count is put there.
  const source = Array.from({ length: heads }, (_, j) => (j % group) * keyValueHeads + Math.floor(j / group));
  const isQuery = /q_proj\.(weight|bias)$/.test(name);
  const isOut = name.endsWith('self_attn.o_proj.weight');
  if (!isQuery && !isOut) return data;
  const width = isQuery ? data.length / heads : headDimension;
  const rows = isQuery ? 1 : data.length / (heads * headDimension);
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    source.forEach((from, to) => {
      const first = row * heads * width;
      result.set(data.subarray(first + from * width, first + (from + 1) * width), first + to * width);
    });
  return result;
}

const mistakes: readonly {
  readonly name: string;
  readonly fixtures: readonly string[];
  readonly mistake: Mistake;
  readonly group: QwenGroup;
  /** The row that must be missed. */
  readonly row: string;
}[] = [
  {
    name: 'no windows',
    fixtures: ['qwen2.5-tiny-a', 'qwen2.5-tiny-b'],
    mistake: {
      arrays: (arrays) => ({
        ...arrays,
        windowStart: given(arrays, 'pictureStart'),
        windowEnd: given(arrays, 'pictureEnd'),
      }),
    },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'windows everywhere',
    fixtures: ['qwen2.5-tiny-a', 'qwen2.5-tiny-b'],
    mistake: {
      arrays: (arrays) => ({
        ...arrays,
        pictureStart: given(arrays, 'windowStart'),
        pictureEnd: given(arrays, 'windowEnd'),
      }),
    },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'pictures attend to each other',
    fixtures: names,
    mistake: {
      arrays(arrays) {
        const { shape } = given(arrays, 'pictureStart');
        const rows = shape[0] ?? 0;
        return {
          ...arrays,
          pictureStart: words(new Uint32Array(rows), shape),
          pictureEnd: words(new Uint32Array(rows).fill(rows), shape),
        };
      },
    },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'positions of patches not sorted by windows',
    fixtures: ['qwen2.5-tiny-a', 'qwen2.5-tiny-b'],
    mistake: {
      arrays(arrays) {
        const { shape, values } = given(arrays, 'positions');
        const unsorted = new Uint32Array(values.length);
        given(arrays, 'patchOrder').values.forEach((patch, row) =>
          unsorted.set(values.slice(2 * row, 2 * row + 2), 2 * patch),
        );
        return { ...arrays, positions: words(unsorted, shape) };
      },
    },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'features not put back in order',
    fixtures: ['qwen2.5-tiny-a', 'qwen2.5-tiny-b'],
    mistake: {
      arrays(arrays) {
        const { shape, values } = given(arrays, 'vectorOrder');
        return {
          ...arrays,
          vectorOrder: words(
            values.map((_, i) => i),
            shape,
          ),
        };
      },
    },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'patches in raster order',
    fixtures: names,
    mistake: { arrays: (arrays, config) => ({ ...arrays, patches: inRaster(arrays, config) }) },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'frequencies of the tower over the whole head',
    fixtures: names,
    // θ^(−i / 2n) for n pairs of an axis is (√θ)^(−i / n).
    mistake: {
      config: (config) => ({
        ...config,
        vision: { ...config.vision, ropeTheta: Math.sqrt(config.vision.ropeTheta) },
      }),
    },
    group: 'vision',
    row: 'vision.features',
  },
  {
    name: 'positions of text for the tokens of pictures',
    fixtures: names,
    mistake: {
      place: ({ vectors }) => ({
        vectors,
        offsets: Uint32Array.from({ length: 3 * vectors }, (_, i) => Math.floor(i / 3)),
        extent: vectors,
      }),
    },
    group: 'one',
    row: 'one.logits (backbone)',
  },
  ...(['contiguous', 'interleaved'] as const).map((order) => ({
    name: `sections of positions ${order}`,
    fixtures: names.filter((name) => name.startsWith('qwen3') === (order === 'contiguous')),
    mistake: {
      decoder: (decoder): typeof decoder =>
        decoder.rotaryAxes === undefined ? decoder : { ...decoder, rotaryAxes: { ...decoder.rotaryAxes, order } },
    } satisfies Mistake,
    group: 'one' as const,
    row: 'one.logits',
  })),
  {
    name: 'no biases of queries, keys and values',
    fixtures: ['qwen2.5-tiny-a', 'qwen2.5-tiny-b'],
    mistake: {
      weight: (name, data) => (/self_attn\.[qkv]_proj\.bias$/.test(name) ? new Float32Array(data.length) : data),
    },
    group: 'one',
    row: 'one.logits (backbone)',
  },
  {
    name: 'heads grouped by modulo',
    fixtures: ['qwen2.5-tiny-b', 'qwen3-tiny-a'],
    mistake: { weight: groupedByModulo },
    group: 'one',
    row: 'one.logits (backbone)',
  },
  {
    name: 'no deepstack',
    fixtures: ['qwen3-tiny-a'],
    mistake: {
      weight: (name, data) =>
        /deepstack_merger_list\.\d+\.linear_fc2/.test(name) ? new Float32Array(data.length) : data,
    },
    group: 'one',
    row: 'one.logits (backbone)',
  },
  {
    name: 'row and column exchanged',
    fixtures: names,
    mistake: {
      place: ({ vectors, offsets, extent }) => ({
        vectors,
        offsets: offsets.map((_, i) => offsets[i % 3 === 0 ? i : i + (i % 3 === 1 ? 1 : -1)] ?? 0),
        extent,
      }),
    },
    group: 'one',
    row: 'one.logits (backbone)',
  },
];

const cases = mistakes.flatMap(({ fixtures, ...rest }) => fixtures.map((fixture) => ({ ...rest, fixture })));

test.each(cases)('$name in $fixture is missed by far', async ({ fixture: name, mistake, group, row }) => {
  const fixture = await loadQwenFixture(`${root}${name}`, mistake);
  const { rows, failure } = await resultOf(group, () => qwenGroups[group]({ device, workspace, fixture }));
  expect(failure).toBeUndefined();
  const found = rows.find((each) => each.name === row);
  expect(found?.error, JSON.stringify(rows)).toBeGreaterThan(20 * (found?.tolerance ?? Number.NaN));
});
