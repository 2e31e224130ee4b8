/** What a launcher of MPI tells each process of its place, as environment variables: nothing of MPI itself is loaded to know it. */
import { type Environment, processEnvironment } from '../environment.ts';
import { exitCodes, ReasongenError } from '../errors.ts';

export interface Launched {
  readonly rank: number;
  readonly size: number;
  /** The number of this process among those on the same machine. */
  readonly localRank: number;
}

/**
 * The place of this process among those it was started with: by Open MPI's mpirun, or by `srun --mpi=pmix`. undefined where it was started alone.
 * Throws OTHER_MPI where another MPI has started it: their libraries do not understand each other.
 */
export function launchedAs(environment: Environment = processEnvironment): Launched | undefined {
  const number = (...names: readonly string[]): number | undefined => {
    const text = names.map((name) => environment[name]).find((value) => value !== undefined && /^\d+$/.test(value));
    return text === undefined ? undefined : Number(text);
  };
  const rank = number('OMPI_COMM_WORLD_RANK', 'PMIX_RANK');
  const size = number('OMPI_COMM_WORLD_SIZE', 'SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS');
  if (rank !== undefined && size !== undefined && size > 1)
    return { rank, size, localRank: number('OMPI_COMM_WORLD_LOCAL_RANK', 'SLURM_LOCALID') ?? rank };
  const other = number('PMI_SIZE') ?? 1;
  if (rank === undefined && other > 1) throw otherMpi(number('PMI_RANK') ?? 0, other);
  return undefined;
}

/** Whether this process is the first of those, which speaks and writes for all, or was started alone. Throws as `launchedAs`. */
export function isFirstRank(environment?: Environment): boolean {
  return (launchedAs(environment)?.rank ?? 0) === 0;
}

/** The library of Open MPI that a user names; undefined: the one that the system finds. */
export function namedMpiLibrary(environment: Environment = processEnvironment): string | undefined {
  return environment['REASONGEN_MPI_LIBRARY'] || undefined;
}

/** `rank 2 of 4`, for whoever reads what several processes have written. */
export function rankName({ rank, size }: Pick<Launched, 'rank' | 'size'>): string {
  return `rank ${rank} of ${size}`;
}

function otherMpi(rank: number, size: number): ReasongenError {
  return new ReasongenError({
    code: 'OTHER_MPI',
    message: `this process was started as ${rankName({ rank, size })} by MPICH or one of its kin (PMI_SIZE is set); ranks need Open MPI`,
    hint: 'start it with the mpirun of Open MPI, with `srun --mpi=pmix`, or with `npx reasongen launch`',
    exitCode: exitCodes.badPreset,
  });
}
