/**
 * A kernel is a `.wgsl` file, under `kernels/` or anywhere else. What may vary between variants of one file is declared there as
 * `const NAME: u32 = 8u;` (or `alias elem = f32;`) and replaced by the host, so that the file is valid WGSL by itself.
 * Bindings and parameters are declared in the file only: they are read from it, and ops pass both by name.
 * `//! use lib/name.wgsl` appends a shared file; lines keep their numbers. `//! use lib/name.wgsl as NAME` lets the host put another
 * file with the same functions in its place. What is used of f16 and subgroups is enabled here.
 */
import { ReasongenError } from '../errors.ts';
import {
  kernelFile,
  lineBreak,
  placeInFile,
  readKernelSource,
  shownPath,
  type KernelConstants,
  type KernelSource,
} from './kernel-source.ts';

export type { KernelConstants };

export interface KernelBinding {
  readonly index: number;
  readonly name: string;
  readonly access: 'read' | 'read_write' | 'uniform';
  /** As declared, e.g. `array<vec4f>`. */
  readonly type: string;
}

export interface KernelField {
  readonly name: string;
  readonly type: 'u32' | 'i32' | 'f32';
}

export interface Kernel extends KernelSource {
  /** File and constants, e.g. `linear/nt ROWS=8` or `mine/gain.wgsl`: shown in labels, profiles and errors. */
  readonly label: string;
  readonly bindings: readonly KernelBinding[];
  /** Fields of `struct Params`, in order; empty when the kernel takes none. */
  readonly fields: readonly KernelField[];
}

/** Reads a kernel by its path under `kernels/` (`linear/nt`) or, elsewhere, by the URL of its file. Compiles nothing. */
export function loadKernel(kernel: string | URL, constants: KernelConstants = {}): Kernel {
  const name = typeof kernel === 'string' ? kernel : shownPath(kernel);
  const label = [name, ...Object.entries(constants).map(([key, value]) => `${key}=${value}`)].join(' ');
  const source = readKernelSource(kernelFile(kernel), constants, label);
  const code = withoutComments(source.code);
  return { ...source, label, bindings: parseBindings(source, code, label), fields: parseParams(source, code, label) };
}

/** Code without comments; what follows keeps its place. */
function withoutComments(code: string): string {
  return code.replace(/\/\/.*$|\/\*[^]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, ' '));
}

function placeAt(source: KernelSource, index: number): string {
  const lines = source.code.slice(0, index).split(lineBreak);
  return placeInFile(source, lines.length, (lines.at(-1)?.length ?? 0) + 1);
}

function parseBindings(source: KernelSource, code: string, label: string): KernelBinding[] {
  const declared = /^@group\(0\)\s*@binding\((\d+)\)\s*$/;
  const bindings = [
    ...code.matchAll(/var\s*<\s*(storage|uniform)(?:\s*,\s*(read_write|read))?\s*>\s*(\w+)\s*:\s*([^;]+);/g),
  ];
  return bindings.map((match, position): KernelBinding => {
    const [, space, access, name = '', type = ''] = match;
    const [, index] =
      declared.exec(code.slice(Math.max(0, code.lastIndexOf('@group', match.index)), match.index)) ?? [];
    if (Number(index) !== position) {
      throw new ReasongenError({
        code: 'KERNEL_BINDINGS',
        message: `${label}: bindings must be numbered 0, 1, 2, … in order; "${name}" is not @group(0) @binding(${position})`,
        place: placeAt(source, match.index),
      });
    }
    return {
      index: position,
      name,
      access: space === 'uniform' ? 'uniform' : access === 'read_write' ? 'read_write' : 'read',
      type,
    };
  });
}

function parseParams(source: KernelSource, code: string, label: string): KernelField[] {
  const struct = /struct Params\s*\{([^}]*)\}/.exec(code);
  const fields = (struct?.[1] ?? '').split(',').filter((field) => field.trim() !== '');
  return fields.map((field): KernelField => {
    const [, name, type] = /^\s*(\w+)\s*:\s*(u32|i32|f32)\s*$/.exec(field) ?? [];
    if (name !== undefined) return { name, type: type as KernelField['type'] };
    throw new ReasongenError({
      code: 'KERNEL_PARAMS',
      message: `${label}: "${field.trim()}" in struct Params is no name of type u32, i32 or f32`,
      place: placeAt(source, (struct?.index ?? 0) + (struct?.[0].indexOf(field) ?? 0) + field.search(/\S/)),
      hint: 'a launch gives numbers, one to a field: spell vectors out, and put what is more into a buffer',
    });
  });
}

/**
 * Packs named parameters in the order of `struct Params`; a missing or an unknown name is an error, and so is a value that its type cannot
 * hold, but for a plan: it counts what no device could hold, and says so in bytes.
 */
export function packParams(kernel: Kernel, params: Readonly<Record<string, number>>, isPlan = false): Uint8Array {
  const view = new DataView(new ArrayBuffer(Math.max(16, Math.ceil(kernel.fields.length / 4) * 16)));
  kernel.fields.forEach((field, position) => {
    const value = params[field.name];
    if (value === undefined || !(isPlan ? Number.isFinite(value) : isOf(field.type, value))) {
      throw new ReasongenError({
        code: 'KERNEL_PARAMS',
        message: `${kernel.label}: parameter ${field.name}: ${field.type} is ${value}`,
      });
    }
    if (field.type === 'f32') view.setFloat32(position * 4, value, true);
    else if (field.type === 'i32') view.setInt32(position * 4, value, true);
    else view.setUint32(position * 4, value, true);
  });
  for (const name of Object.keys(params)) {
    if (!kernel.fields.some((field) => field.name === name)) {
      throw new ReasongenError({ code: 'KERNEL_PARAMS', message: `${kernel.label} has no parameter ${name}` });
    }
  }
  return new Uint8Array(view.buffer);
}

function isOf(type: KernelField['type'], value: number): boolean {
  if (type === 'f32') return true;
  return type === 'u32' ? value >>> 0 === value : (value | 0) === value;
}
