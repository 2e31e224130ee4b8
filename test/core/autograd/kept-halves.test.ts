/** Activations that lie in f16 between forward and backward: what is lost of them, what is not, and that a wrong kernel is found. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { narrow, widen, type ActivationType } from '../../../core/autograd/kept-halves.ts';
import type { Program } from '../../../core/autograd/program.ts';
import type { Recompute } from '../../../core/autograd/recompute.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { usesOf } from '../../../core/autograd/value-uses.ts';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { openDevice } from '../../../core/gpu/device.ts';
import { languageHead } from '../../../core/ops/language-head.ts';
import { silu } from '../../../core/ops/silu.ts';
import { scale } from '../../../core/ops/pointwise.ts';
import { at } from '../../../core/tensor/at.ts';
import { dimension, type Tensor } from '../../../core/tensor/tensor.ts';
import { randomFloats } from '../../../core/testing.ts';
import { packTokens } from '../../../core/testing/packed.ts';
import { ParameterSet } from '../../../core/weights/parameters.ts';
import { janusBackbone } from '../../../plugins/janus/backbone.ts';

const device = await openDevice();
const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
afterAll(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

/** Values of a row over 60 powers of two, whose largest differs from row to row, with zeros among them. */
function spreadRows(rows: number, columns: number, seed: number): Float32Array {
  const [values, powers] = [randomFloats(rows * columns, seed), randomFloats(rows * columns, seed + 1)];
  return values.map((value, index) => {
    const row = Math.floor(index / columns);
    if (index % 11 === 5) return 0;
    return value * 2 ** Math.round(30 * at(powers, index) + ((row * 17) % 120) - 60);
  });
}

interface Roundtrip {
  readonly halves: Uint32Array;
  readonly values: Float32Array;
}

async function roundtrip(
  x: Float32Array,
  rows: number,
  columns: number,
  kernels: Partial<Record<'narrow' | 'widen', URL>> = {},
): Promise<Roundtrip> {
  const tape = new Tape(new Workspace(device));
  const halves = tape.empty('halves', [rows, 1 + Math.ceil(columns / 2)], 'u32');
  const out = tape.empty('out', [rows, columns]);
  const launches = [narrow(device, device.tensor('x', [rows, columns], 'f32', x), halves), widen(halves, out)];
  for (const launch of launches) {
    const other = kernels[launch.kernel === 'activations/narrow' ? 'narrow' : 'widen'];
    tape.launch(other === undefined ? launch : { ...launch, kernel: other });
  }
  const [keptHalves, kept] = [tape.output(halves), tape.output(out)];
  (await tape.finish('roundtrip')).run();
  return { halves: await device.readWords(keptHalves), values: await device.readFloats(kept) };
}

/** The largest error as a share of what `narrow` allows: 2^-11 of the value, or 2^-38 of the largest of its row. */
function worst(x: Float32Array, found: Float32Array, columns: number): number {
  let most = 0;
  for (let row = 0; row * columns < x.length; row++) {
    const own = x.subarray(row * columns, (row + 1) * columns);
    const largest = own.reduce((max, value) => (Number.isFinite(value) ? Math.max(max, Math.abs(value)) : max), 0);
    own.forEach((value, column) => {
      const now = at(found, row * columns + column);
      if (!Number.isFinite(value)) {
        if (!Object.is(now, value)) most = Number.POSITIVE_INFINITY;
        return;
      }
      // What a driver may take for zero.
      const allowed = Math.max(Math.abs(value) * 2 ** -11, largest * 2 ** -38, 2 ** -126);
      const share = Math.abs(now - value) / allowed;
      most = Math.max(most, Number.isNaN(share) ? Number.POSITIVE_INFINITY : share);
    });
  }
  return most;
}

const sizes = [
  [1, 1],
  [3, 2],
  [5, 7],
  [2, 64],
  [65, 129],
  [7, 300],
] as const;

/** Rows that are easily got wrong, each filled up with small numbers. */
const edges = [
  [0, 0],
  [3.4028234663852886e38, 1e38],
  [-3.4028234663852886e38, 1e30],
  [2 ** -120, 2 ** -121],
  [65504, 65520, 1e-3],
  [16383.9, 2 ** -14, 2 ** -24, 2 ** -25, 3 * 2 ** -26],
  [Number.NaN, 2, 1],
  [Number.POSITIVE_INFINITY, 1e30, -3],
  [Number.NEGATIVE_INFINITY, Number.NaN, 1e-30],
];

