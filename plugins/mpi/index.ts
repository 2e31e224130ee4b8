/** Gradients over ranks: processes that Open MPI has started train one model together. */
import { defineCommunicator, definePlugin, launchedAs, once, single, z } from '../../core/plugin.ts';
import { beginJob, type Job, MpiCommunicator } from './communicator.ts';
import { loadOpenMpi } from './library.ts';
import { mpiPackages } from './package.ts';

/** MPI can be begun once in a process, whatever runs there. */
const job = once(async (): Promise<Job> => beginJob(await loadOpenMpi()));

export default definePlugin({
  name: 'mpi',
  packages: mpiPackages,
  provides: [
    defineCommunicator({
      name: 'mpi',
      summary:
        'processes that Open MPI has started (reasongen launch, mpirun, srun --mpi=pmix) train one model together',
      options: z.strictObject({}),
      create: async () => (launchedAs() === undefined ? single : new MpiCommunicator(await job())),
    }),
  ],
});
