/** Drawings of a run in a folder of its directory: `samples/step-000010/` of a training step, as `records.ts` reads it. */
import { join } from 'node:path';
import { scrubbedJson } from '../scrub.ts';
import { disk, diskError, replaceFile, writeDurably } from './disk.ts';
import { sampleList, type SampleRecord } from './records.ts';

/** A drawing, with its picture instead of the path of one. */
export type DrawnSample = Omit<SampleRecord, 'image'> & { readonly png: Uint8Array };

/** Writes a folder into the run's directory. A step done again after a resume replaces what it wrote the first time. */
export async function writeSamples(directory: string, name: string, samples: readonly DrawnSample[]): Promise<void> {
  const folder = join(directory, name);
  try {
    await disk.rm(folder, { recursive: true, force: true });
    await disk.mkdir(folder, { recursive: true });
    const lines: string[] = [];
    for (const [index, { png, ...sample }] of samples.entries()) {
      const image = `${String(index).padStart(3, '0')}.png`;
      await writeDurably(join(folder, image), [png]);
      lines.push(`${scrubbedJson({ ...sample, image } satisfies SampleRecord)}\n`);
    }
    await replaceFile(join(folder, sampleList), lines.join(''));
  } catch (cause) {
    throw diskError(cause, 'writing samples', folder);
  }
}
