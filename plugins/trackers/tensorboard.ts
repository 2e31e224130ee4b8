/** Writes metrics and drawings of a run for TensorBoard: `tensorboard --logdir runs`. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { encodePng } from '../../core/compute.ts';
import { defineExtension, type Judgement, type Sample, type Verdict, z } from '../../core/plugin.ts';
import {
  frame,
  picturesEvent,
  readEvents,
  scalarsEvent,
  type ShownPicture,
  startEvent,
  versionEvent,
} from './event-file.ts';

export const tensorboard = defineExtension({
  name: 'tensorboard',
  summary: 'writes metrics, pass rates and some drawings as TensorBoard events into the run directory',
  options: z.strictObject({
    folder: z.string().min(1).default('tensorboard').describe('folder of the event files, within the run directory'),
    pictures: z
      .number()
      .int()
      .nonnegative()
      .default(4)
      .describe('drawings of a step, and of an evaluation, that are shown with prompt, rationale and scores'),
    picturesEvery: z.number().int().positive().default(10).describe('steps from one with drawings to the next'),
  }),
  onlyLooks: true,
  create: ({ folder, pictures, picturesEvery }) => {
    let file = '';
    /** Drawings of this step, written when its numbers are final. */
    let drawn: ShownPicture[] = [];
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
    const writePictures = (step: number, all: readonly ShownPicture[]): void => {
      if (all.length > 0) write(picturesEvent(seconds(), step, all));
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
        writePictures(step, drawn);
        drawn = [];
      },
      rewards: {
        order: 'late',
        handler: async ({ step, samples, judgements }) => {
          if (step === 1 || step % picturesEvery === 0)
            for (const [index, sample] of samples.slice(0, pictures - drawn.length).entries())
              drawn.push(await shown(`drawings/${drawn.length}`, sample, scoresOf(judgements[index])));
          return undefined;
        },
      },
      evaluation: async ({ step, benchmark, split, metrics, samples, verdicts }) => {
        const tagged = Object.entries(metrics).map(([name, value]) => [`${benchmark}/${split}/${name}`, value]);
        writeScalars(step, Object.fromEntries(tagged) as Record<string, number>);
        const some = samples.slice(0, pictures);
        const all = some.map((sample, index) =>
          shown(`${benchmark}/${split}/${index}`, sample, verdictOf(verdicts[index])),
        );
        writePictures(step, await Promise.all(all));
      },
    };
  },
});

async function shown(tag: string, { image, prompt, rationale }: Sample, why: string): Promise<ShownPicture> {
  const caption = [`**${prompt}**`, rationale, why].filter((part) => part !== '').join('\n\n');
  return { tag, width: image.width, height: image.height, png: await encodePng(image), caption };
}

function scoresOf(judgement: Judgement | undefined): string {
  if (judgement === undefined || judgement.unjudged === true) return 'not judged';
  const scores = Object.entries(judgement.scores).map(
    ([name, { value, why }]) => `${name} ${value.toFixed(3)}${why === undefined ? '' : ` (${why})`}`,
  );
  return [`total ${judgement.total.toFixed(3)}`, ...scores].join('; ');
}

function verdictOf(verdict: Verdict | undefined): string {
  if (verdict === undefined) return 'not judged';
  return `${verdict.pass ? 'right' : 'wrong'}: ${verdict.why}`;
}

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
