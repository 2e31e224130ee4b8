#!/usr/bin/env node
/**
 * `npm run bench:peers`: this program beside other stacks on the same machine in the same run. Every stack lives in a process of its
 * own, which is stopped between its samples: threads of some go on spinning otherwise. Each result is checked against float64 before it is
 * timed; samples are interleaved.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { driverEnvironment, prepareDriver } from '../../../core/setup/vulkan.mjs';
import { clockRate } from '../clock.mjs';
import { workloads, workOf } from './workloads.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..', '..');

/** Column title, file under stacks/, variant. WebGPU stacks run as they come and with our polling back-off. */
const stacks = [
  { title: 'reasongen', file: 'reasongen', variant: 'native', isWebGpu: true },
  { title: 'onnxruntime-node CPU', file: 'onnx', variant: 'node-cpu', isWebGpu: false },
  { title: 'onnxruntime-node WebGPU', file: 'onnx', variant: 'node-webgpu', isWebGpu: true },
  { title: 'onnxruntime-web wasm', file: 'onnx', variant: 'web-wasm', isWebGpu: false },
  { title: 'onnxruntime-web WebGPU', file: 'onnx', variant: 'web-webgpu', isWebGpu: true },
  { title: 'onnxruntime-web WebGPU, back-off', file: 'onnx', variant: 'web-webgpu+backoff', isWebGpu: true },
  { title: 'tfjs wasm', file: 'tfjs', variant: 'wasm', isWebGpu: false },
  { title: 'tfjs WebGPU', file: 'tfjs', variant: 'webgpu', isWebGpu: true },
  { title: 'tfjs WebGPU, back-off', file: 'tfjs', variant: 'webgpu+backoff', isWebGpu: true },
  { title: 'jax-js wasm', file: 'jax', variant: 'wasm', isWebGpu: false },
  { title: 'jax-js WebGPU', file: 'jax', variant: 'webgpu', isWebGpu: true },
  { title: 'jax-js WebGPU, back-off', file: 'jax', variant: 'webgpu+backoff', isWebGpu: true },
  ...(hasTorch() ? [{ title: 'PyTorch CPU', file: 'pytorch', variant: 'cpu', isWebGpu: false }] : []),
];

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    milliseconds: { type: 'string', default: '150' },
    only: { type: 'string' },
    stacks: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});

if (options.help) {
  process.stdout
    .write(`usage: npm run bench:peers -- [--only WORD[,WORD]] [--stacks WORD[,WORD]] [--rounds 5] [--milliseconds 150] [--json FILE]
  --only          workloads whose name contains one of the words: ${workloads.map(({ name }) => name).join('; ')}
  --stacks        stacks whose title contains one of the words (reasongen always runs)
  --rounds        samples of each stack
  --milliseconds  shortest duration of a sample
  --json          where the figures go (default runs/bench/peers.json)
`);
} else await main();

