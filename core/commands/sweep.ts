import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { exitCodes, PresetError, ReasongenError, shellWord } from '../errors.ts';
import { explainError } from '../failure.ts';
import { replaceFile } from '../io/disk.ts';
import { type Lock, takeLock } from '../io/lock.ts';
import { presetFile } from '../io/run-directory.ts';
import { type LoadedPreset, loadPreset } from '../preset/load.ts';
import { formatDifference, formatShare } from '../report/summary.ts';
import { mean } from '../rl/statistics.ts';
import { freeRunDirectory, isDone } from '../run.ts';
import { readInputs } from '../run-inputs.ts';
import { createStop } from '../stop.ts';
import { parseAxis, parseSeeds, variantsOf } from '../sweep/axes.ts';
import { planSweep, readSweep, type SweepRecord, type SweepRun, writeSweep } from '../sweep/record.ts';
import {
  type BenchmarkResult,
  compareVariants,
  readResults,
  type RunResult,
  type SeededDifference,
  type VariantResult,
} from '../sweep/results.ts';
import type { CommandContext } from './context.ts';
import { resume, type ResumeOptions, run } from './run.ts';
import { textTable } from './text-table.ts';

export interface SweepOptions {
  /** Texts `PATH=VALUE,VALUE`. */
  readonly sweep: readonly string[];
  /** A number of seeds, or a list; that of the preset unless told. */
  readonly seeds?: string;
}

/** `run PRESET --sweep … --seeds …`: every combination with every seed, one after the other, in `--run-dir` or `runs/NAME-sweep`. */
export async function startSweep(file: string, options: SweepOptions, context: CommandContext): Promise<number> {
  const { settings, runDirectory, environment } = context;
  const named = options.seeds === undefined ? undefined : parseSeeds(options.seeds, settings);
  const variants = variantsOf(options.sweep.map(parseAxis), named ?? [0]);
  // All of them before any: a slip in the last one is no surprise of the next morning.
  let loaded: LoadedPreset | undefined;
  for (const variant of variants)
    loaded = await loadPreset(file, { settings: [...settings, ...variant.settings], environment });
  const directory = resolve(runDirectory ?? freeRunDirectory(`${loaded?.name ?? 'runs'}-sweep`));
  const preset = existsSync(file) ? resolve(file) : file;
  const hash = await hashOf(loaded);
  const seeds = named ?? [loaded?.stages[0]?.preset.seed ?? 0];
  await writeSweep(directory, planSweep({ preset, hash, settings }, variants, seeds));
  return goOnWithSweep(directory, {}, context);
}

/** `resume DIRECTORY` of a sweep. Throws BAD_SETTING: its runs were begun with other settings, and those to come would not be like them. */
export async function resumeSweep(
  folder: string,
  options: Pick<ResumeOptions, 'acceptChanges'>,
  context: CommandContext,
): Promise<number> {
  const [setting] = context.settings;
  if (setting === undefined) return goOnWithSweep(resolve(folder), options, context);
  throw new PresetError({
    code: 'BAD_SETTING',
    message: 'the runs of a sweep keep the settings they began with',
    place: `--set ${setting}`,
    hint: `leave it out; a single run takes it: npx reasongen resume ${shellWord(folder)}/RUN --set …; or start another sweep`,
  });
}

/** Does what is missing and what no other process is doing, and prints the table again. */
async function goOnWithSweep(
  directory: string,
  { acceptChanges = false }: Pick<ResumeOptions, 'acceptChanges'>,
  context: CommandContext,
): Promise<number> {
  const { log, stop, write } = context;
  const sweep = await readSweep(directory);
  if (!acceptChanges) await refuseAnotherPreset(directory, sweep, context);
  const failures: ReasongenError[] = [];
  let elsewhere = 0;
  for (const [index, one] of sweep.runs.entries()) {
    if (stop.requested) break;
    const lock = await claim(directory, one);
    if (lock === undefined) {
      elsewhere++;
      continue;
    }
    try {
      if (await isDone(join(directory, one.folder))) continue;
      log.info(`run ${index + 1} of ${sweep.runs.length}: ${sweep.variants[one.variant]?.name}, seed ${one.seed}`);
      const failure = await runOne(directory, sweep, one, { acceptChanges }, context);
      if (failure === undefined) continue;
      failures.push(failure);
      log.warn(`${one.folder} failed: ${failure.message}; the others go on`);
    } finally {
      lock.release();
    }
  }
  write(await tableOf(directory, sweep));
  const again = `npx reasongen resume ${shellWord(directory)}`;
  if (elsewhere > 0)
    log.info(
      `passed over ${elsewhere} of ${sweep.runs.length} runs, which other processes do; the table of all: ${again}`,
    );
  if (stop.requested) log.info(`stopped: ${stop.reason}; go on with: ${again}`);
  return stop.requested ? stop.exitCode : (failures[0]?.exitCode ?? exitCodes.done);
}

/** Several processes, on one machine or on many, may share a sweep: each takes the runs that no other is doing. */
async function claim(directory: string, { folder }: SweepRun): Promise<Lock | undefined> {
  return takeLock(join(directory, `${folder}.lock`), 'this run of the sweep').catch((error: unknown) => {
    if (error instanceof ReasongenError && error.code === 'RUN_LOCKED') return undefined;
    throw error;
  });
}

