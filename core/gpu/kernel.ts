/**
 * A kernel is a `.wgsl` file under `kernels/`. What may vary between variants of one file is declared there as
 * `const NAME: u32 = 8u;` (or `alias elem = f32;`) and replaced here, so that the file is valid WGSL by itself.
 * Bindings and parameters are declared in the file only: they are read from it, and ops pass both by name.
 * `//! use lib/name.wgsl` appends a shared file; lines keep their numbers. `//! use lib/name.wgsl as NAME` lets the host put another
 * file with the same functions in its place. What is used of f16 and subgroups is enabled here.
 */
import { readFileSync } from 'node:fs';
import { ReasongenError } from '../errors.ts';

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

export interface Kernel {
  /** File and constants, e.g. `linear/nt ROWS=8`: shown in labels, profiles and errors. */
  readonly label: string;
  readonly source: string;
  readonly bindings: readonly KernelBinding[];
  /** Fields of `struct Params`, in order; empty when the kernel takes none. */
  readonly fields: readonly KernelField[];
}

export type KernelConstants = Readonly<Record<string, number | boolean | string>>;

const kernelRoot = new URL('../../kernels/', import.meta.url);

export function loadKernel(path: string, constants: KernelConstants = {}, root: URL = kernelRoot): Kernel {
  const label = [path, ...Object.entries(constants).map(([name, value]) => `${name}=${value}`)].join(' ');
  const file = readSource(new URL(`${path}.wgsl`, root), path);
  const replaceable = new Set<string>();
  const libraries = [...file.matchAll(/^\/\/! use (\S+)(?: as (\w+))?$/gm)].map(([, path = '', name]) => {
    const chosen = name === undefined ? undefined : constants[name];
    if (name !== undefined) replaceable.add(name);
    return readSource(new URL(typeof chosen === 'string' ? chosen : path, root), label);
  });
  const declared = Object.fromEntries(Object.entries(constants).filter(([name]) => !replaceable.has(name)));
  let source = specialise([file, ...libraries].join('\n'), declared, label);
  const code = source.replace(/\/\/.*$/gm, '');
  if (/\bf16\b/.test(code) && !/enable f16;/.test(code)) source = `enable f16; ${source}`;
  if (/\bsubgroup[A-Z]/.test(code) && !/enable subgroups;/.test(code)) source = `enable subgroups; ${source}`;
  return { label, source, bindings: parseBindings(source, label), fields: parseParams(source) };
}

function readSource(url: URL, path: string): string {
  try {
    return readFileSync(url, 'utf8');
  } catch (cause) {
    throw new ReasongenError({ code: 'KERNEL_MISSING', message: `kernel file of "${path}" cannot be read`, cause });
  }
}

function specialise(source: string, constants: KernelConstants, label: string): string {
  let result = source;
  for (const [name, value] of Object.entries(constants)) {
    const constant = new RegExp(`^(const ${name}\\s*(?::\\s*(\\w+)\\s*)?=\\s*)[^;]+;`, 'm');
    const alias = new RegExp(`^(alias ${name}\\s*=\\s*)[^;]+;`, 'm');
    if (constant.test(result)) {
      result = result.replace(constant, (_all, head: string, type: string | undefined) => {
        const literal = type === 'u32' && typeof value === 'number' ? `${value}u` : String(value);
        return `${head}${type === 'f32' ? `f32(${value})` : literal};`;
      });
    } else if (alias.test(result)) {
      result = result.replace(alias, (_all, head: string) => `${head}${value};`);
    } else {
      throw new ReasongenError({ code: 'KERNEL_CONSTANT', message: `${label}: the file declares no constant ${name}` });
    }
  }
  return result;
}

function parseBindings(source: string, label: string): KernelBinding[] {
  const pattern =
    /@group\(0\)\s*@binding\((\d+)\)\s*var<(storage|uniform)(?:\s*,\s*(read_write|read))?>\s*(\w+)\s*:\s*([^;]+);/g;
  const bindings = [...source.matchAll(pattern)].map((match): KernelBinding => {
    const access = match[2] === 'uniform' ? 'uniform' : match[3] === 'read_write' ? 'read_write' : 'read';
    return { index: Number(match[1]), name: match[4] ?? '', access, type: match[5] ?? '' };
  });
  bindings.forEach((binding, position) => {
    if (binding.index !== position) {
      throw new ReasongenError({
        code: 'KERNEL_BINDINGS',
        message: `${label}: bindings must be numbered 0, 1, 2, … in order`,
      });
    }
  });
  return bindings;
}

function parseParams(source: string): KernelField[] {
  const body = /struct Params\s*\{([^}]*)\}/.exec(source)?.[1] ?? '';
  const fields = body.replace(/\/\/.*$/gm, '').matchAll(/(\w+)\s*:\s*(u32|i32|f32)\b/g);
  return [...fields].map((match) => ({ name: match[1] ?? '', type: (match[2] ?? 'u32') as KernelField['type'] }));
}

/** Packs named parameters in the order of `struct Params`; a missing or an unknown name is an error. */
export function packParams(kernel: Kernel, params: Readonly<Record<string, number>>): Uint8Array {
  const view = new DataView(new ArrayBuffer(Math.max(16, Math.ceil(kernel.fields.length / 4) * 16)));
  kernel.fields.forEach((field, position) => {
    const value = params[field.name];
    if (value === undefined || (field.type !== 'f32' && !Number.isInteger(value))) {
      throw new ReasongenError({
        code: 'KERNEL_PARAMS',
        message: `${kernel.label}: parameter ${field.name} is ${value}`,
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
