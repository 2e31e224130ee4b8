import { basename } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { inspectCheckpoints, type InspectedCheckpoint } from '../io/checkpoint-inspection.ts';
import { formatBytes } from '../plan.ts';
import type { CommandContext } from './context.ts';

/** `checkpoint verify PATH`: every file of a checkpoint, or of all checkpoints of a run, against its checksum. Exit code 6 when any is damaged. */
export async function verifyCheckpoints(path: string, { write }: CommandContext): Promise<number> {
  const checkpoints = await inspectCheckpoints(path);
  for (const checkpoint of checkpoints) write(`${table(checkpoint)}\n`);
  const damaged = checkpoints.filter(({ damage }) => damage !== undefined);
  const good = checkpoints.findLast(({ damage }) => damage === undefined);
  if (damaged.length === 0 && good !== undefined) {
    write(`${checkpoints.length === 1 ? 'the checkpoint is' : `all ${checkpoints.length} checkpoints are`} as saved\n`);
    return exitCodes.done;
  }
  const resumes =
    good === undefined
      ? 'start the run anew'
      : `a resume passes over it and goes on from step ${good.step}; delete it or copy it again`;
  throw new ReasongenError({
    code: checkpoints.length === 0 ? 'NO_CHECKPOINT' : 'BAD_CHECKPOINT',
    message:
      checkpoints.length === 0
        ? 'there is no checkpoint'
        : damaged.map((each) => `${basename(each.path)}: ${each.damage}`).join('; '),
    place: path,
    hint: checkpoints.length === 1 ? 'use another checkpoint or copy this one again' : resumes,
    exitCode: exitCodes.disk,
  });
}

function table({ path, step, files, damage }: InspectedCheckpoint): string {
  const name = Math.max(0, ...files.map((file) => file.name.length));
  const size = Math.max(0, ...files.map((file) => formatBytes(file.bytes).length));
  const head = `${path}${step === undefined ? '' : `  step ${step}`}${files.length === 0 ? `  ${damage ?? ''}` : ''}`;
  const rows = files.map(
    (file) => `  ${file.name.padEnd(name)}  ${formatBytes(file.bytes).padStart(size)}  ${file.damage ?? 'ok'}`,
  );
  return [head, ...rows].join('\n');
}
