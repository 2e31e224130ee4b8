/**
 * What a run writes down about itself, as it lies in its directory:
 *
 *     preset.yaml               the resolved preset
 *     origins.yaml              the same as the run began with it, each value followed by where it came from
 *     plugins/                  copies of the plugins it names
 *     run.json                  RunRecord
 *     metrics.ndjson            Metrics, a line per step
 *     samples/step-000010/      samples.jsonl with a SampleRecord per line, and their pictures
 *     evaluations/*.json        Evaluation, named <benchmark>.<split>.<label>, and beside it
 *     evaluations/*.jsonl       a VerdictRecord per line, one for every picture
 *     pictures/, evidence/      of the recipe `evaluate`: what it drew, and what judges said of it
 *     playground/               drawings that somebody asked for on the live page, as those in samples/
 *     requests/                 what somebody asks of a run that goes on (requests.ts)
 *     checkpoints/, log.txt, report.html
 */
import { join } from 'node:path';
import type { Evaluation } from '../contracts/evaluation.ts';
import type { Score } from '../contracts/reward.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { readEntries } from './checkpoint-folder.ts';
import { checkScore, isPicture, readEvaluations } from './evaluation-records.ts';
import { readMetrics, type Metrics } from './metrics.ts';
import { count, fields, list, map, number, present, text, time } from './record-fields.ts';
import { badRecord, linesWithin, listWithin, parseRecord, readTextWithin, readWithin } from './record-file.ts';

/** The resolved preset of a run's beginning, with the origins of its values. */
export const presetOriginsFile = 'origins.yaml';

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
  /** What ended a session that failed. */
  readonly error?: RunFailure;
  /** What went otherwise than asked for: a damaged checkpoint that was passed over, for instance. */
  readonly warnings?: readonly string[];
}

/** An error as it was shown. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  readonly place?: string;
  readonly hint?: string;
}

/** A file or folder that a run reads. */
export interface RecordedInput {
  /** Absolute; of a plugin the one its copy was made from. */
  readonly path: string;
  /** Of the content; for a plugin with the files it imports. */
  readonly sha256: string;
  /** Of the package, for a plugin that was installed. */
  readonly version?: string;
}

/** A plugin that was edited while the run went on, and whose rewards judge by the edited file from a step on. */
export interface PluginEdit {
  /** The first step that was judged by it. */
  readonly step: number;
  /** The file that was edited, absolute. */
  readonly file: string;
  /** sha256 of it, with the files it imports, as it was when the run began; an edit of another beginning counts for nothing. */
  readonly from: string;
  /** The same of what was picked up. */
  readonly sha256: string;
  /** The copy that is kept of it, relative to the run's directory. */
  readonly copy: string;
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
  /** What the run works from, by the option that names it: `recipe.promptFile`, `plugins[0]`. */
  readonly inputs?: Readonly<Record<string, RecordedInput>>;
  /** In the order in which they were picked up. */
  readonly edits?: readonly PluginEdit[];
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
  /** Path of the picture: relative to samples.jsonl in the file, to the run's directory when read. */
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
  readonly tokens?: RecordedTokens;
}

/** What the model put behind the prompt, token by token. */
export interface RecordedTokens {
  /** Of the rationale's tokens. */
  readonly text: readonly string[];
  /** In nats, of every token: rationale, image start where there is a rationale, image codes. */
  readonly logProbability: readonly number[];
  readonly entropy: readonly number[];
}

/** Everything a report is made from. */
export interface RunRecords {
  readonly directory: string;
  readonly run: RunRecord;
  readonly preset: string;
  readonly metrics: readonly Metrics[];
  /** Lines of metrics.ndjson that are no records. */
  readonly badLines: number;
  /** By step, then label. */
  readonly evaluations: readonly Evaluation[];
  /** Those of the last step that has any; paths relative to `directory`. */
  readonly samples: readonly SampleRecord[];
  readonly sampleStep?: number;
  /** The step of the newest checkpoint; whether it is whole is not looked at. */
  readonly checkpointStep?: number;
}

/**
 * Reads the records of a run, also while it runs. The one reader of all records: whatever it returns has the declared types, finite
 * numbers and texts of bounded length, from files that lie in the directory itself. Throws BAD_RECORD for a file that is no record.
 */
export async function readRunRecords(directory: string): Promise<RunRecords> {
  const run = await checkedRunRecord(directory);
  const preset = text(await readTextWithin(directory, 'preset.yaml'), 1e6) ?? '';
  const { metrics, badLines } = await readMetrics(join(directory, 'metrics.ndjson'));
  const evaluations = await readEvaluations(directory);
  const checkpointStep = (await readEntries(join(directory, 'checkpoints'))).at(-1)?.step;
  return {
    directory,
    run,
    preset,
    metrics,
    badLines,
    evaluations,
    ...(await readLastSamples(directory)),
    ...present({ checkpointStep }),
  };
}

/** The run.json of a directory, with everything in it, to be written back. Throws NOT_A_RUN when there is none. */
export async function readRunRecord(directory: string): Promise<RunRecord> {
  const path = join(directory, 'run.json');
  const json = await readTextWithin(directory, 'run.json');
  if (json === undefined) {
    throw new ReasongenError({
      code: 'NOT_A_RUN',
      message: 'this is not the directory of a run: it has no run.json',
      place: directory,
      hint: 'give a directory that "reasongen run" made',
      exitCode: exitCodes.badPreset,
    });
  }
  const run = parseRecord(json, path) as Partial<RunRecord>;
  if (run.format !== 'reasongen-run' || !Array.isArray(run.sessions))
    throw badRecord(path, 'it does not describe a run');
  if (run.version !== 1) throw badRecord(path, `it has version ${String(run.version)}; this program reads version 1`);
  return run as RunRecord;
}

