import { dirname, relative } from 'node:path';
import { exitCodes, ReasongenError } from '../errors.ts';
import { inspectCheckpoints, type InspectedCheckpoint } from '../io/checkpoint-inspection.ts';
import { formatBytes } from '../plan.ts';
import type { CommandContext } from './context.ts';

/** `checkpoint verify PATH`: every file of a checkpoint, or of all checkpoints of a run, against its checksum. Exit code 6 when any is damaged. */
export async function verifyCheckpoints(path: string, { write }: CommandContext): Promise<number> {
  const checkpoints = await inspectCheckpoints(path);
  for (const checkpoint of checkpoints) write(`${table(checkpoint)}\n`);
  const damaged = checkpoints.filter(({ damage }) => damage !== undefined);
  if (damaged.length === 0 && checkpoints.length > 0) {
    write(`${checkpoints.length === 1 ? 'the checkpoint is' : `all ${checkpoints.length} checkpoints are`} as saved\n`);
    return exitCodes.done;
  }
  throw new ReasongenError({
    code: checkpoints.length === 0 ? 'NO_CHECKPOINT' : 'BAD_CHECKPOINT',
    message:
      checkpoints.length === 0
        ? 'there is no checkpoint'
        : damaged.map((each) => `${nameIn(path, each)}: ${each.damage}`).join('; '),
    place: path,
    hint: checkpoints.length === 1 ? 'use another checkpoint or copy this one again' : wayOn(checkpoints, damaged),
    exitCode: exitCodes.disk,
  });
}

/** `step-000004`, within a chain `STAGE/step-000004`. */
function nameIn(path: string, checkpoint: InspectedCheckpoint): string {
  const inside = relative(path, checkpoint.path);
  return (inside === '' ? checkpoint.path : inside).replace(/(^|\/)checkpoints\//, '$1');
}

/** What a resume makes of the damage: each run goes on from a good checkpoint of its own. */
function wayOn(checkpoints: readonly InspectedCheckpoint[], damaged: readonly InspectedCheckpoint[]): string {
  const runOf = ({ path }: InspectedCheckpoint): string => dirname(dirname(path));
  const ways = [...new Set(damaged.map(runOf))].map((run) => {
    const good = checkpoints.findLast((each) => runOf(each) === run && each.damage === undefined);
    return good && `a resume passes over it and goes on from step ${good.step}`;
  });
  const [first, ...more] = ways;
  if (ways.length === 0 || ways.includes(undefined)) return 'start the run anew';
  return more.length === 0
    ? `${first}; delete it or copy it again`
    : 'a resume passes over them and goes on from the newest whole ones';
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
