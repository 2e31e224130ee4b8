/** What cannot be shared out among ranks. */
import type { Communicator } from '../contracts/communicator.ts';
import type { Preset } from '../contracts/preset.ts';
import type { Recipe } from '../contracts/recipe.ts';
import { exitCodes, ReasongenError } from '../errors.ts';
import { rankName } from './launched.ts';

/** Throws where ranks would each do all of what the recipe does, or each ask workers for it. */
export function refuseRanks(recipe: Recipe, preset: Preset, { rank, size }: Communicator): void {
  if (size === 1) return;
  const { use: executor = 'in-process' } = preset.components['executor']?.[0] ?? {};
  if (executor !== 'in-process')
    throw new ReasongenError({
      code: 'NOT_OVER_RANKS',
      message: `executor "${executor}" draws for a single process, and this is ${rankName({ rank, size })}`,
      hint: 'ranks draw their own shares: leave out the executor, or train with one process',
      exitCode: exitCodes.badPreset,
    });
  if (recipe.takesRanks === true) return;
  const { name = '' } = preset.components['recipe']?.[0] ?? {};
  throw new ReasongenError({
    code: 'NOT_OVER_RANKS',
    message: `recipe "${name}" runs in one process, and this is ${rankName({ rank, size })}`,
    hint: 'ranks share the work of the recipes sft and grpo; start the others without mpirun, srun or launch',
    exitCode: exitCodes.badPreset,
  });
}
