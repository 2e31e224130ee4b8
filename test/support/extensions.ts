/** Extensions that make a run fail or stop at an exact place, so that tests need no luck with timing. */
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { defineExtension, z, type Extension } from '../../core/plugin.ts';

/** Loses the device in the middle of a step, as a crashing driver does. */
export const saboteur = defineExtension({
  name: 'saboteur',
  summary: 'loses the device at a step',
  options: z.strictObject({ step: z.number().int().positive().describe('which') }),
  create: ({ step }, scope): Extension => {
    const device = scope.onDevice((opened) => opened);
    return {
      batch: async (event) => {
        if (event.step === step) (await device()).gpu.destroy();
        return undefined;
      },
    };
  },
});

/** Told when the benchmark of swatches is asked for prompts: no hook is fired when an evaluation begins. */
export const benchmarkAsked = channel('swatches benchmark');

const moments = ['plan', 'batch', 'rollout', 'rewards', 'step', 'save', 'benchmark'] as const;

/** Sends this process the signal of ^C at a hook, while the run is planned, or as soon as a checkpoint is being written. */
export const interrupter = defineExtension({
  name: 'interrupter',
  summary: 'presses ^C',
  options: z.strictObject({
    at: z.enum(moments).describe('where'),
    step: z.number().int().nonnegative().default(0).describe('at which step, where the moment has one'),
    time: z.number().int().positive().default(1).describe('at which of several such moments'),
    signal: z.enum(['SIGINT', 'SIGKILL']).default('SIGINT').describe('SIGKILL ends this process where it stands'),
  }),
  create: async ({ at, step, time, signal }, scope): Promise<Extension> => {
    let isPressed = false;
    let times = 0;
    /** Settles when the signal has arrived. */
    const press = async (now: (typeof moments)[number], nowStep = step): Promise<undefined> => {
      if (isPressed || now !== at || nowStep !== step || ++times < time) return;
      isPressed = true;
      if (signal === 'SIGKILL') process.kill(process.pid, signal);
      scope.log.info(`^C at ${at} ${step}`);
      const arrived = once(process, 'SIGINT');
      process.kill(process.pid, 'SIGINT');
      // Waiting for a signal alone keeps no program running.
      const alive = setInterval(() => {}, 1000);
      await arrived;
      clearInterval(alive);
    };
    await press('plan');
    let finished = 0;
    const onBenchmark = (): void => void press('benchmark', finished);
    benchmarkAsked.subscribe(onBenchmark);
    scope.onDispose(() => benchmarkAsked.unsubscribe(onBenchmark));
    return {
      start: async ({ directory }) => {
        if (at !== 'save') return;
        const folder = join(directory, 'checkpoints');
        await mkdir(folder, { recursive: true });
        const watcher = watch(folder, (_event, name) => {
          if (!name?.startsWith(`.tmp-step-${String(step).padStart(6, '0')}`)) return;
          watcher.close();
          void press('save');
        });
        scope.onDispose(() => watcher.close());
      },
      batch: (event) => press('batch', event.step),
      rollout: (event) => press('rollout', event.step),
      rewards: (event) => press('rewards', event.step),
      step: async (event) => {
        finished = event.step;
        await press('step', event.step);
      },
    };
  },
});

/** Holds a run before its first batch until a file is there. */
export const gate = defineExtension({
  name: 'gate',
  summary: 'waits for a file',
  options: z.strictObject({ file: z.string().describe('which') }),
  create: ({ file }): Extension => ({
    batch: async () => {
      while (!existsSync(file)) await setTimeout(20);
      return undefined;
    },
  }),
});

/** Gives the tokens of every drawing weights in the policy objective: those whose own log-probability is low, or all, or too few. */
export const weigher = defineExtension({
  name: 'weigher',
  summary: 'weighs tokens',
  options: z.strictObject({ rule: z.enum(['unsure', 'none', 'short']).describe('which count') }),
  create: ({ rule }): Extension => ({
    advantages: (event) => ({
      ...event,
      tokenWeights: event.drawn.map(({ logProbability }) => {
        const weights = Array.from(logProbability, (value) => (rule === 'unsure' ? Number(value < -0.5) : 0));
        return rule === 'short' ? weights.slice(1) : weights;
      }),
    }),
  }),
});