/** The run.json of a directory, to be shown: values that are not what they should be are left out. Throws as `readRunRecord` does. */
export async function checkedRunRecord(directory: string): Promise<RunRecord> {
  return checkRun(await readRunRecord(directory));
}

function checkRun(run: RunRecord): RunRecord {
  const texts = (value: unknown): Readonly<Record<string, string>> => map(value, (item) => text(item));
  return {
    format: run.format,
    version: run.version,
    name: text(run.name) ?? '',
    versions: texts(run.versions),
    adapter: texts(run.adapter),
    seeds: map(run.seeds, number),
    hashes: texts(run.hashes),
    ...present({ preset: text(run.preset), commit: text(run.commit) }),
    memory: map(run.memory, number),
    sessions: list(run.sessions, checkSession),
  };
}

const outcomes = ['done', 'stopped', 'failed'] as const;

function checkSession(value: unknown): RunSession | undefined {
  const session = fields(value);
  const startedAt = time(session['startedAt']);
  if (startedAt === undefined) return undefined;
  const warnings = list(session['warnings'], (item) => text(item));
  return {
    command: list(session['command'], (item) => text(item)),
    startedAt,
    ...present({
      finishedAt: time(session['finishedAt']),
      outcome: outcomes.find((outcome) => outcome === session['outcome']),
      note: text(session['note']),
      error: checkFailure(session['error']),
      warnings: warnings.length === 0 ? undefined : warnings,
    }),
  };
}

function checkFailure(value: unknown): RunFailure | undefined {
  const error = fields(value);
  const [code, message] = [text(error['code']), text(error['message'])];
  if (code === undefined || message === undefined) return undefined;
  return { code, message, ...present({ place: text(error['place']), hint: text(error['hint']) }) };
}

async function readLastSamples(directory: string): Promise<{ samples: SampleRecord[]; sampleStep?: number }> {
  const sampleStep = (await sampleSteps(directory)).at(-1);
  if (sampleStep === undefined) return { samples: [] };
  return { samples: await readSamples(directory, sampleStep), sampleStep };
}

/** Steps whose drawings were saved, ascending. */
export async function sampleSteps(directory: string): Promise<number[]> {
  return (await listWithin(directory, 'samples'))
    .flatMap((name) => (/^step-\d{6,12}$/.test(name) ? [Number(name.slice('step-'.length))] : []))
    .sort((a, b) => a - b);
}

/** The saved drawings of a step; none where there are none. Throws BAD_RECORD for a line that is no JSON object. */
export async function readSamples(directory: string, step: number): Promise<SampleRecord[]> {
  return readSamplesIn(directory, join('samples', sampleFolder(step)));
}

/** A line for every drawing of its folder. */
export const sampleList = 'samples.jsonl';

/** The drawings in any such folder of a run. */
export async function readSamplesIn(directory: string, folder: string): Promise<SampleRecord[]> {
  const name = join(folder, sampleList);
  const lines = await linesWithin(directory, name);
  return list(
    lines.map((line, index) => parseRecord(line, `${join(directory, name)}:${index + 1}`)),
    (sample) => checkSample(sample, folder),
  );
}

/** Where a run lists the drawings of a step, relative to its directory. */
export function sampleListOf(step: number): string {
  return join('samples', sampleFolder(step), sampleList);
}

/** `step-000010` */
export function sampleFolder(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

/** A drawing of a file of them, which lies in `folder`; undefined for what is none. */
function checkSample(value: unknown, folder: string): SampleRecord | undefined {
  const sample = fields(value);
  const [prompt, image, total] = [text(sample['prompt']), text(sample['image'], 100), number(sample['total'])];
  // A name beside samples.jsonl: no record points to another place.
  if (prompt === undefined || image === undefined || total === undefined || !/^[\w-]+\.png$/.test(image))
    return undefined;
  const ended = sample['rationaleEnded'];
  return {
    prompt,
    task: text(sample['task']) ?? '',
    rationale: text(sample['rationale']) ?? '',
    image: join(folder, image),
    scores: map(sample['scores'], checkScore),
    total,
    ...present({
      advantage: number(sample['advantage']),
      seed: number(sample['seed']),
      id: text(sample['id']),
      rationaleEnded: typeof ended === 'boolean' ? ended : undefined,
      codes: Array.isArray(sample['codes']) ? list(sample['codes'], count) : undefined,
      tokens: checkTokens(sample['tokens']),
    }),
  };
}

/** Undefined unless every token has both numbers. */
function checkTokens(value: unknown): RecordedTokens | undefined {
  if (value === undefined) return undefined;
  const tokens = fields(value);
  const texts = list(tokens['text'], (item) => text(item, 200));
  const [logProbability, entropy] = [list(tokens['logProbability'], number), list(tokens['entropy'], number)];
  const isWhole = logProbability.length === entropy.length && texts.length <= entropy.length;
  return isWhole ? { text: texts, logProbability, entropy } : undefined;
}

/** Bytes of a picture of a sample that a report takes in. */
const largestPicture = 16 * 2 ** 20;

/** The picture of a sample as base64; empty when it is missing or no PNG. Throws BAD_RECORD when it lies in another place. */
export async function readSamplePicture(directory: string, { image }: Pick<SampleRecord, 'image'>): Promise<string> {
  const base64 = (await readWithin(directory, image, largestPicture))?.toString('base64');
  return isPicture(base64) ? base64 : '';
}
