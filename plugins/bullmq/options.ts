import { folderPath, keyVariableName, z } from '../../core/plugin.ts';

export const bullmqOptions = z.strictObject({
  addressVariable: keyVariableName
    .default('REASONGEN_QUEUE')
    .describe(
      'environment variable with the address of Redis: redis://HOST:PORT, rediss:// for TLS, user and password before the host',
    ),
  weights: folderPath()
    .optional()
    .describe('folder through which weights come to the workers, one that all machines see; through Redis unless told'),
  spotCheck: z
    .number()
    .int()
    .nonnegative()
    .default(16)
    .describe(
      'one job in so many is drawn, or judged, again by the run and compared, chosen by chance; 0 for none, 1 for all',
    ),
  otherAdapters: z
    .boolean()
    .default(false)
    .describe(
      'workers of other adapters draw, too: their numbers differ in the last bits, so the run is not that of a single process; each is measured by the scorer, and left out past recipe.ratioTolerance',
    ),
  patience: z
    .number()
    .positive()
    .default(300)
    .describe('seconds that a run waits for a queue or for workers that are away before it stops, to be resumed'),
  lockSeconds: z
    .number()
    .min(1)
    .default(30)
    .describe('seconds without a sign of life after which the job of a worker is given to another'),
  deaths: z
    .number()
    .int()
    .nonnegative()
    .default(3)
    .describe('workers that may end over one job before the run takes the job for the cause and stops'),
});

export type BullmqOptions = z.output<typeof bullmqOptions>;
