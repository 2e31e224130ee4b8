/** Extensions that make a run fail or stop at an exact place, so that tests need no luck with timing. */
import { watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defineExtension, z, type Extension } from '../../core/plugin.ts';

/** Loses the device in the middle of a step, as a crashing driver does. */
export const saboteur = defineExtension({
  name: 'saboteur',
  summary: 'loses the device at a step',
  options: z.strictObject({ step: z.number().int().positive().describe('which') }),
  create: ({ step }, scope): Extension => ({
    batch: async (event) => {
      if (event.step === step) (await scope.device()).gpu.destroy();
      return undefined;
    },
  }),
});

const moments = ['plan', 'start', 'batch', 'rollout', 'rewards', 'step', 'grades', 'save'] as const;

/** Sends this process the signal of ^C at a hook, while the run is planned, or as soon as a checkpoint is being written. */
export const interrupter = defineExtension({
  name: 'interrupter',
  summary: 'presses ^C',
  options: z.strictObject({
    at: z.enum(moments).describe('where'),
    step: z.number().int().nonnegative().default(0).describe('at which step, where the moment has one'),
  }),
  create: ({ at, step }, scope): Extension => {
    const press = (now: (typeof moments)[number], nowStep = step): undefined => {
      if (now !== at || nowStep !== step) return;
      scope.log.info(`^C at ${at} ${step}`);
      process.kill(process.pid, 'SIGINT');
    };
    press('plan');
    return {
      start: async ({ directory }) => {
        press('start');
        if (at !== 'save') return;
        const folder = join(directory, 'checkpoints');
        await mkdir(folder, { recursive: true });
        const watcher = watch(folder, (_event, name) => {
          if (!name?.startsWith(`.tmp-step-${String(step).padStart(6, '0')}`)) return;
          watcher.close();
          press('save');
        });
        scope.onDispose(() => watcher.close());
      },
      batch: (event) => press('batch', event.step),
      rollout: (event) => press('rollout', event.step),
      rewards: (event) => press('rewards', event.step),
      step: (event) => press('step', event.step),
      grades: (event) => press('grades', event.step),
    };
  },
});
