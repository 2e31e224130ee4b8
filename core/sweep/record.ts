/** `sweep.json` in the directory of a sweep: what is varied, and where each run lies. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodes, ReasongenError, shellWord } from '../errors.ts';
import { diskError, replaceFile } from '../io/disk.ts';
import { mkdir } from '../io/files.ts';
import { fields, list, number, text } from '../io/record-fields.ts';
import { badRecord, parseRecord, readTextWithin } from '../io/record-file.ts';
import { scrubbedJson } from '../scrub.ts';
import type { Variant } from './axes.ts';

const fileName = 'sweep.json';

export interface SweepRun {
  /** Index of the variant. */
  readonly variant: number;
  readonly seed: number;
  /** In the directory of the sweep. */
  readonly folder: string;
}

export interface SweepRecord {
  /** The preset file, absolute, or the name of a preset in a package. */
  readonly preset: string;
  /** Of what the preset says with the settings of the last variant. */
  readonly hash: string;
  /** Of every run, as `--set` takes them. */
  readonly settings: readonly string[];
  /** The first is what the others are compared with. */
  readonly variants: readonly Variant[];
  readonly seeds: readonly number[];
  /** In the order in which they are done: all variants with the first seed first. */
  readonly runs: readonly SweepRun[];
}

/** The runs of a new sweep, each with a folder whose name says what it is. */
export function planSweep(
  base: Pick<SweepRecord, 'preset' | 'hash' | 'settings'>,
  variants: readonly Variant[],
  seeds: readonly number[],
): SweepRecord {
  const taken = new Set<string>();
  const runs = seeds.flatMap((seed) =>
    variants.map(({ name }, variant): SweepRun => {
      const wanted = `${name.replaceAll(/[^\w.=+-]+/g, '_').slice(0, 100)},seed=${seed}`;
      let folder = wanted;
      for (let count = 2; taken.has(folder); count++) folder = `${wanted}-${count}`;
      taken.add(folder);
      return { variant, seed, folder };
    }),
  );
  return { ...base, variants, seeds, runs };
}

export function isSweep(directory: string): boolean {
  return existsSync(join(directory, fileName));
}

/** Makes the directory of a sweep. Throws RUN_EXISTS where there is one. */
export async function writeSweep(directory: string, record: SweepRecord): Promise<void> {
  if (isSweep(directory))
    throw new ReasongenError({
      code: 'RUN_EXISTS',
      message: 'this directory holds a sweep already',
      place: directory,
      hint: `go on with it: npx reasongen resume ${shellWord(directory)}; or choose another --run-dir`,
      exitCode: exitCodes.badPreset,
    });
  try {
    await mkdir(directory, { recursive: true });
    const whole = { format: 'reasongen-sweep', version: 1, ...record };
    await replaceFile(join(directory, fileName), `${scrubbedJson(whole)}\n`);
  } catch (cause) {
    throw diskError(cause, 'creating the sweep', directory, 'or choose another --run-dir');
  }
}

/** Throws BAD_RECORD for what is no record of a sweep, or points out of its directory. */
export async function readSweep(directory: string): Promise<SweepRecord> {
  const path = join(directory, fileName);
  const record = fields(parseRecord((await readTextWithin(directory, fileName)) ?? '', path));
  const variants = list(record['variants'], (value): Variant | undefined => {
    const variant = fields(value);
    const name = text(variant['name'], 1000);
    return name === undefined ? undefined : { name, settings: texts(variant['settings']) };
  });
  const runs = list(record['runs'], (value): SweepRun | undefined => {
    const run = fields(value);
    const [variant, seed, folder] = [number(run['variant']), number(run['seed']), text(run['folder'], 200)];
    if (variant === undefined || seed === undefined || folder === undefined) return undefined;
    // A folder of this directory, and no other place.
    return variants[variant] === undefined || !/^[\w=+,-][\w.=+,-]*$/.test(folder)
      ? undefined
      : { variant, seed, folder };
  });
  const [preset, hash] = [text(record['preset'], 4000), text(record['hash'], 64)];
  if (
    record['format'] !== 'reasongen-sweep' ||
    record['version'] !== 1 ||
    preset === undefined ||
    hash === undefined ||
    runs.length === 0
  )
    throw badRecord(path, 'it does not describe a sweep that this program can read');
  const seeds = [...new Set(runs.map(({ seed }) => seed))];
  return { preset, hash, settings: texts(record['settings']), variants, seeds, runs };
}

function texts(value: unknown): string[] {
  return list(value, (item) => text(item, 10_000));
}
