/** Writes the metrics of a run for TensorBoard, beside metrics.ndjson: `tensorboard --logdir runs`. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { defineExtension, definePlugin, z } from '../../core/plugin.ts';
import { frame, readEvents, scalarsEvent, startEvent, versionEvent } from './event-file.ts';

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
        /** Files of earlier sessions, whose last steps are done again. */
        let earlier: string[] = [];
        let isStarted = false;
        const seen = new Set<string>();
        const seconds = (): number => Date.now() / 1000;
        const write = (data: Uint8Array): void => appendFileSync(file, frame(data));
        const writeScalars = (step: number, scalars: Readonly<Record<string, number>>): void => {
          const fresh = Object.keys(scalars).filter((tag) => !seen.has(tag));
          if (fresh.length > 0) for (const path of earlier) dropSuperseded(path, step, new Set(fresh));
          for (const tag of fresh) seen.add(tag);
          write(scalarsEvent(seconds(), step, scalars));
        };
        return {
          start: ({ directory, resume }) => {
            // A resumed run continues in a file of its own: TensorBoard reads all files of a folder as one history.
            const now = seconds();
            mkdirSync(join(directory, folder), { recursive: true });
            const names = readdirSync(join(directory, folder)).filter(
              (name) => name.includes('tfevents') && !name.startsWith('.'),
            );
            earlier = names.map((name) => join(directory, folder, name));
            isStarted = !resume;
            file = join(directory, folder, `events.out.tfevents.${Math.floor(now * 1000)}.reasongen`);
            write(versionEvent(now));
          },
          step: ({ step, metrics }) => {
            // For a TensorBoard that has been looking all the time: it has read what was just taken out of the files.
            if (!isStarted) write(startEvent(seconds(), step));
            isStarted = true;
            writeScalars(step, metrics);
          },
          evaluation: ({ step, benchmark, split, metrics }) => {
            const tagged = Object.entries(metrics).map(([name, value]) => [`${benchmark}/${split}/${name}`, value]);
            writeScalars(step, Object.fromEntries(tagged) as Record<string, number>);
          },
        };
      },
    }),
  ],
});

/**
 * Takes out of the file of an earlier session what it has of these tags from this step on, and what a kill has torn: not every
 * reader of event files knows that a session start voids what was written before.
 */
function dropSuperseded(path: string, step: number, tags: ReadonlySet<string>): void {
  const content = readFileSync(path);
  const events = readEvents(content);
  const kept = events.filter((event) => event.step < step || !event.tags.some((tag) => tags.has(tag)));
  const bytes = Buffer.concat(kept.map((event) => event.frame));
  if (bytes.length === content.length) return;
  const temporary = join(dirname(path), `.tmp-${basename(path)}`);
  writeFileSync(temporary, bytes);
  renameSync(temporary, path);
}
