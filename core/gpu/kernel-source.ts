/** The text of a kernel: its file and the shared files it uses, with constants replaced, and the way back from a place in it to a place in a file. */
import { readFileSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReasongenError } from '../errors.ts';
import { matrixExtension } from './subgroup-matrices.ts';

export type KernelConstants = Readonly<Record<string, number | boolean | string>>;

/** A file of a kernel as it is written. */
interface KernelFile {
  /** As messages name it. */
  readonly path: string;
  readonly text: string;
}

export interface KernelSource {
  /** What is compiled: `enable` directives in a line of their own where they were added, then the files end to end. */
  readonly code: string;
  readonly files: readonly KernelFile[];
}

const kernelRoot = new URL('../../kernels/', import.meta.url);
/** As WGSL counts lines. */
export const lineBreak = /\r\n|[\n\v\f\r\u0085\u2028\u2029]/;

/** The file of a kernel: a path under `kernels/` without its ending, or the URL of a file elsewhere. */
export function kernelFile(kernel: string | URL): URL {
  return typeof kernel === 'string' ? new URL(`${kernel}.wgsl`, kernelRoot) : kernel;
}

/** `kernels/linear/nt.wgsl` for what comes with the program; another file relative to the working directory where it lies in there. */
export function shownPath(file: URL): string {
  if (file.href.startsWith(kernelRoot.href)) return `kernels/${file.href.slice(kernelRoot.href.length)}`;
  if (file.protocol !== 'file:') return file.href;
  const path = fileURLToPath(file);
  const near = relative(process.cwd(), path);
  return near.startsWith('..') || isAbsolute(near) ? path : near;
}

/**
 * Reads a kernel. Throws KERNEL_MISSING for a file that cannot be read, KERNEL_DIRECTIVE for a line of `//!` that says nothing known,
 * KERNEL_CONSTANT for a constant that no file declares.
 */
export function readKernelSource(file: URL, constants: KernelConstants, label: string): KernelSource {
  const main = readKernelFile(file, label);
  const chosen = new Set<string>();
  const libraries = directives(main).map(({ path, name, place }) => {
    if (name !== undefined) chosen.add(name);
    const choice = name === undefined ? undefined : constants[name];
    const specifier = typeof choice === 'string' ? choice : path;
    return readKernelFile(new URL(specifier, /^\.\.?\//.test(specifier) ? file : kernelRoot), place);
  });
  const files = [main, ...libraries];
  const texts = files.map(({ text }) => text);
  for (const [name, value] of Object.entries(constants)) {
    if (!chosen.has(name)) replaceConstant(texts, name, value, label);
  }
  const written = texts.join('\n');
  const enables = directivesFor(written);
  return { code: enables === '' ? written : `${enables}\n${written}`, files };
}

/** `file:line:column` of a place in the code, both counted from one. */
export function placeInFile({ code, files }: KernelSource, line: number, column: number): string {
  const codeLines = code.split(lineBreak);
  const fileLines = files.map(({ text }) => text.split(lineBreak));
  const added = codeLines.length - fileLines.reduce((sum, lines) => sum + lines.length, 0);
  let within = Math.max(0, line - 1 - added);
  for (const [index, lines] of fileLines.entries()) {
    const written = lines[within];
    if (written !== undefined)
      return `${files[index]?.path}:${within + 1}:${columnIn(written, codeLines[line - 1] ?? written, column)}`;
    within -= lines.length;
  }
  throw new RangeError(`the code has no line ${line}`);
}

/** The column of a line as written, from one of the line in which a constant may have been replaced. */
function columnIn(written: string, code: string, column: number): number {
  let head = 0;
  while (head < Math.min(written.length, code.length) && written[head] === code[head]) head++;
  if (column <= head + 1) return column;
  let tail = 0;
  while (
    tail < Math.min(written.length, code.length) - head &&
    written[written.length - 1 - tail] === code[code.length - 1 - tail]
  )
    tail++;
  return column > code.length - tail ? column + written.length - code.length : head + 1;
}

interface Directive {
  readonly path: string;
  /** The constant by which a launch puts another file in its place. */
  readonly name: string | undefined;
  readonly place: string;
}

function directives({ path: file, text }: KernelFile): Directive[] {
  return text.split(lineBreak).flatMap((line, index): Directive[] => {
    if (!line.startsWith('//!')) return [];
    const place = `${file}:${index + 1}:1`;
    const [, path, name] = /^\/\/!\s*use\s+(\S+\.wgsl)(?:\s+as\s+(\w+))?\s*$/.exec(line) ?? [];
    if (path !== undefined) return [{ path, name, place }];
    throw new ReasongenError({
      code: 'KERNEL_DIRECTIVE',
      message: `"${line.trim()}" is no directive of a kernel`,
      place,
      hint: 'write `//! use lib/philox.wgsl`, `//! use ./mine.wgsl` for a file beside this one, `//! use lib/rows/thread.wgsl as ROWS`, or a plain comment',
    });
  });
}

function readKernelFile(file: URL, place: string): KernelFile {
  try {
    return { path: shownPath(file), text: readFileSync(file, 'utf8').replace(/^\uFEFF/, '') };
  } catch (cause) {
    throw new ReasongenError({
      code: 'KERNEL_MISSING',
      message: `the kernel file ${shownPath(file)} cannot be read`,
      place,
      hint: 'a file of your own is given as `new URL("./name.wgsl", import.meta.url)`; a text is a path under kernels/ without its ending',
      cause,
    });
  }
}

/** Replaces the value of a `const` or an `alias` in the file that declares it; the lines keep their numbers. */
function replaceConstant(texts: string[], name: string, value: number | boolean | string, label: string): void {
  const declaration = new RegExp(`^(const ${name}\\s*(?::\\s*(\\w+)\\s*)?=\\s*|alias ${name}\\s*=\\s*)([^;]+);`, 'm');
  const index = texts.findIndex((text) => declaration.test(text));
  const text = texts[index];
  if (text === undefined) {
    throw new ReasongenError({ code: 'KERNEL_CONSTANT', message: `${label}: the file declares no constant ${name}` });
  }
  texts[index] = text.replace(declaration, (_all, head: string, type: string | undefined, old: string) => {
    const literal = type === 'u32' && typeof value === 'number' ? `${value}u` : String(value);
    return `${head}${type === 'f32' ? `f32(${value})` : literal};${'\n'.repeat(old.split(lineBreak).length - 1)}`;
  });
}

/** What is used of f16, subgroups and their matrices and not enabled. */
function directivesFor(code: string): string {
  const plain = code.replace(/\/\/.*$/gm, '');
  const isMissing = (use: RegExp, feature: string): boolean => use.test(plain) && !plain.includes(`enable ${feature};`);
  return [
    isMissing(/\bf16\b/, 'f16') ? 'enable f16;' : '',
    isMissing(/\bsubgroup[A-Z]|@builtin\(subgroup_/, 'subgroups') ? 'enable subgroups;' : '',
    isMissing(/\bsubgroup_matrix_/, matrixExtension) ? `enable ${matrixExtension};` : '',
  ]
    .filter(Boolean)
    .join(' ');
}
