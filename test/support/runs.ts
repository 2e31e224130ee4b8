/** Runs of tiny presets in a folder of their own: through the runtime, through the command line, as a program. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import type { Evaluation } from '../../core/contracts/evaluation.ts';
import type { Metrics } from '../../core/io/metrics.ts';
import { type Log, silentLog } from '../../core/log.ts';
import { loadPreset } from '../../core/preset/load.ts';
import { runPreset } from '../../core/runtime.ts';
import { createStop } from '../../core/stop.ts';
import { commandLine, type CommandEnd } from './command-line.ts';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const tiny = join(root, 'test/support/tiny.yaml');

export interface Ended {
  readonly directory: string;
  readonly code: number;
  /** What the run said: informations and warnings. */
  readonly lines: readonly string[];
}

export interface RunChoice {
  readonly settings?: readonly string[];
  /** Goes on in the directory of this run. */
  readonly resume?: Ended;
  /** Asks for a stop once the numbers of this step are known; 0: before any step is taken. */
  readonly stopAfter?: number;
  /** Does something once the numbers of a step are known. */
  readonly atStep?: (step: number, directory: string) => Promise<void>;
  /** Asks for a stop when the run says this. */
  readonly stopAtLine?: RegExp;
}

/** A temporary folder for the tests of a file, and what one does there. */
export class Workplace {
  folder = '';
  private runs = 0;
  private half: Promise<Ended> | undefined;

  constructor() {
    beforeAll(() => {
      this.folder = mkdtempSync(join(tmpdir(), 'reasongen-'));
    });
    afterAll(() => {
      rmSync(this.folder, { recursive: true });
    });
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  write(name: string, content: string | Uint8Array): string {
    const file = this.path(name);
    writeFileSync(file, content);
    return file;
  }

  /** A preset on the tiny model. */
  preset(name: string, text: string): string {
    return this.write(`${name}.yaml`, `extends: ${tiny}\n${text}`);
  }

  /** A model that has begun to learn and is not sure of itself: where GRPO starts. */
  halfTaught(): Promise<Ended> {
    this.half ??= this.run(
      this.preset(
        'half-taught',
        'optimizer: { use: adamw, learningRate: 1e-2 }\nrecipe: { use: sft, steps: 28, batch: 16, examples: 16 }\n',
      ),
    );
    return this.half;
  }

  free(name = 'run'): string {
    return this.path(`${name}-${++this.runs}`);
  }

  /** Runs a preset in this process. Throws what ends it. */
  async run(preset: string, choice: RunChoice = {}): Promise<Ended> {
    const { settings = [], resume, stopAfter, stopAtLine, atStep } = choice;
    const directory = resume?.directory ?? this.free();
    const stop = createStop();
    const lines: string[] = [];
    const info = (line: string): void => {
      lines.push(line);
      if (stopAtLine?.test(line)) stop.request('the test says so', 130);
    };
    const silent = silentLog();
    const log: Log = {
      ...silent,
      info,
      warn: (line) => info(`warning: ${line}`),
      // Recipes say how far they are when all is restored.
      progress: (...values) => {
        if (stopAfter === 0) stop.request('the test says so', 130);
        return silent.progress(...values);
      },
    };
    const file = resume === undefined ? preset : join(directory, 'preset.yaml');
    const loaded = await loadPreset(file, { settings, runDirectory: directory });
    const code = await runPreset(loaded, {
      runDirectory: directory,
      resume: resume !== undefined,
      command: ['test'],
      log,
      stop,
      signal: new AbortController().signal,
      onHooks: (hooks) => {
        if (stopAfter === undefined && atStep === undefined) return;
        const fire = hooks.step;
        Object.assign(hooks, {
          step: async (event: Parameters<typeof fire>[0]) => {
            await fire(event);
            await atStep?.(event.step, directory);
            if (event.step === stopAfter) stop.request('the test says so', 130);
          },
        });
      },
    });
    return { directory, code, lines };
  }

  /** A command line in this process. */
  command(...args: string[]): Promise<CommandEnd> {
    return commandLine(args, process.env);
  }

  /** A command line as a program of its own, in the driver's environment of the tests. */
  program(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<CommandEnd> {
    const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'core/cli.ts'), ...args], {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [output, errors] = ['', ''];
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, output, errors })));
  }
}

/** Lines of metrics.ndjson without what a clock decides. */
export function metricsOf(directory: string): Metrics[] {
  const lines = readFileSync(join(directory, 'metrics.ndjson'), 'utf8').trim().split('\n').filter(Boolean);
  return lines.map((line) => {
    const metrics = JSON.parse(line) as Metrics;
    return Object.fromEntries(Object.entries(metrics).filter(([name]) => !/second/i.test(name)));
  });
}

/** One number of every step. */
export function curve(directory: string, name: string): number[] {
  return metricsOf(directory).map((metrics) => Number(metrics[name]));
}

export function checkpoints(directory: string): string[] {
  return readdirSync(join(directory, 'checkpoints'))
    .filter((name) => name.startsWith('step-'))
    .sort();
}

/** Everything a checkpoint holds; the position in the metrics depends on how long the timings are written out, the program on what was committed meanwhile. */
export function checkpointOf(
  directory: string,
  step: number,
): { weights: Buffer; optimizer: Buffer; state: Record<string, unknown> } {
  const folder = join(directory, 'checkpoints', `step-${String(step).padStart(6, '0')}`);
  const { metrics, program, ...state } = JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  if (typeof program !== 'string') throw new TypeError(`${folder}: the state does not name its program`);
  if (typeof metrics !== 'number') throw new TypeError(`${folder}: the state has no position in the metrics`);
  return {
    weights: readFileSync(join(folder, 'weights.safetensors')),
    optimizer: readFileSync(join(folder, 'optimizer.safetensors')),
    state,
  };
}

export function evaluationOf(directory: string, name: string): Evaluation {
  return JSON.parse(readFileSync(join(directory, 'evaluations', `${name}.json`), 'utf8')) as Evaluation;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
