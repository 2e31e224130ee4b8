/** Weights stored as f16: layout, rounding, what is refused, the memory they need, and what a whole model loses. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ParameterSet, type WeightStorage } from '../../../core/weights/parameters.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import type { Backbone } from '../../../core/contracts/backbone.ts';
import type { Device } from '../../../core/gpu/device.ts';
import { PlanningDevice } from '../../../core/gpu/planning-device.ts';
import { at, fromHalves, randomFloats, randomWords, relativeError, toHalves } from '../../../core/testing.ts';
import { janusBackbone } from '../../../plugins/janus/backbone.ts';
import { unifiedBackbone } from '../../../plugins/unified/backbone.ts';
import { packTokens } from '../../../core/testing/packed.ts';
import { testDevice } from '../../ops/device.ts';

const device = await testDevice();

const specs = [
  { name: 'matrix', shape: [3, 5], init: { normal: 1 } },
  { name: 'gain', shape: [7], init: { constant: 0.1 } },
  { name: 'second', shape: [4, 3], init: { constant: 0.1 } },
] as const;

type Values = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** One value in place of an element of one tensor, the rest zero. */
function valuesWith(name: string, index: number, value: number): Values {
  return new Map(
    specs.map((spec) => {
      const data = new Float32Array(spec.shape.reduce<number>((product, n) => product * n, 1));
      if (spec.name === name) data[index] = value;
      return [spec.name, { shape: spec.shape, data }];
    }),
  );
}

