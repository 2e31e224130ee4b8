/** Trainer, worker and Redis on hosts of their own: 50 ms between them in each direction, one packet in a hundred lost, and all lines cut for 30 s. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { expectSameRun } from '../../support/resumed.ts';
import { root, Workplace } from '../../support/runs.ts';
import { Hosts, hostsHint } from './hosts.ts';
import { findRedis, redisHint } from './redis.mjs';

const place = new Workplace();
const steps = 3;
const why = findRedis() === undefined ? redisHint : hostsHint();
if (why !== undefined) process.stderr.write(`the test of a bad network was left out: ${why}\n`);

interface Program {
  readonly child: ChildProcess;
  readonly text: () => string;
  said(words: RegExp): Promise<void>;
}

function startOn(hosts: Hosts, host: string, command: readonly string[], environment: NodeJS.ProcessEnv): Program {
  const [program = '', ...args] = [...hosts.on(host), ...command];
  const child = spawn(program, args, { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)));
  return {
    child,
    text: () => text,
    said: async (words) => {
      while (!words.test(text)) {
        if (child.exitCode !== null) throw new Error(`${command.join(' ')} ended: ${text}`);
        await wait(50);
      }
    },
  };
}

async function ended({ child, text }: Program): Promise<{ readonly code: number | null; readonly text: string }> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  return { code: child.exitCode, text: text() };
}

describe.skipIf(why !== undefined)(`a bad network${why === undefined ? '' : ` (${why})`}`, () => {
  test('a run over it, cut for 30 s, ends with the bits of one that needs none', { timeout: 900_000 }, async () => {
    const preset = place.preset(
      'network',
      `rewards: [is-color]
optimizer: { use: adamw, learningRate: 2e-3 }
recipe: { use: grpo, steps: ${steps}, prompts: 3, promptsAtOnce: 1, groupSize: 4, refillRounds: 1, rationaleTokens: 6, saveEvery: 1, evaluations: 0 }
`,
    );
    const alone = await place.run(preset);
    const data = mkdtempSync(join(tmpdir(), 'reasongen-redis-'));
    const hosts = await Hosts.open(['trainer', 'worker', 'redis'], { delay: 0.05, loss: 0.01 });
    const programs: Program[] = [];
    const start = (host: string, command: readonly string[]): Program => {
      const url = `redis://${hosts.addressOf('redis')}:6379`;
      const program = startOn(hosts, host, command, { ...process.env, REASONGEN_QUEUE: url });
      programs.push(program);
      return program;
    };
    try {
      const redis = start('redis', [
        ...[findRedis() ?? '', '--bind', hosts.addressOf('redis'), '--protected-mode', 'no', '--dir', data],
        ...['--appendonly', 'yes', '--save', ''],
      ]);
      await redis.said(/ready to accept connections/i);
      const node = [process.execPath, '--import', 'tsx', join(root, 'core/cli.ts')];
      const queue = ['executor=bullmq', 'executor.spotCheck=2'];
      const settings = queue.flatMap((setting) => ['--set', setting]);
      const worker = start('worker', [...node, 'worker', preset, ...settings]);
      await worker.said(/ serves /);
      const directory = place.free();
      const trainer = start('trainer', [...node, 'run', preset, '--run-dir', directory, ...settings]);
      const metrics = join(directory, 'metrics.ndjson');
      while (!existsSync(metrics) || !readFileSync(metrics, 'utf8').includes('\n')) {
        if (trainer.child.exitCode !== null) throw new Error(trainer.text());
        await wait(50);
      }
      hosts.cut();
      const cutAt = performance.now();
      await wait(30_000);
      const isDoneAlready = trainer.child.exitCode !== null;
      hosts.mend();
      const { code, text } = await ended(trainer);
      expect(isDoneAlready, 'it was cut in its midst').toBe(false);
      expect(code, text).toBe(0);
      expect(performance.now() - cutAt).toBeGreaterThan(30_000);
      await expectSameRun(alone, { directory, code: 0, lines: [] }, steps, 'a bad network');
      expect(text).toMatch(/worker \S+ has drawn \d+ sequences/);
    } finally {
      for (const { child } of programs) if (child.exitCode === null) child.kill('SIGKILL');
      for (const program of programs) await ended(program);
      const { carried, lost } = await hosts.close();
      rmSync(data, { recursive: true });
      // Some of what was sent while the lines were whole, and all that was sent while they were cut.
      expect(carried).toBeGreaterThan(500);
      expect(lost).toBeGreaterThan(carried / 500);
    }
  });
});
