/**
 * What workers are worth: `npm run bench:workers -- [WORKERS] [STEPS] [CORES]`, 1 to 3 workers, 6 steps and a quarter of a core for each process unless told. GRPO of the nano
 * world alone, then with 1, 2, … workers on a Redis of its own; every process has the same share of the processor (a quota of a control group), so
 * that on two cores one trainer and three workers have what each of them needs. Prints seconds of a step, beside what `check --cluster` predicts
 * from the figures of the run alone, and whether all ended with the same bits.
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from '../../core/cluster/cluster-file.ts';
import { simulate } from '../../core/cluster/simulate.ts';
import { workloadOf } from '../../core/cluster/workload.ts';
import { textTable } from '../../core/commands/text-table.ts';
import { createContainer } from '../../core/container.ts';
import { silentLog } from '../../core/log.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { RedisServer } from '../plugins/bullmq/redis-server.ts';
import { checkpointDivergence } from '../support/divergence.ts';
import { mean, root } from '../support/runs.ts';
import { CoreQuota } from './workers/cores.ts';

const [most = 3, steps = 6, cores = 0.25] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'reasongen-bench-workers-'));
const preset = join(folder, 'workers.yaml');
writeFileSync(
  preset,
  `name: workers
extends: ${join(root, 'presets/nano/grpo.yaml')}
plugins: [${join(import.meta.dirname, 'workers/timed.ts')}]
recipe: { steps: ${steps}, prompts: 6, miniBatches: 2, promptsAtOnce: 1, samplesEvery: 0, evaluations: 0, saveEvery: ${steps} }
`,
);
const redis = await RedisServer.start();
const settingsOf = (settings: readonly string[]): string[] => settings.flatMap((setting) => ['--set', setting]);

interface Program {
  /** Settles with what it has said once that is there. */
  said(words: RegExp): Promise<string>;
  /** Its exit code, and all that it has said. */
  readonly ended: Promise<{ readonly code: number | null; readonly text: string }>;
  end(): void;
}

function start(quota: CoreQuota, args: readonly string[]): Program {
  const child = quota.spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), ...args], {
    ...process.env,
    REASONGEN_QUEUE: redis.url,
  });
  let text = '';
  child.stderr?.on('data', (chunk) => (text += String(chunk)));
  const closed = once(child, 'close').then(() => ({ code: child.exitCode, text }));
  return {
    ended: closed,
    end: () => void child.kill('SIGTERM'),
    said: async (words) => {
      while (!words.test(text)) {
        if (child.exitCode !== null) throw new Error(text);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return text;
    },
  };
}

/** Of the steps behind the first, which compiles: means in seconds. */
interface Measured {
  readonly directory: string;
  readonly step: number;
  readonly sampling: number;
  readonly waiting: number;
  readonly training: number;
  readonly text: string;
}

async function measure(name: string, settings: readonly string[]): Promise<Measured> {
  const quota = new CoreQuota(name, cores);
  const directory = join(folder, name);
  const { code, text } = await start(quota, ['run', preset, '--run-dir', directory, ...settingsOf(settings)]).ended;
  quota.close();
  if (code !== 0) throw new Error(`the run ended with ${code}:\n${text}`);
  const lines = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n');
  const metrics = lines.map((line) => JSON.parse(line) as Record<string, number>);
  const of = (key: string): number => mean(metrics.slice(1).map((each) => Number(each[key])));
  const [first, last] = [metrics[0], metrics.at(-1)].map((each) => Number(each?.['unixSeconds']));
  return {
    directory,
    step: ((last ?? 0) - (first ?? 0)) / (steps - 1),
    sampling: of('secondsSampling'),
    waiting: of('secondsWaitingForJudges'),
    training: of('secondsTraining'),
    text,
  };
}

