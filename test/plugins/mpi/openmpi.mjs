#!/usr/bin/env node
// Open MPI for the tests of ranks: that of the machine, or Debian's, which `node test/plugins/mpi/openmpi.mjs` installs where it may.
import { pathToFileURL } from 'node:url';
import { findProgram, installProgram } from '../../support/debian-program.mjs';

/** The path of mpirun; undefined where there is none. REASONGEN_MPIRUN names one. @returns {string | undefined} */
export function findOpenMpi(env = process.env) {
  return env.REASONGEN_MPIRUN || findProgram(['mpirun.openmpi', 'mpirun'], env.PATH);
}

/** What to do where there is none. */
export const openMpiHint =
  'no mpirun was found, so the tests of ranks were left out; to have them: node test/plugins/mpi/openmpi.mjs (Debian, as root), or REASONGEN_MPIRUN=/path/to/mpirun';

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  installProgram({
    title: 'Open MPI',
    packages: ['openmpi-bin', 'libopenmpi3'],
    find: findOpenMpi,
    hint: openMpiHint,
  });
