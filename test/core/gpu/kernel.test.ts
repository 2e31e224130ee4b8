/** Kernels of one's own, and the places that messages about kernels name. The null back end compiles as Dawn does everywhere. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { Workspace } from '../../../core/autograd/workspace.ts';
import { Tape } from '../../../core/autograd/tape.ts';
import { ReasongenError } from '../../../core/errors.ts';
import { loadKernel, packParams, type KernelConstants } from '../../../core/gpu/kernel.ts';
import { testDevice } from '../../ops/device.ts';

const device = await testDevice();
const compiler = await testDevice({ nullBackend: true });
const folder = mkdtempSync(join(tmpdir(), 'reasongen-kernel-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
let own = '';
beforeEach(() => {
  own = join(folder, String(++count));
  mkdirSync(own);
});

function write(name: string, text: string): URL {
  writeFileSync(join(own, name), text);
  return pathToFileURL(join(own, name));
}

const bindings = `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
`;
const main = (body: string): string => `@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&out)) { return; }
  ${body}
}
`;

async function refusal(work: () => unknown): Promise<ReasongenError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ReasongenError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const compile = (kernel: string | URL, constants?: KernelConstants): Promise<ReasongenError> =>
  refusal(() => compiler.pipeline(loadKernel(kernel, constants)));

describe('a file of one’s own', () => {
  test('is launched by its URL, with a library of the program and one beside it', async () => {
    write('own.wgsl', 'fn own_gain(x: f32) -> f32 { return GAIN * x; }\nconst GAIN: f32 = 1.0;\n');
    const kernel = write(
      'gain.wgsl',
      `//! use lib/broken.wgsl\n//! use ./own.wgsl\nstruct Params {\n  shift: f32,\n}\n${bindings}@group(0) @binding(2) var<uniform> params: Params;\n${main('out[id.x] = own_gain(x[id.x]) + params.shift;')}`,
    );
    const x = device.tensor('x', [3], 'f32', Float32Array.of(1, 2, 3));
    const tape = new Tape(new Workspace(device));
    const out = tape.empty('out', [3]);
    tape.launch({ kernel, constants: { GAIN: 3 }, bindings: { x, out }, params: { shift: 0.5 }, groups: [1, 1, 1] });
    const kept = tape.output(out);
    const program = await tape.finish('own');
    program.run();
    expect([...(await device.readFloats(kept))]).toEqual([3.5, 6.5, 9.5]);
  });

  test('may begin with a byte order mark and end its lines as Windows does', async () => {
    write('own.wgsl', 'fn one() -> f32 { return 1.0; }\r\n');
    const kernel = write('bom.wgsl', `\uFEFF//! use ./own.wgsl\r\n${bindings}${main('out[id.x] = one();')}`);
    await expect(compiler.pipeline(loadKernel(kernel))).resolves.toMatchObject({
      kernel: { label: join(own, 'bom.wgsl') },
    });
  });

  test('is named where it cannot be read; what it uses, by the line that says so', async () => {
    const missing = pathToFileURL(join(own, 'nothing.wgsl'));
    expect(await refusal(() => loadKernel(missing))).toMatchObject({
      code: 'KERNEL_MISSING',
      message: `the kernel file ${join(own, 'nothing.wgsl')} cannot be read`,
    });
    for (const [use, file] of [
      ['lib/fluxes.wgsl', 'kernels/lib/fluxes.wgsl'],
      ['./other.wgsl', join(own, 'other.wgsl')],
    ]) {
      const kernel = write('uses.wgsl', `// a kernel\n//! use ${use}\n`);
      expect(await refusal(() => loadKernel(kernel))).toMatchObject({
        code: 'KERNEL_MISSING',
        message: `the kernel file ${file} cannot be read`,
        place: `${join(own, 'uses.wgsl')}:2:1`,
      });
    }
  });

  test.each(['//! include lib/cell.wgsl', '//! use lib/cell', '//! use lib/cell.wgsl for CELL', '//!use'])(
    'refuses the line "%s", which would do nothing',
    async (line) => {
      const kernel = write('directive.wgsl', `${bindings}${line}\n${main('')}`);
      expect(await refusal(() => loadKernel(kernel))).toMatchObject({
        code: 'KERNEL_DIRECTIVE',
        place: `${join(own, 'directive.wgsl')}:3:1`,
      });
    },
  );
});

describe('what the host reads of a kernel', () => {
  const declaring = (declarations: string): URL => write('declares.wgsl', `${declarations}${main('')}`);

  test.each([
    ['a gap', bindings.replace('binding(1)', 'binding(2)'), '2:23'],
    ['another group', bindings.replace('group(0)', 'group(1)'), '1:23'],
    ['no attributes', `// var<storage> in a comment\n  var<storage> x: array<f32>;\n`, '2:3'],
  ])('bindings: %s is refused', async (_what, text, position) => {
    expect(await refusal(() => loadKernel(declaring(text)))).toMatchObject({
      code: 'KERNEL_BINDINGS',
      place: `${join(own, 'declares.wgsl')}:${position}`,
    });
  });

  test.each(['size: vec2f', 'is_on: bool', 'steps: array<u32, 4>', '@align(16) a: u32'])(
    'parameters: "%s" is refused, which no launch could give',
    async (field) => {
      const kernel = declaring(`struct Params {\n  count: u32,  // of rows, in all\n  ${field}\n}\n`);
      expect(await refusal(() => loadKernel(kernel))).toMatchObject({
        code: 'KERNEL_PARAMS',
        place: `${join(own, 'declares.wgsl')}:3:3`,
      });
    },
  );

  test.each([
    ['u32', -1],
    ['u32', 2 ** 32],
    ['u32', 0.5],
    ['i32', 2 ** 31],
    ['i32', Number.NaN],
  ])('a %s is never %d', async (type, value) => {
    const kernel = loadKernel(declaring(`struct Params {\n  value: ${type},\n}\n`));
    expect(await refusal(() => packParams(kernel, { value }))).toMatchObject({ code: 'KERNEL_PARAMS' });
  });

  test('comments declare nothing', () => {
    const text = `/* struct Params { a: u32 }\n${bindings} */ ${bindings}struct Params {\n  /* b: u32, */ c: i32\n}\n`;
    const kernel = loadKernel(declaring(text));
    expect(kernel.bindings.map(({ name }) => name)).toEqual(['x', 'out']);
    expect(packParams(kernel, { c: -3 })).toHaveLength(16);
  });
});

describe('a compile error names file, line and column', () => {
  test('of the file, behind non-ASCII text', async () => {
    const kernel = write('own.wgsl', `${bindings}${main('/* → Σ 🙂 */ nothing();')}`);
    const error = await compile(kernel);
    expect(error).toMatchObject({ code: 'KERNEL_COMPILE', place: `${join(own, 'own.wgsl')}:6:16` });
    expect(error.message).toContain("unresolved call target 'nothing'");
  });

  test('of a library of the program, and of the one a launch puts in its place', async () => {
    // The kernel lacks what both ask for.
    const kernel = write('uses.wgsl', `//! use lib/cell.wgsl\n${bindings}${main('')}`);
    expect(await compile(kernel)).toMatchObject({ place: 'kernels/lib/cell.wgsl:3:16' });
    write('plain.wgsl', 'fn row() -> f32 { return 1.0; }\n');
    write('other.wgsl', '// behind a comment\nfn row() -> f32 {\n  return 1u;\n}\n');
    const chosen = write('chooses.wgsl', `//! use ./plain.wgsl as ROWS\n${bindings}${main('out[id.x] = row();')}`);
    await expect(compiler.pipeline(loadKernel(chosen))).resolves.toBeDefined();
    expect(await compile(chosen, { ROWS: './other.wgsl' })).toMatchObject({ place: `${join(own, 'other.wgsl')}:3:3` });
  });

  test('and every further one in the message', async () => {
    write('twice.wgsl', 'fn f() {}\n');
    const kernel = write('own.wgsl', `//! use ./twice.wgsl\nfn f() {}\n${bindings}${main('')}`);
    const error = await compile(kernel);
    expect(error.place).toBe(`${join(own, 'twice.wgsl')}:1:1`);
    expect(error.message).toContain(`${join(own, 'own.wgsl')}:2:1 'f' previously declared here`);
  });

  test('where nothing has a line, the file', async () => {
    const kernel = write('none.wgsl', `${bindings}${main('').replace('main', 'other')}`);
    const error = await compile(kernel);
    expect(error.place).toBe(join(own, 'none.wgsl'));
    expect(error.message).toMatch(/does not compile: .*main/);
  });

  test('wherever it stands', async () => {
    const filler = fc.constantFrom(
      '',
      '// a comment',
      '/* two\nlines */',
      'const SHORT: u32 = 8u; const behind = 1;',
      'const LONG: u32 =\n  123456u;',
      'fn half(x: f32) -> f32 { return f32(f16(x)); }',
      'fn all(x: f32) -> f32 { return subgroupAdd(x); }',
    );
    const fillers = fc.uniqueArray(filler, { maxLength: 7 });
    await fc.assert(
      fc.asyncProperty(
        fillers,
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom('\n', '\r\n'),
        fc.nat(12),
        async (lines, isInLibrary, isBehindConstant, end, indent) => {
          const wrong = `${isBehindConstant ? 'const WIDTH: u32 = 4u; ' : ' '.repeat(indent)}const wrong: u32 = nothing;`;
          const faulty = [...lines, wrong, '// the end'].join('\n').split('\n');
          const line = faulty.indexOf(wrong) + 1;
          const column = wrong.indexOf('nothing') + 1;
          const library = isInLibrary ? faulty.join(end) : '// nothing here';
          const file = isInLibrary ? ['// plain'] : faulty;
          write('library.wgsl', library);
          const kernel = write(
            'own.wgsl',
            ['//! use ./library.wgsl', ...file, ...`${bindings}${main('')}`.split('\n')].join(end),
          );
          const declared = (name: string): boolean => faulty.some((text) => text.includes(`const ${name}:`));
          const constants = Object.fromEntries(
            Object.entries({ SHORT: 1_000_000, LONG: 1, WIDTH: 12_345 }).filter(([name]) => declared(name)),
          );
          const place = isInLibrary ? `library.wgsl:${line}` : `own.wgsl:${line + 1}`;
          expect((await compile(kernel, constants)).place).toBe(join(own, `${place}:${column}`));
        },
      ),
      { numRuns: 60 },
    );
  });
});
