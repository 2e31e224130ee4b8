/** What `check --cluster` says of a stage: what its steps ask of a cluster, and how long they take on it. */
import type { Cluster } from '../cluster/cluster-file.ts';
import { simulate, stepParts, type Prediction } from '../cluster/simulate.ts';
import { predict } from '../cluster/split.ts';
import { refuseUnknownSchedule, workloadOf, type Workload } from '../cluster/workload.ts';
import { createContainer } from '../container.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import type { Log } from '../log.ts';
import { formatBytes } from '../plan.ts';
import type { LoadedPreset, Stage } from '../preset/load.ts';
import { textTable } from './text-table.ts';

export interface ClusterForecast {
  readonly workload: Workload;
  /** For each number of devices of the file. */
  readonly predictions: readonly DevicesPrediction[];
  /** One device that does everything. */
  readonly alone: Prediction;
}

interface DevicesPrediction extends Prediction {
  readonly devices: number;
}

/** Throws NOTHING_TO_SIMULATE, TOO_FEW_DEVICES. */
export async function forecast(
  loaded: LoadedPreset,
  { preset }: Stage,
  cluster: Cluster,
  log: Log,
): Promise<ClusterForecast> {
  refuseUnknownSchedule(preset);
  const container = createContainer(loaded.catalog.plugins).openRun({
    preset,
    log,
    openDevice: () => Promise.reject(new RangeError('a simulation opens no device')),
  });
  try {
    const workload = workloadOf(preset, (await container.get('backbone')).parameters);
    const predictions = [cluster.devices].flat().map((devices) => {
      const found = predict(workload, cluster, devices);
      if (found === undefined) throw tooFewDevices(cluster, devices);
      return { ...found, devices };
    });
    const { failures: _failures, ...unfailing } = cluster;
    const alone = simulate(workload, unfailing, { trainers: 1, workers: 0, judges: 0 });
    return { workload, predictions, alone };
  } finally {
    await container.dispose();
  }
}

export function describeForecast(cluster: Cluster, { workload, predictions, alone }: ClusterForecast): string[] {
  const { jobs, updates, tensors } = workload;
  const bytes = formatBytes(tensors.reduce((sum, each) => sum + each, 0));
  const calls = Math.round(jobs.reduce((sum, each) => sum + each, 0) * cluster.callsPerDrawing);
  const most = Math.max(...updates);
  const asked = [
    ...(jobs.length === 0
      ? []
      : [
          `${counted(jobs.length, 'job')} of up to ${counted(Math.max(...jobs), 'drawing')}, ${counted(calls, 'call')}`,
        ]),
    `${counted(updates.length, 'update')} on up to ${most}`,
    `${bytes} of weights that change`,
  ];
  return [
    `cluster ${cluster.name}: a step is ${asked.join(', ')}; ${secondsText(alone.seconds)} on one device by itself`,
    ...textTable([
      forecastHead,
      ...predictions.map((prediction) => forecastRow(cluster, prediction, alone.seconds)),
    ]).map((line) => `  ${line}`),
    ...advice(workload, predictions).map((line) => `  ${line}`),
    ...figuresOf(cluster)
      .filter(({ assumed }) => assumed !== undefined)
      .map(({ path, value, assumed }) => `  assumed, not measured: ${path} ${value} (${assumed})`),
  ];
}

export const forecastHead: readonly string[] = [
  ...['devices', 'train', 'draw', 'judge', 'spare', 'a step', 'speed-up'],
  ...['idle: train', 'draw', 'judge', 'a step waits for'],
];

/** A row below `forecastHead`; what a step waits for begins with the longest. */
export function forecastRow(
  { judges }: Cluster,
  { devices, split, seconds, parts, idle }: DevicesPrediction,
  alone: number,
): string[] {
  const percent = (share: number | undefined): string => (share === undefined ? '' : `${Math.round(share * 100)} %`);
  const waits = stepParts
    .map((part) => [part, parts[part] / seconds] as const)
    .filter(([, share]) => share >= 0.01)
    .toSorted(([, one], [, other]) => other - one);
  const isDrawing = parts.drawing > 0;
  return [
    String(devices),
    String(split.trainers),
    split.workers > 0 ? String(split.workers) : isDrawing ? 'trainers' : '',
    judges !== 'elsewhere' ? String(split.judges) : isDrawing ? 'elsewhere' : '',
    String(devices - split.trainers - split.workers - split.judges),
    secondsText(seconds),
    `${(alone / seconds).toFixed(1)} x`,
    percent(idle.trainers),
    percent(idle.workers),
    percent(idle.judges),
    waits.map(([part, share]) => `${part} ${percent(share)}`).join(', '),
  ];
}

/** What would make a difference that the file does not decide. */
function advice({ jobs }: Workload, predictions: readonly DevicesPrediction[]): string[] {
  const isShort = predictions.some(({ devices, split }) => devices > split.trainers + split.workers + split.judges);
  if (jobs.length === 0 || !isShort) return [];
  return [
    `a rollout is ${counted(jobs.length, 'job')}, and no more devices than that can draw: a smaller recipe.promptsAtOnce, or more recipe.prompts, gives spare ones work`,
  ];
}

interface NamedFigure {
  readonly path: string;
  readonly value: number;
  readonly assumed?: string;
}

/** Every number of the file that says where it is from. */
function figuresOf(node: unknown, path: readonly string[] = []): NamedFigure[] {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return [];
  if ('value' in node && typeof node.value === 'number')
    return [
      {
        path: path.join('.'),
        value: node.value,
        ...('assumed' in node && typeof node.assumed === 'string' && { assumed: node.assumed }),
      },
    ];
  return Object.entries(node).flatMap(([key, value]) => figuresOf(value, [...path, key]));
}

/** `12 s`, `4.5 min` */
export function secondsText(seconds: number): string {
  if (seconds < 0.1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function tooFewDevices({ name, trainers, judges }: Cluster, devices: number): ReasongenError {
  return new ReasongenError({
    code: 'TOO_FEW_DEVICES',
    message: `${counted(devices, 'device')} cannot be split into trainers: ${trainers} and judges: ${judges}`,
    place: `cluster ${name}`,
    hint: 'raise devices, or leave trainers and judges to be found: best',
    exitCode: exitCodes.badPreset,
  });
}