async function main() {
  installPackages();
  const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);
  const driver = await prepareDriver({ report: say });
  const env = { ...process.env, ...driverEnvironment(driver, process.env) };
  const has = (/** @type {string} */ text, /** @type {string | undefined} */ words) =>
    words === undefined || words.split(',').some((word) => text.includes(word));
  const wantedStacks = stacks.filter(({ title }) => title === 'reasongen' || has(title, options.stacks));
  const rows = [];
  /** Of the processor, before each round. */
  const clocks = [];
  for (const [index, work] of workloads.entries()) {
    if (!has(work.name, options.only)) continue;
    say(`${work.name}: checking ${wantedStacks.length} stacks`);
    const running = [];
    for (const stack of wantedStacks) {
      say(`  ${stack.title}`);
      const worker = startWorker(stack, env);
      const state = await worker.ask({ prepare: index });
      if (state.error !== undefined || state.unsupported) {
        rows.push({
          work: work.name,
          stack: stack.title,
          ...(state.unsupported ? { unsupported: true } : { error: state.error }),
        });
        await worker.close();
      } else
        running.push({
          stack,
          worker,
          times: 1,
          samples: /** @type {{ milliseconds: number, cpuMilliseconds: number, others: number }[]} */ ([]),
        });
    }
    for (const { worker } of running) worker.stop();
    // The first run warms up, the second says how many repetitions make a sample.
    for (const each of running) {
      each.worker.goOn();
      await each.worker.ask({ run: 1 });
      const { milliseconds = 1 } = await each.worker.ask({ run: 1 });
      each.worker.stop();
      each.times = Math.max(1, Math.ceil(Number(options.milliseconds) / milliseconds));
    }
    for (let round = 0; round < Number(options.rounds); round++) {
      clocks.push(clockRate());
      for (const each of running) {
        each.worker.goOn();
        const before = busySeconds();
        const started = performance.now();
        const { milliseconds = Number.NaN, cpuMilliseconds = 0, error } = await each.worker.ask({ run: each.times });
        each.worker.stop();
        if (error !== undefined) throw new Error(`${each.stack.title}, ${work.name}: ${error}`);
        const seconds = (performance.now() - started) / 1000;
        const others = Math.max(0, busySeconds() - before - cpuMilliseconds / 1000) / (seconds * cpus().length);
        each.samples.push({
          milliseconds: milliseconds / each.times,
          cpuMilliseconds: cpuMilliseconds / each.times,
          others,
        });
      }
    }
    for (const { stack, worker, samples } of running) {
      worker.goOn();
      rows.push({
        work: work.name,
        stack: stack.title,
        isWebGpu: stack.isWebGpu,
        ...summary(samples),
        amount: workOf(work),
      });
      await worker.close();
    }
    say(tableOf(rows.filter((row) => row.work === work.name)));
  }
  const report = {
    date: new Date().toISOString(),
    commit: commit(),
    adapter: driver.description,
    processor: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    versions: versions(),
    rounds: Number(options.rounds),
    milliseconds: Number(options.milliseconds),
    clocks,
    rows,
  };
  const path = options.json ?? join(root, 'runs', 'bench', 'peers.json');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(report, undefined, 1)}\n`);
  const head = `${report.date}, commit ${report.commit}, ${report.adapter}, ${report.cores} x ${report.processor}, Node ${report.node}\n${Object.entries(
    report.versions,
  )
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}`;
  process.stdout.write(
    `${head}\n\n${workloads
      .filter(({ name }) => rows.some((row) => row.work === name))
      .map(({ name }) => tableOf(rows.filter((row) => row.work === name)))
      .join(
        '\n\n',
      )}\n\nMedians of ${report.rounds} interleaved samples of at least ${report.milliseconds} ms; ± is half the distance of the quartiles; "x ours" above 1 is slower than reasongen.\n! = other processes used more than 10 % of the cores during most samples.\nThe processor did ${Math.min(...clocks).toFixed(2)} to ${Math.max(...clocks).toFixed(2)} dependent additions a nanosecond: far below its GHz, or far apart, and its host gave it to others as well.\nfigures: ${path}\n`,
  );
}

/** @param {{ file: string, variant: string, title: string }} stack @param {NodeJS.ProcessEnv} env */
function startWorker({ file, variant, title }, env) {
  const child = spawn(process.execPath, ['--import', 'tsx', join(here, 'worker.mjs'), file, variant], {
    cwd: root,
    env,
    stdio: ['pipe', 'ignore', process.env['PEERS_DEBUG'] === '1' ? 'inherit' : 'ignore', 'pipe'],
  });
  const pipe = child.stdio[3];
  if (!pipe || !('on' in pipe) || child.stdin === null) throw new Error(`no channel to ${title}`);
  const { stdin } = child;
  /** @type {((answer: any) => void)[]} */ const waiting = [];
  let ended = '';
  createInterface({ input: /** @type {import('node:stream').Readable} */ (pipe) }).on('line', (line) =>
    waiting.shift()?.(JSON.parse(line)),
  );
  child.on('close', (code, signal) => {
    ended = `the process ended with ${signal ?? `code ${code}`}`;
    for (const answer of waiting.splice(0)) answer({ error: ended });
  });
  const next = () => new Promise((resolve) => (ended === '' ? waiting.push(resolve) : resolve({ error: ended })));
  const ready = next();
  return {
    /** @param {unknown} request @returns {Promise<{ error?: string, unsupported?: boolean, milliseconds?: number, cpuMilliseconds?: number }>} */
    async ask(request) {
      const state = await ready;
      if (state.error !== undefined) return state;
      const answer = next();
      stdin.write(`${JSON.stringify(request)}\n`);
      return answer;
    },
    stop: () => child.kill('SIGSTOP'),
    goOn: () => child.kill('SIGCONT'),
    close: () =>
      new Promise((resolve) => {
        if (ended !== '') return resolve(undefined);
        child.on('close', resolve);
        stdin.end();
        setTimeout(() => child.kill('SIGKILL'), 3000).unref();
      }),
  };
}

/** @param {readonly any[]} rows of one workload */
function tableOf(rows) {
  const ours = rows.find((row) => row.stack === 'reasongen')?.median;
  const lines = [...rows]
    .sort((a, b) => (a.median ?? Number.POSITIVE_INFINITY) - (b.median ?? Number.POSITIVE_INFINITY))
    .map((row) => {
      if (row.unsupported) return [row.stack, 'cannot do it', '', '', '', ''];
      if (row.error !== undefined) return [row.stack, `failed: ${row.error}`, '', '', '', ''];
      const rate = (row.amount.amount / row.median) * 1000;
      const unit = row.amount.unit === 'tokens' ? 'tokens/s' : 'GFLOP/s';
      return [
        row.stack,
        digits(row.median),
        `${((100 * row.spread) / row.median).toFixed(0)} %`,
        `${digits(rate)} ${unit}`,
        ours === undefined ? '' : `${(row.median / ours).toFixed(2)}x`,
        `${(100 * row.others).toFixed(0)} %${row.isDisturbed ? ' !' : ''}`,
      ];
    });
  const head = [rows[0]?.work ?? '', 'ms', '±', 'rate', 'x ours', 'other load'];
  const all = [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...lines];
  return all.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** @param {readonly { milliseconds: number, cpuMilliseconds: number, others: number }[]} samples */
function summary(samples) {
  const quartile = (/** @type {number[]} */ values, /** @type {number} */ share) =>
    [...values].sort((a, b) => a - b)[Math.round(share * (values.length - 1))] ?? Number.NaN;
  const times = samples.map(({ milliseconds }) => milliseconds);
  const others = samples.map((sample) => sample.others);
  return {
    median: quartile(times, 0.5),
    spread: (quartile(times, 0.75) - quartile(times, 0.25)) / 2,
    cpu: quartile(
      samples.map(({ cpuMilliseconds }) => cpuMilliseconds),
      0.5,
    ),
    others: quartile(others, 0.5),
    isDisturbed: others.filter((share) => share > 0.1).length > samples.length / 2,
    samples,
  };
}

/** @param {number} value */
function digits(value) {
  return value >= 100
    ? value.toFixed(0)
    : value >= 10
      ? value.toFixed(1)
      : value >= 1
        ? value.toFixed(2)
        : value.toFixed(3);
}

/** CPU seconds that all processes have used since boot (Linux). */
function busySeconds() {
  if (!existsSync('/proc/stat')) return 0;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    /^cpu\s+(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(/\s+/).map(Number) ?? [];
  return (user + nice + system + irq + softirq + steal) / 100;
}

function installPackages() {
  const lock = join(here, 'package-lock.json');
  const installed = join(here, 'node_modules', '.package-lock.json');
  if (
    existsSync(installed) &&
    JSON.parse(readFileSync(installed, 'utf8')).version === JSON.parse(readFileSync(lock, 'utf8')).version
  )
    return;
  process.stderr.write('installing the peers (about 600 MB, in test/bench/peers/node_modules)\n');
  // Its install script would fetch CUDA libraries; the CPU and WebGPU providers are in the package.
  execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: here,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
}

function versions() {
  const of = (/** @type {string} */ name) =>
    JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8')).version;
  return Object.fromEntries(
    ['onnxruntime-node', 'onnxruntime-web', '@tensorflow/tfjs', '@jax-js/jax'].map((name) => [name, of(name)]),
  );
}

function commit() {
  try {
    const hash = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    const changes = execFileSync('git', ['status', '--porcelain', '--untracked-files=no'], {
      cwd: root,
      encoding: 'utf8',
    }).trim();
    return changes === '' ? hash : `${hash}+changes`;
  } catch {
    return 'unknown';
  }
}

function hasTorch() {
  try {
    execFileSync('python3', ['-c', 'import torch'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
