import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { listCheckpoints } from '../io/checkpoint.ts';
import { diskError } from '../io/disk.ts';
import { copyFile, link, mkdir, rm } from '../io/files.ts';
import { readRunRecord, readSamples, type SampleRecord } from '../io/records.ts';
import { readWithin } from '../io/record-file.ts';
import { loadPreset } from '../preset/load.ts';
import { presetOfRun } from '../run.ts';
import { runPreset } from '../runtime.ts';
import { createStop } from '../stop.ts';
import { savedDrawings } from './samples.ts';
import type { CommandContext } from './context.ts';

export interface ReplayOptions {
  readonly step: number;
  /** Number of the drawing among those that were saved of the step, from 0. */
  readonly sample: number;
}

/**
 * `replay RUN --step N --sample M`: draws a saved drawing again, from the last checkpoint before it, and says whether every bit of it comes
 * back. The run itself is not touched: a copy of it beside its files goes on to that step, and is removed.
 */
export async function replay(
  directory: string,
  { step, sample }: ReplayOptions,
  context: CommandContext,
): Promise<number> {
  const { path, samples } = await savedDrawings(directory, step);
  const saved = samples[sample];
  if (saved === undefined)
    throw new ReasongenError({
      code: 'NO_SAMPLES',
      message: `step ${step} has ${samples.length} saved drawings, numbered from 0`,
      place: directory,
      hint: `choose --sample 0 to ${samples.length - 1}`,
      exitCode: exitCodes.badPreset,
    });
  const copy = join(path, `.tmp-replay-${process.pid}`);
  try {
    const from = await copyBefore(path, copy, step);
    context.log.info(
      from === 0 ? `going on from the beginning to step ${step}` : `going on from step ${from} to step ${step}`,
    );
    await goOnTo(step, copy, context);
    const again = (await readSamples(copy, step))[sample];
    if (again === undefined) throw new RangeError(`step ${step} was done again and has no drawing ${sample}`);
    const differences = await differencesOf({ path, sample: saved }, { path: copy, sample: again });
    const { adapter } = await readRunRecord(copy);
    context.write(told(saved, differences, adapter['description'] ?? 'an adapter that is not known'));
    return differences.length === 0 ? exitCodes.done : exitCodes.failure;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

/** A run like this one as it was before a step, with the last checkpoint from before it. Returns the step of that; 0: none. */
async function copyBefore(path: string, copy: string, step: number): Promise<number> {
  const checkpoint = (await listCheckpoints(path)).filter((each) => each.step < step).at(-1);
  try {
    await mkdir(copy, { recursive: true });
    for (const name of ['preset.yaml', 'run.json', 'metrics.ndjson'])
      if (existsSync(join(path, name))) await copyFile(join(path, name), join(copy, name));
    if (existsSync(join(path, 'plugins'))) await eachFile(join(path, 'plugins'), join(copy, 'plugins'), copyFile);
    if (checkpoint !== undefined) await eachFile(checkpoint.path, join(copy, 'checkpoints', checkpoint.name), link);
  } catch (cause) {
    throw diskError(cause, 'copying the run', copy);
  }
  return checkpoint?.step ?? 0;
}

/** Copies a folder file by file. A checkpoint gets a second name instead: it may be as large as a disk allows, and is never written again. */
async function eachFile(
  from: string,
  to: string,
  copyOne: (source: string, target: string) => Promise<void>,
): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await eachFile(source, target, copyOne);
    else await copyOne(source, target);
  }
}

async function goOnTo(step: number, directory: string, context: CommandContext): Promise<void> {
  const { log, stop, signal, onHooks, command, environment } = context;
  // Evaluations draw with random numbers of their own.
  const settings = ['recipe.evaluations=0', 'recipe.evaluateEvery=0'];
  const loaded = await loadPreset(presetOfRun(directory), { settings, runDirectory: directory, environment });
  await runPreset(loaded, {
    runDirectory: directory,
    resume: true,
    command,
    log,
    signal,
    onHooks,
    // A stop behind the step is no stop of the command.
    stop: createStop(stop),
    again: true,
    isReplay: true,
    stopAfter: step,
  });
  if (stop.requested) throw new ReasongenError({ code: 'STOPPED', message: stop.reason, exitCode: stop.exitCode });
}

interface Drawing {
  readonly path: string;
  readonly sample: SampleRecord;
}

/** In words, what of the two is not the same to the bit. */
async function differencesOf(saved: Drawing, again: Drawing): Promise<string[]> {
  const bytes = ({ path, sample }: Drawing): Promise<Buffer | undefined> => readWithin(path, sample.image, 2 ** 26);
  const [picture, other] = [await bytes(saved), await bytes(again)];
  const [before, now] = [saved.sample, again.sample];
  const codes = (before.codes ?? []).filter((code, index) => code !== now.codes?.[index]).length;
  const scores = Object.keys({ ...before.scores, ...now.scores }).filter(
    (name) => before.scores[name]?.value !== now.scores[name]?.value,
  );
  return [
    ...(before.prompt === now.prompt ? [] : [`the prompt is "${now.prompt}"`]),
    ...(before.rationale === now.rationale ? [] : [`the rationale is "${now.rationale}"`]),
    ...(codes === 0 ? [] : [`${codes} of ${before.codes?.length} picture codes`]),
    ...tokenDifferences(before, now),
    ...(picture !== undefined && other !== undefined && picture.equals(other) ? [] : ['the picture file']),
    ...scores.map((name) => `the score of ${name}: ${now.scores[name]?.value}, not ${before.scores[name]?.value}`),
    ...(before.advantage === now.advantage ? [] : [`the advantage: ${now.advantage}, not ${before.advantage}`]),
  ];
}

function tokenDifferences({ tokens: before }: SampleRecord, { tokens: now }: SampleRecord): string[] {
  if (before === undefined || now === undefined) return [];
  const at = before.logProbability.findIndex((value, index) => value !== now.logProbability[index]);
  if (at < 0) return [];
  return [`the log-probability of token ${at}: ${now.logProbability[at]}, not ${before.logProbability[at]}`];
}

function told({ prompt, rationale }: SampleRecord, differences: readonly string[], adapter: string): string {
  const what = [`prompt: ${prompt}`, ...(rationale === '' ? [] : [`rationale: ${rationale}`])];
  if (differences.length === 0) return `${[...what, `bit-equal: drawn again by ${adapter}`].join('\n')}\n`;
  return `${[...what, `not equal: drawn again by ${adapter}, it differs in`, ...differences.map((each) => `  ${each}`)].join('\n')}\n`;
}