/** Starts a run of a sweep, or goes on with it. What ends it, but for a mistake that would end every one of them. */
async function runOne(
  directory: string,
  sweep: SweepRecord,
  one: SweepRun,
  options: Pick<ResumeOptions, 'acceptChanges'>,
  context: CommandContext,
): Promise<ReasongenError | undefined> {
  const path = join(directory, one.folder);
  const own = { ...context, stop: createStop(context.stop), write: () => {} };
  try {
    const exitCode = existsSync(join(path, presetFile))
      ? await resume(path, options, { ...own, settings: [] })
      : await run(sweep.preset, { ...own, runDirectory: path, settings: settingsOf(sweep, one) });
    if (exitCode === exitCodes.done || context.stop.requested) return undefined;
    return new ReasongenError({ code: 'RUN_STOPPED', message: own.stop.reason, place: path, exitCode });
  } catch (error) {
    const failure = explainError(error);
    if (failure.code === 'NOTHING_TO_TRAIN') return undefined;
    return failure;
  }
}

function settingsOf({ settings, variants }: SweepRecord, { variant, seed }: SweepRun): string[] {
  return [...settings, ...(variants[variant]?.settings ?? []), `seed=${seed}`];
}

/** Of what the last variant of a sweep does, and of the files that it does it with. */
async function hashOf(loaded: LoadedPreset | undefined): Promise<string> {
  if (loaded === undefined) return '';
  const what: unknown[] = [];
  for (const stage of loaded.stages) {
    const inputs = Object.entries(await readInputs(stage, loaded)).map(([option, { sha256 }]) => [option, sha256]);
    what.push([stage.preset.components, inputs]);
  }
  return createHash('sha256').update(JSON.stringify(what)).digest('hex');
}

/** Runs that have begun know what they do; those that have not would do something else. */
async function refuseAnotherPreset(
  directory: string,
  sweep: SweepRecord,
  { environment }: CommandContext,
): Promise<void> {
  const settings = [...sweep.settings, ...(sweep.variants.at(-1)?.settings ?? [])];
  if ((await hashOf(await loadPreset(sweep.preset, { settings, environment }))) === sweep.hash) return;
  throw new ReasongenError({
    code: 'INPUTS_CHANGED',
    message: `${sweep.preset}, or a file that it names, says something else than when the sweep began: its runs could not be compared`,
    place: directory,
    hint: 'put it back, or start another sweep; resume with --accept-changes goes on all the same',
    exitCode: exitCodes.badPreset,
  });
}

async function tableOf(directory: string, sweep: SweepRecord): Promise<string> {
  const results = await readResults(directory, sweep);
  const benchmarks = compareVariants(sweep, results);
  await replaceFile(
    join(directory, 'results.json'),
    `${JSON.stringify({ seeds: sweep.seeds, benchmarks }, undefined, 2)}\n`,
  );
  if (benchmarks.length === 0) return rewardTable(sweep, results);
  return `${benchmarks.map((each) => benchmarkTable(each, sweep)).join('\n\n')}\n`;
}

function benchmarkTable(
  { benchmark, split, score, pictures, variants }: BenchmarkResult,
  { seeds }: SweepRecord,
): string {
  const hasGain = variants.some(({ gain }) => gain !== undefined);
  const hasDifference = variants.length > 1;
  const head = ['', ...seeds.map((seed) => `seed ${seed}`), ...(seeds.length > 1 ? ['mean'] : [])];
  const rows = variants.map((variant) => [
    variant.name,
    ...scoreCells(variant.scores),
    ...(hasGain ? [differenceCell(variant.gain)] : []),
    ...(hasDifference ? [variant.difference === undefined ? '' : differenceCell(variant.difference)] : []),
  ]);
  const columns = [...head, ...(hasGain ? ['after − before'] : []), ...(hasDifference ? ['− the first'] : [])];
  return [
    `${benchmark}, ${split}, ${score}, ${pictures} prompts a run`,
    ...textTable([columns, ...rows]).map((line) => `  ${line}`),
    '  Differences are paired picture by picture, with 95 % intervals over the prompts; clear: the interval leaves out 0 and every seed agrees.',
  ].join('\n');
}

function scoreCells(scores: VariantResult['scores']): string[] {
  const known = scores.filter((score) => score !== undefined);
  return [
    ...scores.map((score) => (score === undefined ? '–' : formatShare(score))),
    ...(scores.length > 1 ? [known.length === 0 ? '–' : formatShare(mean(known))] : []),
  ];
}

function differenceCell(difference: SeededDifference | undefined): string {
  if (difference === undefined) return '–';
  const { agreeing, seeds, isClear } = difference;
  const verdict = isClear ? 'clear' : 'within noise';
  return `${formatDifference(difference)} ${verdict}${seeds > 1 ? `, ${agreeing} of ${seeds} seeds` : ''}`;
}

/** Without a benchmark there is nothing to pair. */
function rewardTable({ variants, seeds }: SweepRecord, results: readonly RunResult[]): string {
  const rows = variants.map(({ name }, variant) => [
    name,
    ...seeds.map((seed) => {
      const reward = results.find((each) => each.variant === variant && each.seed === seed)?.reward;
      return reward === undefined ? '–' : reward.toFixed(3);
    }),
  ]);
  return [
    'reward, mean of the last tenth of the steps',
    ...textTable([['', ...seeds.map((seed) => `seed ${seed}`)], ...rows]).map((line) => `  ${line}`),
    '  No run has an evaluation, so nothing says which differences are clear of noise: set recipe.evaluations and benchmarks.\n',
  ].join('\n');
}
