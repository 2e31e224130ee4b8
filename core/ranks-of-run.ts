/** Whether a run is one of several ranks: what its preset and its launcher say together. */
import type { ComponentChoice, Preset } from './contracts/preset.ts';
import type { Environment } from './environment.ts';
import { exitCodes, ReasongenError } from './errors.ts';
import type { Catalog } from './preset/catalog.ts';
import { launchedAs, rankName } from './ranks/launched.ts';

/**
 * The preset with a communicator, where the process was started as one of several and the preset names none. It is no part of what the run
 * directory keeps: the number of ranks is no property of a run.
 */
export function withCommunicator(preset: Preset, catalog: Catalog, environment: Environment): Preset {
  const launched = launchedAs(environment);
  const [named] = preset.components['communicator'] ?? [];
  if (launched === undefined) return preset;
  if (named?.use === 'single')
    throw new ReasongenError({
      code: 'NOT_ALONE',
      message: `communicator: single trains alone, and this process was started as ${rankName(launched)}`,
      hint: 'leave communicator out of the preset, or start the run without mpirun or srun',
      exitCode: exitCodes.badPreset,
    });
  if (named !== undefined || catalog.component('communicator', 'mpi') === undefined) return preset;
  const choice: ComponentChoice = { slot: 'communicator', use: 'mpi', name: 'mpi', weight: 1, options: {} };
  return Object.freeze({ ...preset, components: Object.freeze({ ...preset.components, communicator: [choice] }) });
}
