/**
 * What a run writes down about itself, as it lies in its directory:
 *
 *     preset.yaml               the resolved preset
 *     run.json                  RunRecord
 *     metrics.ndjson            Metrics, a line per step
 *     samples/step-000010/      samples.jsonl with a SampleRecord per line, and their pictures
 *     evaluations/*.json        Evaluation, named <benchmark>.<split>.<label>
 *     checkpoints/, log.txt, report.html
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Evaluation, PassCount } from '../contracts/evaluation.ts';
import type { Score } from '../contracts/reward.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { diskError, hasCode } from './disk.ts';
import { readMetrics, type Metrics } from './metrics.ts';

export interface RunSession {
  /** Program and arguments as typed: `['npx', 'reasongen', 'run', 'presets/nano/grpo.yaml']`. */
  readonly command: readonly string[];
  /** ISO 8601, as are all times. */
  readonly startedAt: string;
  /** Absent while the session runs, or when its process was killed. */
  readonly finishedAt?: string;
  readonly outcome?: 'done' | 'stopped' | 'failed';
  /** Why it failed or stopped. */
  readonly note?: string;
  /** What went otherwise than asked for: a damaged checkpoint that was passed over, for instance. */
  readonly warnings?: readonly string[];
}

export interface RunRecord {
  readonly format: 'reasongen-run';
  readonly version: 1;
  readonly name: string;
  /** Path of the preset as given, if it came from a file. */
  readonly preset?: string;
  /** E.g. reasongen, node, webgpu, platform. */
  readonly versions: Readonly<Record<string, string>>;
  /** E.g. description, kind, driver, features. */
  readonly adapter: Readonly<Record<string, string>>;
  readonly seeds: Readonly<Record<string, number>>;
  /** Commit of the program, with `+changes` when the tree was modified. */
  readonly commit?: string;
  /** sha256 of what went in: checkpoint, tokenizer, codec, … */
  readonly hashes: Readonly<Record<string, string>>;
  /** Of the last session that ended by itself: plannedBytes and peakBytes on the device, and how many buffers, submits and passes were made. */
  readonly memory?: Readonly<Record<string, number>>;
  /** The first start and every resume. */
  readonly sessions: readonly RunSession[];
}

/** One drawing of a training step, a line of samples.jsonl. */
export interface SampleRecord {
  readonly prompt: string;
  readonly task: string;
  readonly rationale: string;
  /** Path of the picture; relative to samples.jsonl in the file, to the run's directory when read. */
  readonly image: string;
  /** By the name of the reward. */
  readonly scores: Readonly<Record<string, Score>>;
  /** The weighted sum of the scores. */
  readonly total: number;
  readonly advantage?: number;
  readonly seed?: number;
  readonly id?: string;
  /** False when the length cap cut the rationale. */
  readonly rationaleEnded?: boolean;
  readonly codes?: readonly number[];
}

/** Everything a report is made from. */
export interface RunRecords {
  readonly directory: string;
  readonly run: RunRecord;
  readonly preset: string;
  readonly metrics: readonly Metrics[];
  /** By step, then label. */
  readonly evaluations: readonly Evaluation[];
  /** Those of the last step that has any; paths relative to `directory`. */
  readonly samples: readonly SampleRecord[];
  readonly sampleStep?: number;
}

/** Reads the records of a run, also while it runs. */
export async function readRunRecords(directory: string): Promise<RunRecords> {
  const run = await readRunRecord(directory);
  const preset = (await readText(join(directory, 'preset.yaml'))) ?? '';
  const metrics = await readMetrics(join(directory, 'metrics.ndjson'));
  const evaluations = await readEvaluations(join(directory, 'evaluations'));
  return { directory, run, preset, metrics, evaluations, ...(await readLastSamples(directory)) };
}

/** The run.json of a directory. Throws NOT_A_RUN when there is none. */
export async function readRunRecord(directory: string): Promise<RunRecord> {
  const path = join(directory, 'run.json');
  const text = await readText(path);
  if (text === undefined) {
    throw new ReasongenError({
      code: 'NOT_A_RUN',
      message: 'this is not the directory of a run: it has no run.json',
      place: directory,
      hint: 'give a directory that "reasongen run" made',
      exitCode: exitCodes.badPreset,
    });
  }
  const run = parseRecord(text, path) as Partial<RunRecord>;
  if (run.format !== 'reasongen-run' || !Array.isArray(run.sessions))
    throw badRecord(path, 'it does not describe a run');
  if (run.version !== 1) throw badRecord(path, `it has version ${String(run.version)}; this program reads version 1`);
  return run as RunRecord;
}

async function readEvaluations(folder: string): Promise<Evaluation[]> {
  const names = (await listOrNone(folder)).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  const records = await Promise.all(names.map((name) => readEvaluation(join(folder, name))));
  return records.sort((a, b) => a.step - b.step || (a.label < b.label ? -1 : 1));
}

async function readEvaluation(path: string): Promise<Evaluation> {
  const record = parseRecord((await readText(path)) ?? '', path) as Partial<Evaluation>;
  const { label, benchmark, split, step, overall, tasks, samples } = record;
  const isNamed = [label, benchmark, split].every((name) => typeof name === 'string');
  if (!isNamed || !Number.isSafeInteger(step) || !Array.isArray(samples))
    throw badRecord(path, 'it does not describe an evaluation');
  for (const count of [overall, ...Object.values(tasks ?? {})]) {
    if (!isPassCount(count)) throw badRecord(path, 'its passes and totals are not counts');
  }
  return record as Evaluation;
}

async function readLastSamples(directory: string): Promise<{ samples: SampleRecord[]; sampleStep?: number }> {
  const steps = (await listOrNone(join(directory, 'samples'))).filter((name) => /^step-\d+$/.test(name)).sort();
  const name = steps.at(-1);
  if (name === undefined) return { samples: [] };
  const path = join(directory, 'samples', name, 'samples.jsonl');
  const lines = ((await readText(path)) ?? '').split('\n').slice(0, -1);
  const samples = lines.map((line, index) => {
    const sample = parseRecord(line, `${path}:${index + 1}`) as SampleRecord;
    return { ...sample, image: join('samples', name, sample.image) };
  });
  return { samples, sampleStep: Number(name.slice('step-'.length)) };
}

function isPassCount(value: unknown): boolean {
  const { passes, total } = (value ?? {}) as Partial<PassCount>;
  return (
    Number.isSafeInteger(passes) &&
    Number.isSafeInteger(total) &&
    Number(passes) >= 0 &&
    Number(passes) <= Number(total)
  );
}

function parseRecord(text: string, place: string): object {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw badRecord(place, 'it is not a JSON object');
}

function badRecord(place: string, message: string): ReasongenError {
  return new ReasongenError({
    code: 'BAD_RECORD',
    message,
    place,
    hint: 'remove or repair the file',
    exitCode: exitCodes.disk,
  });
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return undefined;
    throw diskError(cause, 'reading a record', path);
  });
}

async function listOrNone(path: string): Promise<string[]> {
  return readdir(path).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return [];
    throw diskError(cause, 'listing records', path);
  });
}