describe('storage f16', () => {
  test('matrices are halves in an arena of their own, vectors stay f32, both bindable', async () => {
    const set = new ParameterSet(device, specs, { seed: 1, storage: 'f16' });
    const plain = new ParameterSet(device, specs, { seed: 1 });
    expect(specs.map(({ name }) => set.get(name).type)).toEqual(['f16', 'f32', 'f16']);
    expect(specs.map(({ name }) => plain.get(name).type)).toEqual(['f32', 'f32', 'f32']);
    expect(set.arenas.map(({ values, gradients, elements }) => [values.type, gradients, elements])).toEqual([
      ['f16', undefined, 256],
      ['f32', undefined, 64],
    ]);
    const place = set.get('second').memory;
    expect('buffer' in place && place.offset).toBe(256);
    const [half, full] = [await set.read(), await plain.read()];
    expect(half.get('matrix')?.data).toEqual(fromHalves(toHalves(full.get('matrix')?.data ?? new Float32Array())));
    expect(half.get('matrix')?.data).not.toEqual(full.get('matrix')?.data);
    expect(half.get('gain')).toEqual(full.get('gain'));
    expect(half.get('second')?.data).toEqual(new Float32Array(12).fill(0.0999755859375));
    set.close();
    plain.close();
  });

  test(
    'loading rounds to the nearest half, ties to even; reading gives what is stored',
    { timeout: 60_000 },
    async () => {
      const set = new ParameterSet(device, [{ name: 'w', shape: [1, 3], init: { constant: 0 } }], {
        seed: 1,
        storage: 'f16',
      });
      const finite = fc.float({ noNaN: true, min: -65504, max: 65504 });
      const ties = fc
        .integer({ min: 1024, max: 2046 })
        .chain((mantissa) => fc.integer({ min: -24, max: 5 }).map((power) => (mantissa + 0.5) * 2 ** power));
      await fc.assert(
        fc.asyncProperty(finite, finite, ties, async (...given) => {
          set.load(new Map([['w', { shape: [1, 3], data: Float32Array.from(given) }]]), 'given');
          const stored = (await set.read()).get('w')?.data ?? [];
          given.forEach((value, index) => {
            // Nearest in units of the last place at this size: 2^-24 below the normal range. `round` is half to even.
            const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1)));
            const unit = 2 ** (exponent - 10);
            expect(at(stored, index) + 0).toBe(halfToEven(value / unit) * unit + 0);
          });
        }),
        {
          numRuns: 300,
          examples: [
            [65504, -65504, 1024.5],
            [2 ** -25, 2 ** -24, 1025.5],
            [-0, 3 * 2 ** -25, 1 + 2 ** -11],
          ],
        },
      );
      set.close();
    },
  );

  test('what f16 cannot store is refused with its name, and nothing is written', async () => {
    const set = new ParameterSet(device, specs, { seed: 1, storage: 'f16' });
    const before = await set.read();
    for (const value of [65504.004, -65520].map(Math.fround)) {
      expect(() => set.load(valuesWith('second', 5, value), 'model.safetensors')).toThrow(
        expect.objectContaining({
          code: 'VALUE_TOO_LARGE',
          message: `weight "second" holds ${value} at element 5; f16 stores values up to ±65504`,
          place: 'model.safetensors',
        }),
      );
    }
    for (const value of [Number.NEGATIVE_INFINITY, Number.NaN]) {
      for (const name of ['second', 'gain']) {
        expect(() => set.load(valuesWith(name, 5, value), 'model.safetensors')).toThrow(
          expect.objectContaining({
            code: 'WEIGHT_NOT_FINITE',
            message: `weight "${name}" holds ${value} at element 5`,
            place: 'model.safetensors',
          }),
        );
      }
    }
    expect([...(await set.read())]).toEqual([...before]);
    set.load(valuesWith('gain', 2, 1e30), 'large gains are f32');
    expect((await set.read()).get('gain')?.data[2]).toBe(Math.fround(1e30));
    expect(
      () =>
        new ParameterSet(device, [{ name: 'hot', shape: [1, 1], init: { constant: 1e5 } }], {
          seed: 1,
          storage: 'f16',
        }),
    ).toThrow('weight "hot" holds 100000 at element 0');
    set.close();
  });

  test('what is trained, what is no matrix and what must be exact stays f32', () => {
    const more = [
      ...specs,
      { name: 'kernel', shape: [2, 2, 3, 3], init: { normal: 1 } },
      { name: 'codebook', shape: [8, 8], init: { normal: 1 }, exact: true },
    ] as const;
    const set = new ParameterSet(device, more, { seed: 1, storage: 'f16', trainable: (name) => name === 'matrix' });
    expect(more.map(({ name }) => `${name} ${set.get(name).type} ${set.isTrained(name)}`)).toEqual([
      'matrix f32 true',
      'gain f32 false',
      'second f16 false',
      'kernel f32 false',
      'codebook f32 false',
    ]);
    expect(set.gradient('matrix')?.shape).toEqual([3, 5]);
    expect(set.gradient('second')).toBeUndefined();
    // What is trained has an arena of its own: nothing else needs gradients, flags or optimizer state.
    expect(
      set.arenas.map(({ values, gradients, flags }) => [values.type, gradients !== undefined, flags.shape[0]]),
    ).toEqual([
      ['f32', true, 1],
      ['f32', false, 1],
      ['f16', false, 1],
    ]);
    const chosen = new ParameterSet(device, specs, {
      seed: 1,
      storage: ({ name }) => (name === 'matrix' ? 'bf16' : 'f32'),
    });
    expect(specs.map(({ name }) => chosen.get(name).type)).toEqual(['bf16', 'f32', 'f32']);
  });

  test('arenas end where the adapter can bind no more; halves take half as much of that', async () => {
    const narrow = Object.create(device, {
      limits: { value: { maxStorageBufferBindingSize: 1024, maxBufferSize: 1024 } },
    }) as Device;
    const many = ['a', 'b', 'c', 'd', 'e'].flatMap((name) => [
      { name, shape: [16, 16], init: { normal: 1 } },
      { name: `${name} bias`, shape: [100], init: { normal: 1 } },
    ]);
    const half = new ParameterSet(narrow, many, { seed: 2, storage: 'f16' });
    expect(half.arenas.map(({ values, elements }) => `${values.type} ${elements}`)).toEqual([
      'f16 512',
      'f32 256',
      'f16 512',
      'f32 256',
      'f16 256',
      'f32 128',
    ]);
    const full = await new ParameterSet(device, many, { seed: 2 }).read();
    const read = await half.read();
    for (const { name, shape } of many) {
      const expected = full.get(name)?.data ?? new Float32Array();
      expect(read.get(name)?.data).toEqual(shape.length > 1 ? fromHalves(toHalves(expected)) : expected);
    }
    expect(
      () => new ParameterSet(narrow, [{ name: 'w', shape: [528], init: { normal: 1 } }], { seed: 2, storage: 'f16' }),
    ).toThrow('weight w [528] has 2304 bytes; this adapter binds at most 1024');
    expect(
      () =>
        new ParameterSet(narrow, [{ name: 'w', shape: [2, 528], init: { normal: 1 } }], { seed: 2, storage: 'f16' }),
    ).toThrow('weight w [2,528] has 2304 bytes; this adapter binds at most 1024');
  });
});

