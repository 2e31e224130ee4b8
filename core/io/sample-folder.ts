/** Drawings of one training step in a run's directory: `samples/step-000010/`, as `records.ts` reads it. */
import { join } from 'node:path';
import { scrubbedJson } from '../scrub.ts';
import { disk, diskError, replaceFile, writeDurably } from './disk.ts';
import type { SampleRecord } from './records.ts';

/** A drawing, with its picture instead of the path of one. */
export type DrawnSample = Omit<SampleRecord, 'image'> & { readonly png: Uint8Array };

/** Writes the folder of a step into the run's directory. A step done again after a resume replaces what it wrote the first time. */
export async function writeSamples(directory: string, step: number, samples: readonly DrawnSample[]): Promise<void> {
  const folder = join(directory, 'samples', `step-${String(step).padStart(6, '0')}`);
  try {
    await disk.rm(folder, { recursive: true, force: true });
    await disk.mkdir(folder, { recursive: true });
    const lines: string[] = [];
    for (const [index, { png, ...sample }] of samples.entries()) {
      const image = `${String(index).padStart(3, '0')}.png`;
      await writeDurably(join(folder, image), [png]);
      lines.push(`${scrubbedJson({ ...sample, image } satisfies SampleRecord)}\n`);
    }
    await replaceFile(join(folder, 'samples.jsonl'), lines.join(''));
  } catch (cause) {
    throw diskError(cause, 'writing samples', folder);
  }
}