describe('narrowed and widened', () => {
  test.each(sizes)('%i rows of %i: within the bound', async (rows, columns) => {
    const x = spreadRows(rows, columns, 3);
    expect(worst(x, (await roundtrip(x, rows, columns)).values, columns)).toBeLessThanOrEqual(1);
  });

  test('the largest numbers stay finite, NaN and infinity stay what they are, beside numbers that keep their bound', async () => {
    const columns = 9;
    const x = Float32Array.from(
      edges.flatMap((row) => Array.from({ length: columns }, (_, index) => row[index] ?? (row[1] ?? 0) / (index + 3))),
    );
    const { values } = await roundtrip(x, edges.length, columns);
    expect(worst(x, values, columns)).toBeLessThanOrEqual(1);
  });

  test('what f16 holds comes back as it was', async () => {
    const x = Float32Array.from({ length: 600 }, (_, index) => (index - 300) * 2 ** -7);
    expect((await roundtrip(x, 2, 300)).values).toEqual(x);
  });

  test('halves are rounded to even', async () => {
    // 2048 takes the row to units of 1 above it.
    const x = Float32Array.of(2048, 2049, 2051, 2053, -2051, 2050.5);
    expect((await roundtrip(x, 1, 6)).values).toEqual(Float32Array.of(2048, 2048, 2052, 2052, -2052, 2050));
  });

  test('a row does not depend on its neighbors', async () => {
    const [rows, columns] = [6, 35];
    const x = spreadRows(rows, columns, 9);
    x[columns * 3] = Number.NaN;
    const all = await roundtrip(x, rows, columns);
    const width = 1 + Math.ceil(columns / 2);
    for (let row = 0; row < rows; row++) {
      const alone = await roundtrip(x.slice(row * columns, (row + 1) * columns), 1, columns);
      expect(alone.halves).toEqual(all.halves.slice(row * width, (row + 1) * width));
      expect(alone.values).toEqual(all.values.slice(row * columns, (row + 1) * columns));
    }
  });
});

test.each([
  ['a thread', {}, 64],
  ['a workgroup', { ROWS: 'lib/rows/workgroup.wgsl' }, 1],
])('%s for a row writes what this adapter writes', async (_who, constants, rowsOfGroup) => {
  const [rows, columns] = [70, 35];
  const x = device.tensor('x', [rows, columns], 'f32', spreadRows(rows, columns, 4));
  const tape = new Tape(new Workspace(device));
  const both = [{}, { constants, groups: [Math.ceil(rows / rowsOfGroup), 1, 1] as const }].map((other) => {
    const halves = tape.empty('halves', [rows, 1 + Math.ceil(columns / 2)], 'u32');
    tape.launch({ ...narrow(device, x, halves), ...other });
    return tape.output(halves);
  });
  (await tape.finish('both')).run();
  const [own, other] = await Promise.all(both.map((halves) => device.readWords(halves)));
  expect(other).toEqual(own);
});

type Mutant = readonly [kernel: 'narrow' | 'widen', name: string, change: (text: string) => string];
const mutants: readonly Mutant[] = [
  ['narrow', 'values cut off', (text) => text.replace('magnitude + 0xfffu + ((magnitude >> 13u) & 1u)', 'magnitude')],
  ['narrow', 'halves rounded up', (text) => text.replace('0xfffu + ((magnitude >> 13u) & 1u)', '0x1000u')],
  ['narrow', 'the largest rounded up', (text) => text.replace('min(0x73ffu, ', 'min(0x7fffu, ')],
  ['narrow', 'no values below 2^-14', (text) => text.replace('exponent < 102u', 'exponent < 113u')],
  ['narrow', 'those cut off', (text) => text.replace('select(0u, 1u, rest > middle', 'select(0u, 0u, rest > middle')],
  ['narrow', 'a power too many', (text) => text.replace('140 - i32', '143 - i32')],
  [
    'narrow',
    'the power of what is infinite',
    (text) => text.replace('if (magnitude < 0x7f800000u) { most', 'if (true) { most'),
  ],
  [
    'narrow',
    'the power of a part of the row',
    (text) => text.replace('c < params.columns; c += LANES', 'c < min(64u, params.columns); c += LANES'),
  ],
  ['narrow', 'a last odd value lost', (text) => text.replace('(params.columns + 1u) / 2u', 'params.columns / 2u')],
  ['narrow', 'signs lost', (text) => text.replace('(bits >> 16u) & 0x8000u', '0u')],
  ['narrow', 'infinity for NaN', (text) => text.replace('sign | 0x7e00u', 'sign | 0x7c00u')],
  [
    'widen',
    'the power of the row before',
    (text) => text.replace('halves[first])', 'halves[first - min(first, width + 1u)])'),
  ],
  ['widen', 'neighbors exchanged', (text) => text.replace('widened(pair & 0xffffu', 'widened(pair >> 16u')],
  ['widen', 'small values as large ones', (text) => text.replace('magnitude >= 0x400u', 'magnitude >= 0x1u')],
  ['widen', 'infinity a number', (text) => text.replace('magnitude >= 0x7c00u', 'magnitude >= 0x7fffu')],
  [
    'widen',
    'rows past the end of a row',
    (text) => text.replace('if (c + 1u < params.columns) { out', 'if (true) { out'),
  ],
];