test('gradients are read from the arenas that have them', async () => {
  const narrow = Object.create(device, {
    limits: { value: { maxStorageBufferBindingSize: 512, maxBufferSize: 512 } },
  }) as Device;
  const names = ['a', 'b', 'c'];
  const set = new ParameterSet(
    narrow,
    names.map((name) => ({ name, shape: [128], init: { constant: 0 } })),
    { seed: 1, trainable: (name) => name !== 'a' },
  );
  for (const name of ['b', 'c']) {
    const gradient = set.gradient(name);
    if (gradient === undefined) throw new Error(`${name} has no gradient`);
    device.write(gradient, new Float32Array(128).fill(name.charCodeAt(0)));
  }
  const read = await set.read('gradients');
  expect([...read].map(([name, { data }]) => [name, data[127]])).toEqual([
    ['b', 98],
    ['c', 99],
  ]);
});

const nano = {
  hidden: 128,
  layers: 6,
  heads: 4,
  keyValueHeads: 4,
  mlp: 336,
  ropeTheta: 10000,
  normEpsilon: 1e-6,
  textVocabulary: 301,
  imageVocabulary: 256,
};
const backbones: readonly Backbone[] = [
  janusBackbone('janus', { ...nano, codeDimension: 8, codebook: randomFloats(256 * 8, 9) }),
  unifiedBackbone('unified', { ...nano, keyValueHeads: 2, queryKeyNorm: true }),
];

describe.each(backbones.map((backbone) => ({ name: backbone.name, backbone })))(
  '$name at nano size',
  ({ backbone }) => {
    test(
      'hidden states and logits with f16 and bf16 weights are those with f32 weights but for the rounding',
      { timeout: 60_000 },
      async () => {
        const sequences = [9, 30, 51].map((length, row) => [
          ...Array.from(randomWords(length, row, 301), (id) => ({ id, isImage: false })),
          ...Array.from(randomWords(16, row + 9, 256), (id) => ({ id, isImage: true })),
        ]);
        const packed = packTokens(device, sequences);
        const run = async (storage: WeightStorage): Promise<Float32Array[]> => {
          const weights = new ParameterSet(device, backbone.parameters, { seed: 4, storage });
          const workspace = new Workspace(device);
          const tape = new Tape(workspace);
          const hidden = backbone.hidden(tape, weights, packed.tokens);
          const kept = [
            hidden,
            backbone.textLogits(tape, weights, hidden),
            backbone.imageLogits(tape, weights, hidden),
          ].map((tensor) => tape.output(tensor));
          const program = await tape.finish(storage);
          program.run();
          const values = (await device.read(kept)) as Float32Array[];
          program.dispose();
          workspace.close();
          weights.close();
          return values;
        };
        const full = await run('f32');
        for (const [storage, most] of [
          ['f16', 2e-3],
          ['bf16', 2e-2],
        ] as const) {
          const stored = await run(storage);
          const errors = full.map((expected, index) => relativeError(stored[index] ?? [], expected));
          expect(errors).toHaveLength(3);
          for (const error of errors) expect(error).toBeLessThan(most);
          // The halves were really used.
          for (const error of errors) expect(error).toBeGreaterThan(most / 200);
        }
      },
    );

    test('a plan counts what the device allocates, matrices at two bytes a value', () => {
      const bytes = (on: Device, storage: WeightStorage): number => {
        const before = on.memory.bytes;
        const set = new ParameterSet(on, backbone.parameters, { seed: 1, storage });
        const used = on.memory.bytes - before;
        set.close();
        return used;
      };
      const planning = new PlanningDevice(device.limits, device.adapter);
      for (const storage of ['f32', 'f16', 'int8'] as const)
        expect(bytes(planning, storage)).toBe(bytes(device, storage));
      const vectors = backbone.parameters
        .filter(({ shape }) => shape.length === 1)
        .reduce((sum, { shape }) => sum + at(shape, 0) * 4, 0);
      expect((bytes(device, 'f16') - vectors) / (bytes(device, 'f32') - vectors)).toBeCloseTo(0.5, 1);
    });
  },
);

function halfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