async function withWorkers(count: number): Promise<Measured> {
  const quotas = Array.from({ length: count }, (_, index) => new CoreQuota(`worker-${count}-${index}`, cores));
  const queue = ['executor=bullmq', 'executor.spotCheck=0'];
  const workers = quotas.map((quota) => start(quota, ['worker', preset, ...settingsOf(queue)]));
  for (const worker of workers) await worker.said(/ serves /);
  const measured = await measure(`with-${count}`, queue);
  for (const worker of workers) {
    worker.end();
    await worker.ended;
  }
  for (const quota of quotas) quota.close();
  return measured;
}

const alone = await measure('alone', ['executor=timed']);
const runs = [];
for (let count = 1; count <= most; count++) runs.push(await withWorkers(count));

const { catalog, stages } = await loadPreset(preset, { settings: ['executor=bullmq', 'executor.spotCheck=0'] });
const [stage] = stages;
if (stage === undefined) throw new RangeError('unreachable: a preset has a stage');
const container = createContainer(catalog.plugins).openRun({
  preset: stage.preset,
  log: silentLog(),
  openDevice: () => Promise.reject(new RangeError('no device is needed')),
});
const workload = workloadOf(stage.preset, (await container.get('backbone')).parameters);
await container.dispose();
const jobs = [...alone.text.matchAll(/drawn in ([\d.]+) s/g)].map(([, seconds]) => Number(seconds));
const job = mean(jobs.slice(workload.jobs.length));
const drawings = workload.jobs.reduce((sum, each) => sum + each, 0);
const measured = (value: number): { value: number; measured: string } => ({ value, measured: 'just now' });
const cluster: Cluster = {
  ...{ name: 'this machine', devices: 1, trainers: 1, judges: 'elsewhere', callsAtOnce: 1, callsPerDrawing: 1 },
  // The verdict of the nano world is asked for when all is drawn.
  judgedTogether: true,
  seconds: {
    job: measured(job),
    drawing: measured(0),
    decoding: measured((alone.sampling - job * workload.jobs.length) / drawings),
    call: measured(alone.waiting / drawings),
    training: measured(alone.training / workload.updates.reduce((sum, each) => sum + each, 0)),
    update: measured(0),
    saving: measured(0),
  },
  network: {
    roundTrip: measured(0.0005),
    publish: measured(1.3e8),
    fetch: measured(1.25e8),
    fetchTogether: measured(2.5e8),
    gradients: measured(1e9),
    gradientLatency: measured(0),
  },
};
const predicted = [0, ...runs.map((_, index) => index + 1)].map((workers) =>
  simulate(workload, cluster, { trainers: 1, workers, judges: 0 }),
);
const seconds = (value: number): string => value.toFixed(2);
const rows = [alone, ...runs].map(({ step, sampling, waiting, training }, index) => {
  const expected = predicted[index]?.seconds ?? Number.NaN;
  return [
    index === 0 ? 'none' : String(index),
    ...[step, sampling, waiting, training].map(seconds),
    `${(alone.step / step).toFixed(2)} x`,
    seconds(expected),
    `${((100 * (expected - step)) / step).toFixed(1)} %`,
  ];
});
const held = new CoreQuota('held', cores);
process.stdout.write(
  `${steps - 1} steps of 6 jobs of 8 drawings; ${held.isHeld ? `${cores} cores for each process, of ${cpus().length}` : `no quota of cores could be set, ${cpus().length} cores for all`}; a job alone ${seconds(job)} s\n${textTable(
    [['workers', 'step', 'drawing', 'judging', 'training', 'speed-up', 'predicted', 'deviation'], ...rows],
  ).join('\n')}\n`,
);
held.close();
process.stdout.write(`figures: ${JSON.stringify(cluster.seconds)}\n`);
const last = (directory: string): string => join(directory, 'checkpoints', `step-${String(steps).padStart(6, '0')}`);
for (const [index, run] of runs.entries()) {
  const divergence = await checkpointDivergence(last(alone.directory), last(run.directory));
  process.stdout.write(
    `${index + 1} workers: ${divergence === undefined ? 'the same bits as alone' : JSON.stringify(divergence)}\n`,
  );
}
await redis.end();
rmSync(folder, { recursive: true });