test.each(mutants)('%s with %s is found', async (name, what, change) => {
  const source = readFileSync(new URL(`../../../kernels/activations/${name}.wgsl`, import.meta.url), 'utf8');
  const changed = change(source);
  expect(changed).not.toBe(source);
  const file = join(folder, `${name} ${what}.wgsl`.replaceAll(' ', '-'));
  writeFileSync(file, changed);
  let most = 0;
  const cases: (readonly [x: Float32Array, rows: number, columns: number])[] = sizes.map(([rows, columns]) => [
    spreadRows(rows, columns, 3),
    rows,
    columns,
  ]);
  const columns = 9;
  cases.push([
    Float32Array.from(edges.flatMap((row) => Array.from({ length: columns }, (_, index) => row[index] ?? 1e-3))),
    edges.length,
    columns,
  ]);
  for (const [x, rows, width] of cases) {
    const { values } = await roundtrip(x, rows, width, { [name]: pathToFileURL(file) });
    most = Math.max(most, worst(x, values, width));
  }
  const even = Float32Array.of(2048, 2049, 2051, 2053);
  const rounded = (await roundtrip(even, 1, 4, { [name]: pathToFileURL(file) })).values;
  const isEven = rounded.every((value, index) => value === [2048, 2048, 2052, 2052][index]);
  expect(most > 1 || !isEven).toBe(true);
});

describe('a decoder', () => {
  const backbone = janusBackbone('test', {
    hidden: 96,
    layers: 4,
    heads: 6,
    keyValueHeads: 2,
    mlp: 130,
    ropeTheta: 1e4,
    normEpsilon: 1e-6,
    textVocabulary: 40,
    imageVocabulary: 24,
    codeDimension: 8,
  });

  interface Pass {
    readonly program: Program;
    readonly hidden: Float32Array;
    readonly gradients: ReadonlyMap<string, { readonly data: Float32Array }>;
  }

  async function pass(recompute: Recompute, activations: ActivationType): Promise<Pass> {
    const parameters = new ParameterSet(device, backbone.parameters, { seed: 3, trainable: () => true });
    const sequences = [7, 19, 13, 30].map((length) =>
      Array.from({ length }, (_, index) => ({ id: (index * 5) % 24, isImage: index > length / 2 })),
    );
    const { tokens } = packTokens(device, sequences);
    const tape = new Tape(new Workspace(device), { recompute, activations });
    parameters.watch(tape);
    const hidden = backbone.hidden(tape, parameters, tokens);
    const kept = tape.output(hidden);
    const seed = randomFloats(tokens.count * dimension(hidden, -1), 5);
    tape.seed(hidden, device.tensor('seed', hidden.shape, 'f32', seed));
    tape.backward();
    const program = await tape.finish('pass');
    program.run();
    return { program, hidden: await device.readFloats(kept), gradients: await parameters.read('gradients') };
  }

  const norm = (values: readonly number[]): number => Math.hypot(...values);

  test.each<[string, Recompute]>([
    ['everything kept', false],
    ['blocks computed again', true],
    ['some of them kept', { budget: 300_000 }],
  ])(
    '%s: no bit of the way forward changes, gradients by less than 2^-10, and it takes less',
    async (_name, recompute) => {
      const [exact, rounded] = [await pass(recompute, 'f32'), await pass(recompute, 'f16')];
      expect(rounded.hidden).toEqual(exact.hidden);
      let changed = 0;
      for (const [name, { data }] of exact.gradients) {
        const other = rounded.gradients.get(name)?.data ?? new Float32Array();
        const difference = norm(Array.from(data, (value, index) => value - at(other, index)));
        const size = norm(Array.from(data));
        if (difference > 0) changed++;
        expect(difference, `${name}, of ${size}`).toBeLessThanOrEqual(size * 2 ** -10);
      }
      expect(changed).toBeGreaterThan(20);
      expect(rounded.program.plan.bytes).toBeLessThan(exact.program.plan.bytes);
    },
  );
});

