/**
 * Where a run that was gone on with parts from one that nobody disturbed. First what was restored, exactly: every value of the state, every
 * element of every tensor; then the trajectory, step by step. The first difference is written to a file, because a test shows little of it.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSafetensors } from './safetensors.ts';

const folder = fileURLToPath(new URL('../../out/divergence/', import.meta.url));

/** Notes the first difference under a name; returns it with the place of the file, or undefined where there is none. */
export function noted(name: string, divergence: string | undefined): string | undefined {
  if (divergence === undefined) return undefined;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name.replaceAll(/[^\w.-]+/g, '-')}.txt`);
  writeFileSync(file, `${divergence}\n`);
  return `${divergence} (${file})`;
}

/** What of a checkpoint says where its run stood beside it, or what the program was: equal runs differ there. */
const ofThisRun = ['metrics', 'program'];

/** The first difference of two folders of checkpoints: state, then tensors in the order of their files. */
export async function checkpointDivergence(expected: string, found: string): Promise<string | undefined> {
  const state = (path: string): unknown => {
    const all = JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')) as Record<string, unknown>;
    return Object.fromEntries(Object.entries(all).filter(([name]) => !ofThisRun.includes(name)));
  };
  const inState = valueDivergence('state', state(expected), state(found));
  if (inState !== undefined) return inState;
  const [mine, others] = [tensorFiles(found), tensorFiles(expected)];
  if (mine.join() !== others.join()) return `files of tensors: expected ${others.join(', ')}, found ${mine.join(', ')}`;
  for (const file of mine) {
    const different = await tensorDivergence(join(expected, file), join(found, file));
    if (different !== undefined) return `${file}: ${different}`;
  }
  return undefined;
}

/** The first difference of two lists of what steps have measured, as `metricsOf` gives them. */
export function trajectoryDivergence(
  expected: readonly Readonly<Record<string, unknown>>[],
  found: readonly Readonly<Record<string, unknown>>[],
): string | undefined {
  for (const [index, line] of expected.entries()) {
    const different = valueDivergence(
      `metrics of step ${String(Number(line['step'] ?? index + 1))}`,
      line,
      found[index],
    );
    if (different !== undefined) return different;
  }
  return found.length > expected.length ? `metrics: ${found.length} lines in place of ${expected.length}` : undefined;
}

function tensorFiles(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.safetensors')).sort();
}

async function tensorDivergence(expected: string, found: string): Promise<string | undefined> {
  if (readFileSync(expected).equals(readFileSync(found))) return undefined;
  const [tensors, mine] = [await readSafetensors(expected), await readSafetensors(found)];
  for (const [name, { shape, data }] of tensors) {
    const own = mine.get(name);
    if (own === undefined) return `tensor "${name}" is missing`;
    if (own.shape.join() !== shape.join()) return `tensor "${name}" is [${own.shape}], not [${shape}]`;
    const at = [...data.keys()].find((index) => !Object.is(data[index], own.data[index]));
    if (at !== undefined) return `tensor "${name}", element ${at}: expected ${data[at]}, found ${own.data[at]}`;
  }
  return 'the header differs';
}

/** The first place, depth first, where two values of JSON differ. */
export function valueDivergence(place: string, expected: unknown, found: unknown): string | undefined {
  if (typeof expected === 'object' && expected !== null && typeof found === 'object' && found !== null) {
    const [wanted, own] = [expected, found] as Record<string, unknown>[];
    for (const name of new Set([...Object.keys(wanted ?? {}), ...Object.keys(own ?? {})])) {
      const different = valueDivergence(`${place}.${name}`, wanted?.[name], own?.[name]);
      if (different !== undefined) return different;
    }
    return undefined;
  }
  if (Object.is(expected, found)) return undefined;
  return `${place}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`;
}
