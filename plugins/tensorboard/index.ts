/** Writes the metrics of a run for TensorBoard, beside metrics.ndjson: `tensorboard --logdir runs`. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { defineExtension, definePlugin, z } from '../../core/plugin.ts';
import { frame, scalarsEvent, versionEvent } from './event-file.ts';

export default definePlugin({
  name: 'tensorboard',
  provides: [
    defineExtension({
      name: 'tensorboard',
      summary: 'writes metrics and pass rates as TensorBoard events into the run directory',
      options: z.strictObject({
        folder: z
          .string()
          .min(1)
          .default('tensorboard')
          .describe('folder of the event files, within the run directory'),
      }),
      create: ({ folder }) => {
        let file = '';
        const seconds = (): number => Date.now() / 1000;
        const write = (data: Uint8Array): void => appendFileSync(file, frame(data));
        return {
          start: ({ directory }) => {
            // A resumed run continues in a file of its own: TensorBoard reads all files of a folder as one history.
            const now = seconds();
            mkdirSync(join(directory, folder), { recursive: true });
            file = join(directory, folder, `events.out.tfevents.${Math.floor(now * 1000)}.reasongen`);
            write(versionEvent(now));
          },
          step: ({ step, metrics }) => write(scalarsEvent(seconds(), step, metrics)),
          evaluation: ({ step, benchmark, split, metrics }) => {
            const tagged = Object.entries(metrics).map(([name, value]) => [`${benchmark}/${split}/${name}`, value]);
            write(scalarsEvent(seconds(), step, Object.fromEntries(tagged) as Record<string, number>));
          },
        };
      },
    }),
  ],
});