describe('what is narrowed', () => {
  const x = device.tensor('x', [8, 16], 'f32', randomFloats(128, 1));
  const weight = device.tensor('weight', [8, 16], 'f32', randomFloats(128, 2));

  /** Kernels of a program that records `inside` as a block, with the values that it makes widened. */
  async function kernelsOf(inside: (tape: Tape, value: Tensor) => Tensor): Promise<string[]> {
    const tape = new Tape(new Workspace(device), { activations: 'f16' });
    tape.watch(weight, device.tensor('gradient', weight.shape));
    const entering = scale(tape, weight, 2);
    const out = tape.block(() => inside(tape, entering));
    tape.seed(silu(tape, out), x);
    tape.backward();
    const program = await tape.finish('narrowed');
    const written = new Set<number>();
    for (const step of program.steps) {
      const { values, writes } = usesOf(step);
      for (const id of writes) written.add(id);
      expect(values.every((id) => written.has(id))).toBe(true);
    }
    return program.steps.flatMap((step) => ('kernel' in step ? [step.kernel.label.replace(/ .*/, '')] : []));
  }

  test('is what a block reads or makes and the way back reads again, once', async () => {
    const kernels = await kernelsOf((tape, value) => silu(tape, silu(tape, value)));
    // What enters, what lies between, and what leaves, which the last silu goes back through.
    expect(kernels.filter((name) => name === 'activations/narrow')).toHaveLength(3);
    expect(kernels.filter((name) => name === 'activations/widen')).toHaveLength(3);
    expect(kernels.lastIndexOf('activations/narrow')).toBeLessThan(kernels.indexOf('activations/widen'));
  });

  test('is not what only the way forward reads', async () => {
    const kernels = await kernelsOf((tape, value) => scale(tape, scale(tape, value, 2), 3));
    expect(kernels.filter((name) => name === 'activations/narrow')).toHaveLength(1);
  });

  test.each([128, 512])('is not what logits are made again from, in chunks of %i columns of 300', async (chunk) => {
    const [rows, width, vocabulary] = [12, 32, 300];
    const ids = device.tensor(
      'ids',
      [rows],
      'u32',
      Uint32Array.from({ length: rows }, (_, row) => (row * 37) % 300),
    );
    const head = device.tensor('head', [vocabulary, width], 'f32', randomFloats(vocabulary * width, 6, 3));
    const states = device.tensor('states', [rows, width], 'f32', randomFloats(rows * width, 7, 3));
    const gradient = async (activations: ActivationType): Promise<Float32Array> => {
      const tape = new Tape(new Workspace(device), { activations });
      const dHead = device.tensor('gradient', head.shape);
      const dStates = device.tensor('gradient of states', states.shape);
      tape.watch(head, dHead);
      tape.watch(states, dStates);
      const hidden = tape.block(() => silu(tape, silu(tape, states)));
      const out = languageHead(tape, hidden, head, undefined, ids, { temperature: 1, chunk });
      tape.seed(out, device.tensor('seed', out.shape, 'f32', randomFloats(2 * rows, 8)));
      tape.backward();
      (await tape.finish('head')).run();
      return device.readFloats(dHead);
    };
    const [exact, rounded] = [await gradient('f32'), await gradient('f16')];
    const difference = Math.hypot(...exact.map((value, index) => value - at(rounded, index)));
    expect(difference).toBeLessThan(Math.hypot(...exact) * 2 ** -10);
  });

  test('is not what is exact', async () => {
    const kernels = await kernelsOf((tape, value) => {
      const statistics = tape.empty('statistics', value.shape, 'f32', { exact: true });
      const copy = (from: Tensor, out: Tensor): void =>
        tape.launch({
          kernel: 'pointwise/scale',
          bindings: { x: from, out },
          params: { count: 128, factor: 1 },
          groups: [1, 1, 1],
        });
      tape.detached(() => copy(value, statistics));
      const out = tape.empty('out', value.shape);
      tape.detached(() => copy(value, out));
      tape.differentiable([value], out, () => {
        const back = tape.empty('back', value.shape);
        copy(statistics, back);
        return [back];
      });
      return out;
    });
    expect(kernels.filter((name) => name === 'activations/narrow')).toHaveLength(1);
  });
});
