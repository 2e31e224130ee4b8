import type { OptionalPackage } from '../../core/plugin.ts';

/** What calls the functions of Open MPI's library; whoever trains with one process needs neither. */
export const mpiPackages: readonly OptionalPackage[] = [
  {
    name: 'koffi',
    purpose: 'the communicator mpi: gradients over ranks',
    install: 'npm install koffi@3.3.4',
  },
];

/** How Open MPI itself is had. */
export const openMpiHint =
  'install Open MPI: apt-get install openmpi-bin libopenmpi3 (Debian), dnf install openmpi (Fedora), or `module load openmpi` on a cluster; REASONGEN_MPI_LIBRARY names a library elsewhere';
