/** Resuming, asserted in two parts: what was restored, exactly; then every step, to the end. */
import { cpSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { checkpointDivergence, noted, trajectoryDivergence } from './divergence.ts';
import { metricsOf, type Ended, type Workplace } from './runs.ts';

const folderOf = ({ directory }: Pick<Ended, 'directory'>, step: number): string =>
  join(directory, 'checkpoints', `step-${String(step).padStart(6, '0')}`);

/** Which checkpoints are kept, and which is the best. */
export function keptCheckpoints({ directory }: Ended): unknown {
  const folder = join(directory, 'checkpoints');
  const best = join(folder, 'best.json');
  return [readdirSync(folder).sort(), existsSync(best) ? JSON.parse(readFileSync(best, 'utf8')) : undefined];
}

/** Two runs of so many steps: the same measurements, and the same state at the end. */
export async function expectSameRun(expected: Ended, found: Ended, steps: number, name: string): Promise<void> {
  const [wanted, own] = [metricsOf(expected.directory), metricsOf(found.directory)];
  expect(wanted).toHaveLength(steps);
  expect(noted(name, trajectoryDivergence(wanted, own))).toBeUndefined();
  expect(noted(name, await checkpointDivergence(folderOf(expected, steps), folderOf(found, steps)))).toBeUndefined();
}

/** What a run holds when it has been gone on with and no step is taken yet: it is asked to stop before, and saves it once more. */
export async function expectRestored(place: Workplace, stopped: Ended, step: number, name: string): Promise<void> {
  const directory = place.free('restored');
  cpSync(stopped.directory, directory, { recursive: true });
  const file = join(folderOf({ directory }, step), 'state.json');
  const before = statSync(file).ino;
  const restored = await place.run('', { resume: { ...stopped, directory }, stopAfter: 0 });
  expect(restored.code).toBe(130);
  expect(statSync(file).ino, 'it is saved anew').not.toBe(before);
  expect(metricsOf(directory)).toEqual(metricsOf(stopped.directory));
  expect(noted(name, await checkpointDivergence(folderOf(stopped, step), folderOf(restored, step)))).toBeUndefined();
}
